use serde_json::json;

use super::*;

#[test]
fn every_code_of_meta_has_its_class() {
    use Class::*;
    let table: &[(Class, &[i64])] = &[
        (
            Transient,
            &[1, 2, 131000, 131016, 131057, 135000, 134101, 134102, 133004],
        ),
        (
            ThrottleProvider,
            &[4, 80007, 80008, 130429, 131048, 131064, 132069],
        ),
        (ThrottleRecipient, &[131056]),
        (Wait, &[131049, 130472]),
        (Recipient, &[131026, 131021, 131030, 131062, 137000]),
        (OptOut, &[131050]),
        (Template, &[132001, 132007, 132015, 132016, 132068]),
        (
            Content,
            &[
                132000, 132005, 132008, 132012, 132018, 100, 131008, 131009, 131051, 131052, 131053, 131055,
            ],
        ),
        (Window, &[131047]),
        (
            Account,
            &[
                33, 131063, 131042, 131044, 131031, 368, 130497, 190, 0, 3, 10, 200, 250, 299, 131005, 131037,
            ],
        ),
        (
            Account,
            &[
                131045, 133010, 133000, 133003, 133005, 133009, 133015, 133016, 134011,
            ],
        ),
    ];
    for (class, codes) in table {
        for code in *codes {
            assert_eq!(meta_class(*code), Some(*class), "{code}");
        }
    }
    for unknown in [5, 199, 300, 131001, 999_999, -1] {
        assert_eq!(meta_class(unknown), None, "{unknown}");
    }
    let mut seen = codes::listed_meta_codes();
    seen.sort_unstable();
    assert!(
        seen.windows(2).all(|pair| pair[0] != pair[1]),
        "a code stands twice"
    );
}

#[test]
fn unknown_codes_take_the_class_of_their_status() {
    let of = |error, status| Failure::from_meta(&error, status).class;
    assert_eq!(of(json!({"code": 777}), Some(500)), Class::Transient);
    assert_eq!(of(json!({"code": 777}), Some(400)), Class::Content);
    assert_eq!(of(json!({"code": 777}), Some(429)), Class::ThrottleProvider);
    assert_eq!(
        of(json!({"code": 777, "is_transient": true}), Some(400)),
        Class::Transient
    );
    assert_eq!(of(json!({"code": 777}), None), Class::Soft);
    assert_eq!(of(json!({"code": "131042"}), Some(500)), Class::Account);
    assert_eq!(of(json!({}), Some(401)), Class::Account);
}

#[test]
fn details_come_before_the_message() {
    let error =
        json!({"code": 132001, "message": "(#132001) Template", "error_data": {"details": "izin_x, id"}});
    let failure = Failure::from_meta(&error, Some(404));
    assert_eq!(failure.to_string(), "meta refused (132001, template): izin_x, id");
    let error = json!({"code": 131026, "title": "Message undeliverable"});
    assert_eq!(Failure::from_meta(&error, None).message, "Message undeliverable");
}

fn meta(code: i64) -> Consequences {
    Failure::from_meta(&json!({ "code": code }), Some(400)).consequences()
}

#[test]
fn consequences_of_the_classes() {
    // class, next provider, end, burns a try, opens the circuit
    let table = [
        (
            Class::Transient,
            Fallback::AfterTries,
            Fails::AtDeadline,
            true,
            false,
        ),
        (
            Class::ThrottleProvider,
            Fallback::IfUrgent,
            Fails::AtDeadline,
            false,
            false,
        ),
        (
            Class::ThrottleRecipient,
            Fallback::No,
            Fails::AtDeadline,
            false,
            false,
        ),
        (
            Class::Wait,
            Fallback::UnlessMarketing,
            Fails::WhenNoneLeft,
            true,
            false,
        ),
        (Class::Recipient, Fallback::No, Fails::AtOnce, true, false),
        (Class::OptOut, Fallback::No, Fails::AtOnce, true, false),
        (Class::Template, Fallback::Now, Fails::WhenNoneLeft, false, false),
        (Class::Content, Fallback::Now, Fails::WhenNoneLeft, true, false),
        (Class::Window, Fallback::Now, Fails::WhenNoneLeft, false, false),
        (Class::Account, Fallback::Now, Fails::Never, false, true),
        (Class::Soft, Fallback::Now, Fails::WhenNoneLeft, true, false),
    ];
    assert_eq!(table.len(), Class::ALL.len());
    for (class, fallback, fails, burns_try, opens) in table {
        let got = class.consequences();
        assert_eq!(
            (got.fallback, got.fails, got.burns_try, got.opens_circuit()),
            (fallback, fails, burns_try, opens),
            "{class}"
        );
        assert!(!class.remedy().is_empty());
    }
}

