//! What Meta says of our templates: all pages of its listing, compared with our rows, written to `template`.
//!
//! Promises: nothing is written unless the listing was read to its end; what does not fit is said in `meta_unfit`, so that such a
//! message goes through a gateway instead of being refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_postgres::Client as Postgres;

use super::{HeaderParameter, MetaStatus, Template, load};
use crate::db::statements as sql;
use crate::deliver::provider::meta_templates::{HeaderKind, RemoteTemplate};
use crate::deliver::provider::{Account, ButtonKind, Client};

/// Why the templates were not read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SyncError {
    #[error("{0} is no account of Meta: only Meta keeps templates")]
    NotMeta(String),
    #[error(
        "{0} has no waba_id: put the id of its WhatsApp Business Account into provider.settings, for example \
         update sicantik_notify.provider set settings = settings || '{{\"waba_id\": \"1234567890\"}}' where name = '{0}'"
    )]
    NoBusinessAccount(String),
    #[error("Meta did not list them: {0}")]
    Meta(String),
    #[error("{0}")]
    Database(String),
}

/// What became of one of our templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Our key.
    pub key: String,
    /// Name and language at Meta.
    pub name: String,
    /// Language at Meta.
    pub language: String,
    /// Its status now.
    pub status: MetaStatus,
    /// Meta's category, lower case.
    pub category: Option<String>,
    /// Its rating.
    pub quality: Option<String>,
    /// Whether its places have names; `None`: Meta does not have it.
    pub named: Option<bool>,
    /// The body's places.
    pub placeholders: Option<Vec<String>>,
    /// Why it cannot be sent although its status is good.
    pub unfit: Option<String>,
}

impl Judged {
    /// Can it be sent through Meta?
    pub fn is_usable(&self) -> bool {
        self.status.is_usable() && self.unfit.is_none()
    }
}

/// What a sync found.
#[derive(Clone, Debug, Default)]
pub struct SyncReport {
    /// Templates that Meta listed: one a name and language.
    pub at_meta: usize,
    /// Ours.
    pub ours: Vec<Judged>,
}

impl SyncReport {
    /// How many of ours can be sent through Meta.
    pub fn usable(&self) -> usize {
        self.ours.iter().filter(|judged| judged.is_usable()).count()
    }
}

/// Reads Meta's listing and writes what it says. Notes in `provider_health` that it did, or why not.
///
/// # Errors
/// [`SyncError`]; then no template was changed.
pub async fn run(postgres: &Postgres, client: &Client, account: &Account) -> Result<SyncReport, SyncError> {
    let result = read_and_write(postgres, client, account).await;
    let error = result.as_ref().err().map(ToString::to_string);
    let noted = postgres
        .execute(
            "insert into sicantik_notify.provider_health as h (provider_id, templates_synced_at, template_sync_error) \
             values ($1, sicantik_notify.clock(), $2) \
             on conflict (provider_id) do update set templates_synced_at = excluded.templates_synced_at, \
                                                     template_sync_error = excluded.template_sync_error",
            &[&account.id.0, &error],
        )
        .await;
    match (result, noted) {
        (Ok(_), Err(error)) => Err(SyncError::Database(crate::db::describe(&error))),
        (result, _) => result,
    }
}

async fn read_and_write(
    postgres: &Postgres,
    client: &Client,
    account: &Account,
) -> Result<SyncReport, SyncError> {
    let remote = client.templates(account).await?;
    let refused = |e: tokio_postgres::Error| SyncError::Database(crate::db::describe(&e));
    let ours = load::templates(postgres).await.map_err(refused)?;
    let judged: Vec<Judged> = ours.values().map(|ours| judge(ours, &remote)).collect();
    let column = |get: fn(&Judged) -> Option<&str>| judged.iter().map(get).collect::<Vec<Option<&str>>>();
    let placeholders: Vec<Option<Value>> = judged
        .iter()
        .map(|j| j.placeholders.as_ref().map(|places| json!(places)))
        .collect();
    postgres
        .execute(
            sql::TEMPLATE_SYNC.sql,
            &[
                &column(|j| Some(&j.key)),
                &column(|j| Some(j.status.as_str())),
                &column(|j| j.category.as_deref()),
                &judged.iter().map(|j| j.named).collect::<Vec<_>>(),
                &placeholders,
                &column(|j| j.quality.as_deref()),
                &column(|j| j.unfit.as_deref()),
            ],
        )
        .await
        .map_err(refused)?;
    Ok(SyncReport {
        at_meta: remote.len(),
        ours: judged,
    })
}

