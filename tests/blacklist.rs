//! P6: a blacklisted number gets nothing, in any notation, on our list or on Odoo's; and SQL reads numbers as the daemon does.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::desk;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sicantik_notifyd::host::phone::Phone;
use sicantik_notifyd::testkit::gateway::HoldPoint;
use sicantik_notifyd::testkit::gateway::Provider;

/// One number, as people write it.
const NOTATIONS: [&str; 8] = [
    "081234567890",
    "0812-3456-7890",
    "(0812) 3456 7890",
    "81234567890",
    "6281234567890",
    "+62 812 3456 7890",
    "+62 (0) 812.3456.7890",
    "006281234567890",
];
const NUMBER: &str = "+6281234567890";
const FREE: &str = "+6281300000001";

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_blacklisted_number_gets_nothing_in_eight_notations() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let _daemon = desk.quick().await;
    let mut skipped = 0;
    for list in ["ours", "odoo"] {
        for notation in NOTATIONS {
            match list {
                "ours" => {
                    assert_eq!(
                        desk.text(&format!(
                            "select sicantik_notify.blacklist_add('{notation}', 'asked us to')"
                        ))
                        .await
                        .as_deref(),
                        Some(NUMBER)
                    );
                }
                _ => {
                    desk.sql(&format!(
                        "insert into phone_blacklist (number, active) values ('{notation}', true)"
                    ))
                    .await;
                }
            }
            let id = desk.message(NUMBER).await;
            desk.until(&format!(
                "select state = 'skipped' and code = 'blacklisted' and error like 'the number is on the blacklist%'
                 from sicantik_notify.log where id = {id}"
            ))
            .await;
            skipped += 1;
            match list {
                "ours" => {
                    desk.sql(&format!("select sicantik_notify.blacklist_remove('{notation}')"))
                        .await
                }
                _ => {
                    desk.sql(&format!(
                        "delete from phone_blacklist where number = '{notation}'"
                    ))
                    .await
                }
            }
        }
    }
    assert_eq!(desk.office.gateway.count(), 0);
    assert_eq!(skipped, 16);
    let row = desk
        .admin
        .query_one("select phone, active, reason, source, blocked_count, last_blocked_date is not null from sicantik_notify.v_blacklist", &[])
        .await
        .unwrap();
    assert_eq!(
        (
            row.get::<_, &str>(0),
            row.get::<_, bool>(1),
            row.get::<_, &str>(2),
            row.get::<_, &str>(3),
            row.get::<_, i64>(4),
            row.get::<_, bool>(5)
        ),
        (NUMBER, false, "asked us to", "operator", 8, true)
    );
    // No attempt was made, and taken off both lists it hears from us again.
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt").await,
        0
    );
    // An inactive row of Odoo's list is no row.
    desk.sql(&format!(
        "insert into phone_blacklist (number, active) values ('{NUMBER}', false)"
    ))
    .await;
    desk.message(NUMBER).await;
    desk.accepted(1).await;
    // A rule that says so sends all the same.
    desk.sql(&format!(
        "select sicantik_notify.blacklist_add('{NUMBER}'); update sicantik_notify.rule set respect_blacklist = false"
    ))
    .await;
    desk.message(NUMBER).await;
    desk.accepted(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_listed_after_the_claim_gets_nothing() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    let hold = script.hold(HoldPoint::BeforeAccept);
    // One call at a time: the second message is claimed, and waits.
    let _daemon = desk.daemon(&format!("{}concurrency = 1\n", desk::QUICK)).await;
    desk.message(FREE).await;
    hold.arrived().await;
    let late = desk.message(NUMBER).await;
    desk.until(&format!(
        "select state = 'processing' from sicantik_notify.queue where id = {late}"
    ))
    .await;
    desk.sql("insert into phone_blacklist (number, active) values ('0812 3456 7890', true)")
        .await;
    hold.release();
    desk.until(&format!(
        "select state = 'skipped' from sicantik_notify.log where id = {late}"
    ))
    .await;
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_odoos_list_cannot_be_read_nothing_is_sent() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql("revoke select on phone_blacklist from sicantik_notify_owner")
        .await;
    let daemon = desk.quick().await;
    let id = desk.message(NUMBER).await;
    while !daemon.log().contains("phone_blacklist") {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.office.gateway.count(), 0);
    assert_eq!(
        desk.number(&format!(
            "select count(*) from sicantik_notify.queue where id = {id}"
        ))
        .await,
        1
    );
    desk.sql("grant select on phone_blacklist to sicantik_notify_owner")
        .await;
    desk.accepted(1).await;
    desk.drained().await;
    // And where the host has no such module, nobody is on it.
    desk.sql("drop table phone_blacklist").await;
    desk.message(NUMBER).await;
    desk.accepted(2).await;
}

