use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::deliver::provider::ProviderKind;

fn key(key: &str) -> TemplateKey {
    TemplateKey::new(key).unwrap()
}

fn template(body: &str, parameters: &[&str]) -> Template {
    Template {
        key: key("permit_ready"),
        language: "id".into(),
        body: body.into(),
        parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
        meta: Some(MetaTemplate {
            name: "izin_selesai_diproses".into(),
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

fn context(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn keys_are_words() {
    assert_eq!(key("izin_2").as_str(), "izin_2");
    for bad in ["", "a-b", "a b", "ä", "a.b"] {
        assert!(TemplateKey::new(bad).is_err(), "{bad}");
    }
    assert!(serde_json::from_str::<TemplateKey>("\"a b\"").is_err());
}

#[test]
fn candidates_of_a_key() {
    let map = Keys {
        map: BTreeMap::from([(key("permit_reminder"), key("izin_peringatan_berlaku"))]),
        ..Keys::default()
    };
    let names = |kind, word| -> Vec<String> {
        candidate_keys(kind, &key(word), &map)
            .into_iter()
            .map(String::from)
            .collect()
    };
    let meta = ProviderKind::Meta;
    assert_eq!(
        names(meta, "selesai_diproses"),
        [
            "meta_selesai_diproses",
            "izin_selesai_diproses",
            "selesai_diproses"
        ]
    );
    assert_eq!(
        names(meta, "permit_reminder"),
        [
            "meta_permit_reminder",
            "izin_peringatan_berlaku",
            "izin_permit_reminder",
            "permit_reminder"
        ]
    );
    assert_eq!(
        names(meta, "izin_reminder"),
        ["meta_izin_reminder", "izin_reminder"]
    );
    // The opt-in request is a gateway template: literal, and no variant of another key unless the map says so.
    assert_eq!(
        names(meta, "opt_in_request"),
        ["izin_opt_in_request", "opt_in_request"]
    );
    assert_eq!(
        names(meta, "meta_opt_in_request"),
        ["izin_meta_opt_in_request", "meta_opt_in_request"]
    );
    let asked = Keys {
        map: BTreeMap::from([(key("opt_in_request"), key("meta_opt_in_request"))]),
        ..Keys::default()
    };
    assert_eq!(
        candidate_keys(meta, &key("opt_in_request"), &asked)[0],
        key("meta_opt_in_request")
    );
    for gateway in [ProviderKind::Fonnte, ProviderKind::Watzap] {
        assert_eq!(names(gateway, "permit_reminder"), ["permit_reminder"]);
        // The guide's pair: the official name is for Meta, the plain one for gateways.
        assert_eq!(
            names(gateway, "meta_selesai_diproses"),
            ["selesai_diproses", "meta_selesai_diproses"]
        );
        assert_eq!(names(gateway, "meta_opt_in_request"), ["meta_opt_in_request"]);
    }
    let more = Keys::new(BTreeMap::new(), "izin_, dpmptsp_,, b a d");
    let names: Vec<String> = candidate_keys(meta, &key("x"), &more)
        .into_iter()
        .map(String::from)
        .collect();
    assert_eq!(names, ["meta_x", "izin_x", "dpmptsp_x", "x"]);
}

#[test]
fn values_become_text() {
    let table = [
        (json!("Budi"), "Budi"),
        (json!(""), ""),
        (json!(0), "0"),
        (json!(-3), "-3"),
        (json!(30.0), "30"),
        (json!(2.5), "2.5"),
        (json!(true), "Ya"),
        (json!(false), "Tidak"),
        (json!(["A", 1]), "A, 1"),
        (json!("{{other}} $1"), "{{other}} $1"),
    ];
    for (value, expected) in table {
        let text = render(
            &template("<{{v}}>", &["v"]),
            &context(json!({ "v": value, "other": "x" })),
        )
        .unwrap();
        assert_eq!(text, format!("<{expected}>"));
    }
}

#[test]
fn placeholders_and_what_only_looks_like_them() {
    let values = context(json!({"a": "1", "b": "2"}));
    let table = [
        ("{{a}}{{ b }}", "12"),
        ("{{1}}-{{2}}", "1-2"),
        ("{a} {{}} {{a b}} {{", "{a} {{}} {{a b}} {{"),
        ("{{{a}}}", "{1}"),
        ("é{{a}}é", "é1é"),
        ("}}{{b}}", "}}2"),
    ];
    for (body, expected) in table {
        assert_eq!(
            render(&template(body, &["a", "b"]), &values).unwrap(),
            expected,
            "{body}"
        );
    }
    assert_eq!(
        placeholders(&template("{{2}} {{a}} {{b}}", &["a", "b"])),
        ["b", "a"]
    );
}

#[test]
fn missing_values_are_named_together() {
    let t = template(
        "{{partner_name}} {{x}} {{status}} {{x}}",
        &["partner_name", "x", "status"],
    );
    let error = render(&t, &context(json!({"partner_name": "Budi", "status": null}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "template permit_ready: no value for x, status: add it to the rule's context"
    );
    let error = meta_parameters(&t, &context(json!({"partner_name": "Budi"}))).unwrap_err();
    assert_eq!(
        error,
        TemplateError::Missing {
            key: t.key.clone(),
            names: vec!["x".into(), "status".into()]
        }
    );
    let error = render(
        &t,
        &context(json!({"partner_name": {"id": 1}, "x": 1, "status": 2})),
    )
    .unwrap_err();
    assert!(matches!(error, TemplateError::NotText { name, .. } if name == "partner_name"));
}

#[test]
fn meta_values_are_made_fit() {
    let table = [
        ("Budi Santoso", "Budi Santoso", false),
        ("Jl. A\nKaro", "Jl. A Karo", true),
        ("a\r\n\r\n\tb", "a b", true),
        ("a    b", "a    b", false),
        ("a     b", "a b", true),
        (" a ", "a", true),
        ("a\u{2028}b\u{7}c", "a bc", true),
        ("a \u{7} b", "a  b", true),
    ];
    for (raw, expected, changed) in table {
        let got = meta_parameters(&template("", &["v"]), &context(json!({ "v": raw }))).unwrap();
        assert_eq!(got.body, [("v".to_owned(), expected.to_owned())]);
        assert_eq!(got.changed.contains("v"), changed, "{raw:?}");
    }
}

#[test]
fn meta_refuses_empty_values_and_takes_zero() {
    let t = template("", &["a", "b", "days"]);
    let error = meta_parameters(&t, &context(json!({"a": "", "b": " \n", "days": 0}))).unwrap_err();
    assert_eq!(
        error,
        TemplateError::Empty {
            key: t.key.clone(),
            names: vec!["a".into(), "b".into()]
        }
    );
    let got = meta_parameters(&t, &context(json!({"a": "x", "b": "y", "days": 0, "more": 1}))).unwrap();
    assert_eq!(got.body[2], ("days".to_owned(), "0".to_owned()));
    let long = "x".repeat(600);
    let error = meta_parameters(&t, &context(json!({"a": long, "b": long, "days": 0}))).unwrap_err();
    assert!(matches!(error, TemplateError::TooLong { length: 1201, .. }));
}

#[test]
fn header_and_buttons_take_their_values() {
    let mut t = template("", &["name"]);
    let meta = t.meta.as_mut().unwrap();
    meta.header = Some(HeaderParameter::Document {
        link: "sk".into(),
        filename: Some("file".into()),
    });
    meta.buttons = vec![ButtonParameter {
        index: 0,
        kind: ButtonKind::Url,
        parameter: "id".into(),
    }];
    let got = meta_parameters(
        &t,
        &context(json!({"name": "B", "sk": "https://x", "file": "SK.pdf", "id": 84213})),
    )
    .unwrap();
    assert_eq!(
        got.header,
        Some(Header::Document {
            link: "https://x".into(),
            filename: Some("SK.pdf".into())
        })
    );
    assert_eq!(
        got.buttons,
        [Button {
            index: 0,
            kind: ButtonKind::Url,
            value: "84213".into()
        }]
    );
    assert!(meta_parameters(&t, &context(json!({"name": "B", "sk": "https://x", "file": "f"}))).is_err());
    t.meta = None;
    assert!(matches!(
        meta_parameters(&t, &Map::new()),
        Err(TemplateError::NotAtMeta { .. })
    ));
}

#[test]
fn fonnte_substitutes_nothing_of_ours() {
    assert_eq!(
        guard_for_fonnte("{name} { VAR1 } {var} {nama} {{x}"),
        "{\u{2060}name} {\u{2060} VAR1 } {var} {nama} {{x}"
    );
    assert_eq!(guard_for_fonnte("é{é} {name"), "é{é} {name");
}

#[test]
fn statuses_of_meta_are_read() {
    assert_eq!("APPROVED".parse(), Ok(MetaStatus::Approved));
    assert_eq!("REINSTATED".parse(), Ok(MetaStatus::Approved));
    assert!(!MetaStatus::Pending.is_usable() && MetaStatus::Configured.is_usable());
    assert!("WEIRD".parse::<MetaStatus>().is_err());
}