/// Compares one of ours with Meta's listing.
pub fn judge(ours: &Template, remote: &[RemoteTemplate]) -> Judged {
    let meta = ours.meta.as_ref();
    let name = meta.map_or(ours.key.as_str(), |meta| meta.name.as_str());
    let language = meta
        .and_then(|meta| meta.language.as_deref())
        .unwrap_or(&ours.language);
    let mut judged = Judged {
        key: ours.key.as_str().to_owned(),
        name: name.to_owned(),
        language: language.to_owned(),
        status: MetaStatus::NotConfigured,
        category: None,
        quality: None,
        named: None,
        placeholders: None,
        unfit: None,
    };
    let of_that_name = || remote.iter().filter(|theirs| theirs.name == name);
    let Some(theirs) = of_that_name().find(|theirs| theirs.language == language) else {
        let others: Vec<&str> = of_that_name().map(|theirs| theirs.language.as_str()).collect();
        if !others.is_empty() {
            judged.unfit = Some(format!(
                "Meta has {name} in {}, not in {language}: correct meta_language",
                others.join(", ")
            ));
        }
        return judged;
    };
    judged.status = theirs.status;
    judged.category = theirs.category.clone();
    judged.quality = theirs.quality.clone();
    judged.named = Some(theirs.named);
    judged.placeholders = Some(theirs.placeholders.clone());
    judged.unfit = misfit(ours, theirs);
    judged
}

