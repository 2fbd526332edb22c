use serde_json::json;

use super::*;
use crate::deliver::provider::Class;
use crate::deliver::template::MetaTemplate;

fn key(key: &str) -> TemplateKey {
    TemplateKey::new(key).unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn candidate(id: i64, kind: ProviderKind, sequence: i32) -> Candidate {
    Candidate {
        id: ProviderId(id),
        kind,
        sequence,
        is_default: false,
        active: true,
        configured: true,
        circuit_open: false,
    }
}

fn three() -> Vec<Candidate> {
    vec![
        candidate(3, ProviderKind::Watzap, 10),
        candidate(2, ProviderKind::Fonnte, 10),
        candidate(1, ProviderKind::Meta, 10),
    ]
}

fn template(name: &str, status: Option<MetaStatus>, gateways: bool, parameters: &[&str]) -> Template {
    let meta = status.map(|status| MetaTemplate {
        name: format!("{name}_at_meta"),
        language: None,
        status,
        named: false,
        parameters: None,
        header: None,
        buttons: vec![],
        unfit: None,
    });
    let body: Vec<_> = parameters.iter().map(|name| format!("{{{{{name}}}}}")).collect();
    Template {
        key: key(name),
        language: "id".into(),
        body: format!("{name}: {}", body.join(" ")),
        parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
        meta,
        gateways,
        marketing: false,
    }
}

fn shelf(templates: impl IntoIterator<Item = Template>) -> BTreeMap<TemplateKey, Template> {
    templates
        .into_iter()
        .map(|template| (template.key.clone(), template))
        .collect()
}

/// The guide's pair: `meta_selesai_diproses` at Meta, `selesai_diproses` at the gateways (§6.3).
fn pair() -> BTreeMap<TemplateKey, Template> {
    shelf([
        template(
            "meta_selesai_diproses",
            Some(MetaStatus::Approved),
            false,
            &["partner_name"],
        ),
        template("selesai_diproses", None, true, &["partner_name"]),
    ])
}

const OPTED_IN: Recipient = Recipient {
    opted_in: true,
    last_inbound_at: None,
    no_marketing: false,
};
const STRANGER: Recipient = Recipient {
    opted_in: false,
    last_inbound_at: None,
    no_marketing: false,
};

fn choose_for(
    recipient: Recipient,
    word: &str,
    candidates: &[Candidate],
    templates: &BTreeMap<TemplateKey, Template>,
) -> Choice {
    let context = json!({"partner_name": "Budi"}).as_object().unwrap().clone();
    let message = Message {
        key: &key(word),
        context: &context,
    };
    let keys = Keys {
        map: BTreeMap::from([(key("mapped"), key("izin_elsewhere"))]),
        ..Keys::default()
    };
    choose(&Facts {
        now: now(),
        recipient,
        message,
        candidates,
        templates,
        keys: &keys,
    })
}

fn order(choice: &Choice) -> Vec<i64> {
    choice.routes.iter().map(|route| route.provider.0).collect()
}

fn why(choice: &Choice, id: i64) -> &SkipReason {
    &choice
        .skipped
        .iter()
        .find(|skipped| skipped.provider == ProviderId(id))
        .unwrap()
        .reason
}

#[test]
fn the_guides_pair_of_templates() {
    let choice = choose_for(OPTED_IN, "selesai_diproses", &three(), &pair());
    let used: Vec<_> = choice
        .routes
        .iter()
        .map(|route| (route.kind.as_str(), route.template_key_used.as_str()))
        .collect();
    assert_eq!(
        used,
        [
            ("meta", "meta_selesai_diproses"),
            ("fonnte", "selesai_diproses"),
            ("watzap", "selesai_diproses")
        ]
    );
    assert!(
        matches!(&choice.routes[0].content, Content::MetaTemplate { name, language, parameters, .. }
        if name == "meta_selesai_diproses_at_meta" && language == "id" && parameters[0].1 == "Budi")
    );
    assert_eq!(
        choice.routes[1].content,
        Content::Text("selesai_diproses: Budi".into())
    );
    assert!(choice.skipped.is_empty());
}

#[test]
fn meta_needs_consent_or_an_open_window() {
    let wrote = |hours: i64, seconds: i64| Recipient {
        opted_in: false,
        last_inbound_at: Some(now() - TimeDelta::hours(hours) - TimeDelta::seconds(seconds)),
        no_marketing: false,
    };
    let table = [
        (OPTED_IN, true),
        (STRANGER, false),
        (wrote(0, 1), true),
        (wrote(23, 3599), true),
        (wrote(24, 0), false),
        (wrote(0, -60), true),
        (
            Recipient {
                opted_in: true,
                ..wrote(48, 0)
            },
            true,
        ),
    ];
    for (recipient, eligible) in table {
        let choice = choose_for(recipient, "selesai_diproses", &three(), &pair());
        assert_eq!(
            order(&choice),
            if eligible { vec![1, 2, 3] } else { vec![2, 3] },
            "{recipient:?}"
        );
        assert_eq!(choice.skipped.is_empty(), eligible);
    }
}

#[test]
fn order_of_the_providers() {
    let kinds = [ProviderKind::Meta, ProviderKind::Fonnte, ProviderKind::Watzap];
    // sequences of Meta 1, Fonnte 2, Watzap 3; the default; the order
    let table: &[([i32; 3], Option<usize>, &[i64])] = &[
        ([10, 10, 10], None, &[1, 2, 3]),
        ([99, 10, 5], None, &[1, 3, 2]),
        ([10, 5, 5], None, &[1, 2, 3]),
        ([10, 10, 10], Some(3), &[3, 1, 2]),
        ([10, 10, 5], Some(2), &[2, 1, 3]),
        ([10, 10, 5], Some(1), &[1, 3, 2]),
    ];
    for (sequences, default, expected) in table {
        let candidates: Vec<_> = (0..3)
            .map(|at| Candidate {
                is_default: *default == Some(at + 1),
                ..candidate(at as i64 + 1, kinds[at], sequences[at])
            })
            .collect();
        let choice = choose_for(OPTED_IN, "selesai_diproses", &candidates, &pair());
        assert_eq!(order(&choice), *expected, "{sequences:?} {default:?}");
    }
}

#[test]
fn providers_that_cannot_send_are_skipped_with_a_reason() {
    let mut candidates = three();
    candidates[0].active = false;
    candidates[1].configured = false;
    candidates[2].circuit_open = true;
    let choice = choose_for(OPTED_IN, "selesai_diproses", &candidates, &pair());
    assert!(choice.routes.is_empty() && choice.must_wait());
    assert_eq!(why(&choice, 3), &SkipReason::Inactive);
    assert_eq!(why(&choice, 2), &SkipReason::NotConfigured);
    assert_eq!(why(&choice, 1), &SkipReason::CircuitOpen);

    // A provider that could not send this message anyway is not waited for.
    let choice = choose_for(STRANGER, "selesai_diproses", &candidates, &pair());
    assert_eq!(why(&choice, 1), &SkipReason::NotEligible);
    assert!(!choice.must_wait());

    let gone = Candidate {
        circuit_open: true,
        ..candidate(2, ProviderKind::Fonnte, 1)
    };
    assert!(!choose_for(OPTED_IN, "nothing", &[gone], &pair()).must_wait());
    assert_eq!(choose_for(OPTED_IN, "x", &[], &pair()), Choice::default());
}

#[test]
fn only_usable_templates_go_to_meta() {
    use MetaStatus::*;
    for status in [
        NotConfigured,
        Configured,
        Pending,
        Approved,
        Paused,
        Disabled,
        Rejected,
    ] {
        let templates = shelf([template("permit_ready", Some(status), true, &["partner_name"])]);
        let choice = choose_for(OPTED_IN, "permit_ready", &three(), &templates);
        let usable = matches!(status, Approved | Configured);
        assert_eq!(
            order(&choice),
            if usable { vec![1, 2, 3] } else { vec![2, 3] },
            "{status}"
        );
        if !usable {
            assert_eq!(
                why(&choice, 1),
                &SkipReason::TemplateUnusable {
                    key: key("permit_ready"),
                    status
                }
            );
        }
    }
}

#[test]
fn the_first_template_that_works_is_used() {
    let approved = Some(MetaStatus::Approved);
    let name = |choice: &Choice| choice.routes[0].template_key_used.clone();
    // Not approved, then lacking a value, then good.
    let templates = shelf([
        template("meta_mapped", Some(MetaStatus::Paused), false, &["partner_name"]),
        template(
            "izin_elsewhere",
            approved,
            false,
            &["partner_name", "completion_date"],
        ),
        template("izin_mapped", approved, false, &["partner_name"]),
        template("mapped", approved, true, &["partner_name"]),
    ]);
    assert_eq!(
        name(&choose_for(OPTED_IN, "mapped", &three(), &templates)),
        key("izin_mapped")
    );
    // With every value the map's target comes first.
    let templates = shelf([
        template("izin_elsewhere", approved, false, &["partner_name"]),
        template("izin_mapped", approved, false, &["partner_name"]),
    ]);
    assert_eq!(
        name(&choose_for(OPTED_IN, "mapped", &three(), &templates)),
        key("izin_elsewhere")
    );
}

#[test]
fn reasons_read_like_sentences() {
    let templates = shelf([
        template(
            "izin_a",
            Some(MetaStatus::Approved),
            false,
            &["partner_name", "update_reason"],
        ),
        template("a", None, false, &[]),
    ]);
    let choice = choose_for(OPTED_IN, "a", &three(), &templates);
    assert!(choice.routes.is_empty() && !choice.must_wait());
    let table = [
        (
            1,
            "template izin_a: no value for update_reason: add it to the rule's context",
        ),
        (2, "template a is not meant for Fonnte and Watzap"),
    ];
    for (id, expected) in table {
        assert_eq!(why(&choice, id).to_string(), expected);
    }
    let choice = choose_for(OPTED_IN, "b", &three(), &templates);
    assert_eq!(why(&choice, 1).to_string(), "no template under meta_b, izin_b, b");
    assert_eq!(why(&choice, 3).to_string(), "no template under b");
}

#[test]
fn the_opt_in_request_goes_through_gateways() {
    let templates = shelf([template("meta_opt_in_request", None, true, &["partner_name"])]);
    let choice = choose_for(OPTED_IN, "meta_opt_in_request", &three(), &templates);
    assert_eq!(order(&choice), [2, 3]);
    let choice = choose_for(OPTED_IN, "opt_in_request", &three(), &templates);
    assert!(choice.routes.is_empty());
}

#[test]
fn which_failures_allow_the_next_provider() {
    let after = |class: Class, marketing, urgent, used_up| {
        let failure = Failure {
            provider: ProviderKind::Meta,
            class,
            code: "x".into(),
            message: String::new(),
            retry_after: None,
        };
        next_after(&failure, marketing, urgent, used_up)
    };
    for class in [
        Class::Template,
        Class::Content,
        Class::Window,
        Class::Account,
        Class::Soft,
    ] {
        assert!(after(class, false, false, false), "{class}");
    }
    for class in [Class::ThrottleRecipient, Class::Recipient, Class::OptOut] {
        assert!(!after(class, false, true, true), "{class}");
    }
    assert!(after(Class::Wait, false, false, false) && !after(Class::Wait, true, true, true));
    assert!(
        after(Class::ThrottleProvider, false, true, false)
            && !after(Class::ThrottleProvider, false, false, true)
    );
    assert!(after(Class::Transient, false, false, true) && !after(Class::Transient, false, false, false));
    // The guide's own case: payment trouble at Meta.
    let payment = Failure::from_meta(&json!({"code": 131042, "message": "payment issue"}), Some(400));
    assert!(next_after(&payment, false, false, false));
}