#[test]
fn single_codes_differ_from_their_class() {
    let twice = RetrySame::UpTo {
        tries: 2,
        then: Class::Content,
    };
    assert_eq!(meta(1).retry_same, twice);
    assert_eq!(meta(135_000).retry_same, twice);
    assert_eq!(meta(2).retry_same, RetrySame::Schedule);
    for code in [131_048, 131_064] {
        let got = meta(code);
        assert!(got.opens_circuit() && got.alert && !got.burns_try, "{code}");
        assert_eq!(
            got.retry_same,
            RetrySame::After {
                pause: 4 * HOUR,
                times: None
            }
        );
    }
    assert_eq!(meta(132_018).retry_same, RetrySame::Sanitised);
    assert_eq!(
        meta(131_049).retry_same,
        RetrySame::After {
            pause: 24 * HOUR,
            times: Some(1)
        }
    );
    assert_eq!(meta(130_472).retry_same, RetrySame::No);
    assert_eq!(meta(131_042).fallback, Fallback::Now);
    assert!(meta(132_018).repairs_first() && meta(131_047).repairs_first() && !meta(131_042).repairs_first());
    assert_eq!(
        (meta(132_000).mark, meta(132_008).mark),
        (Some(Mark::Template), None)
    );
    assert_eq!(
        (meta(131_026).mark, meta(131_030).mark),
        (Some(Mark::Number), None)
    );
    assert!(!meta(131_063).opens_circuit() && !meta(130_497).opens_circuit());
    assert_eq!(meta(131_050).fallback, Fallback::No);
}

#[test]
fn pauses() {
    let seconds: Vec<_> = (0..4)
        .map(|n| RetrySame::PowersOfFour.pause(n).unwrap().as_secs())
        .collect();
    assert_eq!(seconds, [1, 4, 16, 64]);
    assert_eq!(RetrySame::PowersOfFour.pause(99), Some(Duration::from_secs(4096)));
    assert_eq!(RetrySame::Schedule.pause(0), None);
    let mut failure = Failure::from_meta(&json!({"code": 130429}), Some(429));
    failure.retry_after = Some(MINUTE);
    assert_eq!(failure.consequences().retry_same.pause(0), Some(MINUTE));
}

#[test]
fn reasons_of_fonnte() {
    use Class::*;
    let table = [
        ("token invalid", Account, "token_invalid"),
        ("unknown user", Account, "unknown_user"),
        ("devices must belong to an account", Account, "foreign_device"),
        ("Request invalid on DISCONNECTED device", Account, DISCONNECTED),
        ("device not connected", Account, DISCONNECTED),
        ("insufficient quota, limit reached", Account, "insufficient_quota"),
        ("target invalid", Recipient, "target_invalid"),
        ("input invalid", Content, "input_invalid"),
        ("JSON format invalid", Content, "json_invalid"),
        ("url unreachable", Content, "url_unreachable"),
        ("file size must under 4MB", Content, "file_size"),
        ("too many requests", ThrottleProvider, "limit"),
        ("daily limit", ThrottleProvider, "limit"),
        ("temporary error", Transient, "temporary_error"),
        ("request timeout", Transient, "request_timeout"),
    ];
    for (reason, class, code) in table {
        assert_eq!(fonnte_class(reason), Some((class, code)), "{reason}");
    }
    assert_eq!(fonnte_class("bulan purnama"), None);
    let gone = Failure::new(ProviderKind::Fonnte, Account, DISCONNECTED, "");
    assert_eq!(gone.consequences().circuit, Circuit::Opens(2 * MINUTE));
}

#[test]
fn statuses_of_watzap() {
    use Class::*;
    let table = [
        ("1002", "invalid api_key", Account, "1002"),
        ("1003", "", Account, "1003"),
        ("1004", "", Account, "1004"),
        ("1005", "WhatsApp Instance Not Started", Account, DISCONNECTED),
        (
            "1005",
            "Phone number is not registered on WhatsApp",
            Recipient,
            "1005",
        ),
        ("1005", "something else", Soft, "1005"),
        ("1006", "", Transient, "1006"),
        ("3001", "upgrade your plan", Account, "3001"),
        ("1009", "", Soft, "1009"),
        ("false", "", Soft, "false"),
    ];
    for (status, message, class, code) in table {
        assert_eq!(
            watzap_class(status, message),
            (class, code.to_owned()),
            "{status} {message}"
        );
    }
}