/// The first thing in which ours is not what Meta approved.
fn misfit(ours: &Template, theirs: &RemoteTemplate) -> Option<String> {
    let names = ours.meta_names();
    let list = |names: &[String]| match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    };
    if theirs.named {
        let (have, want): (BTreeSet<_>, BTreeSet<_>) =
            (names.iter().collect(), theirs.placeholders.iter().collect());
        if have != want {
            return Some(format!(
                "Meta's body names {}, ours {}: correct meta_parameters",
                list(&theirs.placeholders),
                list(names)
            ));
        }
    } else if names.len() != theirs.placeholders.len() {
        return Some(format!(
            "Meta's body has {} values, ours {} ({}): correct meta_parameters",
            theirs.placeholders.len(),
            names.len(),
            list(names)
        ));
    }
    let meta = ours.meta.as_ref()?;
    match (&theirs.header, &meta.header) {
        (None, None)
        | (Some(HeaderKind::Text), Some(HeaderParameter::Text(_)))
        | (Some(HeaderKind::Image), Some(HeaderParameter::Image(_)))
        | (Some(HeaderKind::Document), Some(HeaderParameter::Document { .. })) => {}
        (None, Some(_)) => return Some("Meta's header takes no value: empty meta_header".to_owned()),
        (Some(HeaderKind::Other(kind)), _) => {
            return Some(format!(
                "Meta's header is of the kind {kind}, which is not supported"
            ));
        }
        (Some(wants), _) => {
            return Some(format!("Meta's header wants {}: set meta_header", wants.as_str()));
        }
    }
    let dynamic = |kind: ButtonKind| kind != ButtonKind::QuickReply;
    let want: BTreeSet<u8> = theirs
        .buttons
        .iter()
        .filter(|b| dynamic(b.1))
        .map(|b| b.0)
        .collect();
    let have: BTreeSet<u8> = meta
        .buttons
        .iter()
        .filter(|b| dynamic(b.kind))
        .map(|b| b.index)
        .collect();
    (want != have)
        .then(|| format!("Meta's buttons {want:?} take a value, ours {have:?}: correct meta_buttons"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::template::{ButtonParameter, MetaTemplate, TemplateKey};

    fn ours(parameters: &[&str]) -> Template {
        Template {
            key: TemplateKey::new("izin_x").unwrap(),
            language: "id".into(),
            body: "{{a}}".into(),
            parameters: parameters.iter().map(|p| (*p).to_owned()).collect(),
            meta: Some(MetaTemplate {
                name: "izin_x".into(),
                language: Some("id".into()),
                status: MetaStatus::NotConfigured,
                named: false,
                parameters: None,
                header: None,
                buttons: vec![],
                unfit: None,
            }),
            gateways: true,
            marketing: false,
        }
    }

    fn theirs(body: &str) -> RemoteTemplate {
        RemoteTemplate::read(&json!({
            "name": "izin_x", "language": "id", "status": "APPROVED", "category": "UTILITY",
            "parameter_format": if body.contains("{{a}}") { "NAMED" } else { "POSITIONAL" },
            "components": [{"type": "BODY", "text": body}], "quality_score": {"score": "GREEN"},
        }))
        .unwrap()
    }

    #[test]
    fn what_fits_is_usable_and_what_does_not_says_why() {
        let judged = judge(&ours(&["a", "b"]), &[theirs("{{2}} {{1}}")]);
        assert!(judged.is_usable());
        assert_eq!(judged.category.as_deref(), Some("utility"));
        assert_eq!(judged.placeholders, Some(vec!["1".to_owned(), "2".to_owned()]));
        let why = |ours: &Template, theirs: &[RemoteTemplate]| judge(ours, theirs).unfit.unwrap_or_default();
        assert_eq!(
            why(&ours(&["a"]), &[theirs("{{2}} {{1}}")]),
            "Meta's body has 2 values, ours 1 (a): correct meta_parameters"
        );
        assert!(judge(&ours(&["b", "a"]), &[theirs("{{a}} {{b}}")]).is_usable());
        assert!(why(&ours(&["a", "c"]), &[theirs("{{a}} {{b}}")]).contains("names a, b, ours a, c"));
        let english = RemoteTemplate {
            language: "en".into(),
            ..theirs("x")
        };
        let judged = judge(&ours(&[]), std::slice::from_ref(&english));
        assert_eq!(judged.status, MetaStatus::NotConfigured);
        assert!(judged.unfit.unwrap().contains("in en, not in id"));
        assert_eq!(judge(&ours(&[]), &[]).unfit, None);
    }

    #[test]
    fn header_and_buttons_must_agree() {
        let with = |components: Value| {
            RemoteTemplate::read(&json!({
                "name": "izin_x", "language": "id", "status": "APPROVED", "components": components,
            }))
            .unwrap()
        };
        let remote = with(json!([
            {"type": "HEADER", "format": "DOCUMENT"}, {"type": "BODY", "text": "x"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Ya"}, {"type": "URL", "url": "https://x/{{1}}"}]},
        ]));
        let mut mine = ours(&[]);
        assert!(
            judge(&mine, std::slice::from_ref(&remote))
                .unfit
                .unwrap()
                .contains("a document")
        );
        let meta = mine.meta.as_mut().unwrap();
        meta.header = Some(HeaderParameter::Document {
            link: "sk".into(),
            filename: None,
        });
        assert!(
            judge(&mine, std::slice::from_ref(&remote))
                .unfit
                .unwrap()
                .contains("{1}")
        );
        mine.meta.as_mut().unwrap().buttons = vec![ButtonParameter {
            index: 1,
            kind: ButtonKind::Url,
            parameter: "id".into(),
        }];
        assert!(judge(&mine, std::slice::from_ref(&remote)).is_usable());
        let plain = with(
            json!([{"type": "HEADER", "format": "TEXT", "text": "Halo"}, {"type": "BODY", "text": "x"}]),
        );
        assert!(
            judge(&mine, &[plain])
                .unfit
                .unwrap()
                .contains("empty meta_header")
        );
    }
}
