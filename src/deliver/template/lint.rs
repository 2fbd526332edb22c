//! Looks at all templates and at the rules that name them, before a message does.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::GenericClient;

use super::{
    HeaderParameter, Keys, META_BODY_LIMIT, Template, TemplateKey, candidate_keys, is_fonnte_variable, load,
    placeholders,
};
use crate::deliver::provider::ProviderKind;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Messages still go, perhaps not as meant.
    Warning,
    /// Messages will fail.
    Error,
}

/// Something about a template that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The template, or the rule that names it.
    pub about: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub summary: String,
    /// What to do.
    pub remedy: String,
}

/// Everything wrong with the active templates, and with the active rules that name them.
///
/// # Errors
/// The server's.
pub async fn lint(client: &impl GenericClient) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let templates = load::templates(client).await?;
    let keys = load::keys(client).await?;
    let mut findings: Vec<Finding> = templates.values().flat_map(of_template).collect();
    let rules = client
        .query(
            "select code, template_key from sicantik_notify.rule where active order by code",
            &[],
        )
        .await?;
    for rule in &rules {
        findings.extend(of_rule(rule.get(0), rule.get(1), &templates, &keys));
    }
    Ok(findings)
}

fn of_rule(
    code: &str,
    key: &str,
    templates: &BTreeMap<TemplateKey, Template>,
    keys: &Keys,
) -> Option<Finding> {
    let found = |kind| {
        TemplateKey::new(key).is_ok_and(|key| {
            candidate_keys(kind, &key, keys)
                .iter()
                .filter_map(|key| templates.get(key))
                .any(|template| kind == ProviderKind::Meta || template.gateways)
        })
    };
    let (severity, summary, remedy) = match (found(ProviderKind::Meta), found(ProviderKind::Fonnte)) {
        (true, true) => return None,
        (_, false) if !found(ProviderKind::Meta) => (
            Severity::Error,
            format!("names the template {key}, and no active template has this key"),
            "correct template_key, or make or activate the template".to_owned(),
        ),
        (_, _) => (
            Severity::Warning,
            format!("no gateway can send the template {key}: only recipients who allowed Meta get it"),
            format!("make an active template {key} with for_gateways"),
        ),
    };
    Some(Finding {
        about: format!("rule {code}"),
        severity,
        summary,
        remedy,
    })
}