/// Texts as contacts hold them: numbers in all notations, with noise, letters and other scripts between.
fn texts() -> impl Strategy<Value = String> {
    let noise = prop_oneof![
        6 => "[0-9]{1,4}",
        3 => "[ .()/-]{1,2}",
        1 => prop::sample::select(vec!["+", "+62", "62", "0", "00", "08", "8", "(0)", ",", ";", "&", "\n", "\t", "x", "HP: ", " atau ", "é",
                                       "\u{a0}", "\u{202a}", "\u{200b}", "\u{2011}", "\u{2009}", "٣", "★", "+1", "+44", "@", "_", "#"])
            .prop_map(str::to_owned),
    ];
    let mobile =
        prop::sample::select(vec!["0", "62", "+62", "0062", "", "+62 (0) ", "620"]).prop_flat_map(|prefix| {
            ("8[1-35-9][0-9]{6,11}", prop::collection::vec(0_usize..12, 0..4)).prop_map(
                move |(digits, cuts)| {
                    let mut text = digits;
                    for cut in cuts {
                        if cut < text.len() {
                            text.insert(cut, ['-', ' ', '.', '/'][cut % 4]);
                        }
                    }
                    format!("{prefix}{text}")
                },
            )
        });
    prop_oneof![
        3 => prop::collection::vec(noise, 1..9).prop_map(|p| p.concat()),
        3 => mobile.clone(),
        1 => (mobile.clone(), "[ ,;/a-z]{1,4}", mobile).prop_map(|(a, s, b)| format!("{a}{s}{b}")),
        1 => "\\PC{0,25}",
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_reads_numbers_as_the_daemon_does_or_not_at_all() {
    let desk = desk().await;
    let mut runner = TestRunner::deterministic();
    let mut cases: Vec<String> = (0..20_000)
        .map(|_| texts().new_tree(&mut runner).unwrap().current())
        .filter(|text| !text.contains('\0'))
        .collect();
    cases.extend(NOTATIONS.map(str::to_owned));
    for foreign in [
        "+1 650-253-0000",
        "001 650 253 0000",
        "+60123456789",
        "+6581234567",
        "+82 10-1234-5678",
        "+61 412 345 678",
    ] {
        cases.push(foreign.to_owned());
    }
    let rows = desk
        .admin
        .query(
            "select sicantik_notify.normal_phone(t) from unnest($1::text[]) with ordinality as u (t, n) order by n",
            &[&cases],
        )
        .await
        .unwrap();
    let known = |c: char| c.is_ascii() || "\u{a0}\u{202a}\u{200b}\u{2011}\u{2009}é".contains(c);
    let (mut same, mut unread) = (0, 0);
    for (text, row) in cases.iter().zip(&rows) {
        let found: Option<&str> = row.get(0);
        let daemon = Phone::parse(text).ok();
        match (&daemon, found) {
            (Some(phone), Some(found)) => {
                assert_eq!(phone.as_e164(), found, "{text:?}");
                same += 1;
            }
            // Other scripts, and what may or may not belong to a foreign number.
            (Some(phone), None) => {
                assert!(
                    !phone.is_indonesian() || !text.chars().all(known),
                    "{text:?}: SQL finds nothing"
                );
                unread += 1;
            }
            // Only numbering plans of other countries are unknown to SQL.
            (None, Some(found)) => assert!(!found.starts_with("+62"), "{text:?}: SQL finds {found}"),
            (None, None) => {}
        }
    }
    assert!(
        same > 4000 && unread < same / 20,
        "{same} the same, {unread} not read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_is_refused() {
    let desk = desk().await;
    for wrong in [
        "",
        "tidak ada",
        "021 5550123",
        "0812345",
        "+44 (0) 7911 123456",
        "+626281234567890",
        "00812345678901",
    ] {
        let error = desk
            .admin
            .query("select sicantik_notify.blacklist_add($1)", &[&wrong])
            .await
            .unwrap_err();
        assert_eq!(error.code().map(|c| c.code()), Some("22023"), "{wrong}");
    }
    let error = desk
        .admin
        .query("select sicantik_notify.blacklist_remove('0812 9999 0000')", &[])
        .await
        .unwrap_err();
    assert!(
        sicantik_notifyd::db::describe(&error).contains("not on the blacklist"),
        "{error:?}"
    );
}