/// What can be seen on one template alone.
pub(super) fn of_template(template: &Template) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |severity, summary: String, remedy: &str| {
        findings.push(Finding {
            about: format!("template {}", template.key),
            severity,
            summary,
            remedy: remedy.to_owned(),
        });
    };
    let used = placeholders(template);
    let listed: BTreeSet<&str> = template.parameters.iter().map(String::as_str).collect();
    let unlisted: Vec<&str> = used
        .iter()
        .map(String::as_str)
        .filter(|name| !listed.contains(name))
        .collect();
    if !unlisted.is_empty() {
        say(
            Severity::Warning,
            format!(
                "the text uses {}, which parameters does not list",
                unlisted.join(", ")
            ),
            "add it to parameters, or correct the text",
        );
    }
    if listed.len() < template.parameters.len() {
        say(
            Severity::Error,
            "a name stands twice in parameters".to_owned(),
            "name each parameter once",
        );
    }
    if let Some(odd) = odd_braces(&template.body) {
        say(
            Severity::Warning,
            format!("{odd:?} in the text is no placeholder and will be sent as it is"),
            "a placeholder is {{name}}: letters, digits, underscores and dots",
        );
    }
    if template.gateways && fonnte_words(&template.body) {
        say(
            Severity::Warning,
            "the text has {name} or {var1}, which Fonnte would replace; an invisible character keeps it"
                .to_owned(),
            "write {{name}} if a value is meant",
        );
    }
    let fixed = super::parts(&template.body)
        .map(|part| match part {
            super::Part::Literal(text) => text.chars().count(),
            super::Part::Placeholder(_) => 0,
        })
        .sum::<usize>();
    let Some(meta) = &template.meta else {
        return findings;
    };
    if !meta.status.is_usable() {
        return findings;
    }
    if fixed > META_BODY_LIMIT {
        say(
            Severity::Warning,
            format!(
                "the text alone has {fixed} characters, and Meta allows {META_BODY_LIMIT} for a whole message"
            ),
            "shorten it, or let Meta have a shorter template",
        );
    }
    if let Some(reason) = &meta.unfit {
        say(
            Severity::Warning,
            format!("it is not sent through Meta: {reason}"),
            "mend it here or in WhatsApp Manager, then run sicantik-notifyd template sync",
        );
    }
    if meta.named
        && let Some(name) = template.meta_names().iter().find(|name| {
            !name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    {
        say(
            Severity::Error,
            format!("Meta's names are lower case with underscores, and {name} is not"),
            "correct meta_parameters",
        );
    }
    let empty = match &meta.header {
        Some(HeaderParameter::Text(name) | HeaderParameter::Image(name)) => name.is_empty(),
        Some(HeaderParameter::Document { link, .. }) => link.is_empty(),
        None => false,
    };
    if empty || meta.buttons.iter().any(|button| button.parameter.is_empty()) {
        say(
            Severity::Error,
            "meta_header or meta_buttons names no parameter".to_owned(),
            "name the parameter whose value goes there",
        );
    }
    findings
}

/// A brace pair that looks like a placeholder and is none.
fn odd_braces(body: &str) -> Option<String> {
    let literals = super::parts(body).filter_map(|part| match part {
        super::Part::Literal(text) => Some(text),
        super::Part::Placeholder(_) => None,
    });
    for text in literals {
        if let Some(at) = text.find("{{").or_else(|| text.find("}}")) {
            return Some(text[at..].chars().take(20).collect());
        }
    }
    None
}

fn fonnte_words(body: &str) -> bool {
    super::parts(body).any(|part| match part {
        super::Part::Literal(text) => text
            .char_indices()
            .any(|(at, c)| c == '{' && is_fonnte_variable(&text[at + 1..])),
        super::Part::Placeholder(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::template::{MetaStatus, MetaTemplate};

    fn template(body: &str, parameters: &[&str]) -> Template {
        Template {
            key: TemplateKey::new("x").unwrap(),
            language: "id".into(),
            body: body.into(),
            parameters: parameters.iter().map(|p| (*p).to_owned()).collect(),
            meta: Some(MetaTemplate {
                name: "x".into(),
                language: None,
                status: MetaStatus::Approved,
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

    #[test]
    fn each_fault_is_named() {
        assert_eq!(
            of_template(&template("Yth. {{a}} {{ b }}", &["a", "b", "unused"])),
            []
        );
        let said = |template: &Template| -> String {
            of_template(template)
                .into_iter()
                .map(|f| f.summary + "\n")
                .collect()
        };
        for (body, parameters, expected) in [
            ("{{a}} {{c}}", &["a"][..], "uses c, which"),
            ("{{a}}", &["a", "a"], "twice"),
            ("{{partner name}}", &[], "\"{{partner name}}\""),
            ("{{a}} }}", &["a"], "\"}}\""),
            ("Yth. {name}", &[], "Fonnte would replace"),
            (&"x".repeat(1100), &[], "1100 characters"),
        ] {
            let got = said(&template(body, parameters));
            assert!(got.contains(expected), "{body}: {got}");
        }
        let mut named = template("{{A}}", &["A"]);
        named.meta.as_mut().unwrap().named = true;
        named.meta.as_mut().unwrap().unfit = Some("5 values".into());
        let got = said(&named);
        assert!(got.contains("lower case") && got.contains("5 values"), "{got}");
    }

    #[test]
    fn a_rule_without_a_template_is_an_error() {
        let templates = BTreeMap::from([(TemplateKey::new("meta_only").unwrap(), template("x", &[]))]);
        let of = |key| of_rule("r", key, &templates, &Keys::default()).map(|f| f.severity);
        assert_eq!(of("nothing"), Some(Severity::Error));
        assert_eq!(of("bad key"), Some(Severity::Error));
        assert_eq!(of("only"), Some(Severity::Warning));
        assert_eq!(of("meta_only"), None);
    }
}
