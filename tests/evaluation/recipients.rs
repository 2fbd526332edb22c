//! The five kinds of recipients, and what happens where there is nobody.

use sicantik_notifyd::testkit::host::ids;

use crate::bench::Bench;

const NOBODY: i32 = ids::PERMIT_NO_PARTNER;

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_is_the_records_or_its_permits() {
    let bench = Bench::open().await;
    bench
        .rule("sicantik.permit", "of_permit", "recipient_type = 'partner'")
        .await;
    bench
        .rule("sicantik.document", "of_document", "recipient_type = 'partner'")
        .await;
    bench
        .rule("res.partner", "of_partner", "recipient_type = 'partner'")
        .await;
    bench.grants().await;
    bench
        .fire("of_permit", &[1, NOBODY, 7, ids::PERMIT_DRAFT, 18])
        .await;
    bench.fire("of_document", &[1, 7]).await;
    bench
        .fire("of_partner", &[ids::PARTNER_BUDI, ids::PARTNER_ARCHIVED])
        .await;
    bench.run().await;
    assert_eq!(bench.told("of_permit").await, ["1 10", "6 15"]);
    assert_eq!(
        bench.told("of_document").await,
        ["1 10"],
        "document 7 is of the permit without partner"
    );
    assert_eq!(bench.told("of_partner").await, ["10 10", "17 17"]);
    let decided = bench
        .texts("select record_id || ' ' || outcome || ' ' || reason from sicantik_notify.decision where rule_code = 'of_permit' order by 1")
        .await;
    assert!(
        decided.contains(&"10 no_recipient the record has no partner, and no permit with one".to_owned()),
        "{decided:?}"
    );
    assert!(
        decided.contains(&"7 no_phone whatsapp_number, mobile and phone are empty".to_owned()),
        "{decided:?}"
    );
    assert!(
        decided.iter().any(|d| d.starts_with("18 no_phone mobile: ")),
        "{decided:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_named_by_name_database_id_or_external_id() {
    let bench = Bench::open().await;
    for (code, group) in [
        ("by_name", "DPMPTSP Staff"),
        ("by_other_language", "Staf DPMPTSP"),
        ("by_id", "10"),
    ] {
        let columns = format!("recipient_type = 'staff', staff_group = '{group}'");
        bench.rule("sicantik.document", code, &columns).await;
        bench.fire(code, &[1, 2]).await;
    }
    let columns = "recipient_type = 'official', official_group = '__export__.res_groups_11_4f2a9c1e'";
    bench.rule("sicantik.document", "official", columns).await;
    let columns = "recipient_type = 'staff', staff_group = 'Nobody'";
    bench.rule("sicantik.document", "unknown", columns).await;
    bench.fire("official", &[1]).await;
    bench.fire("unknown", &[1]).await;
    bench.sql("insert into res_groups (id, name) values (20, '{\"en_US\": \"Empty\"}'), (21, '{\"en_US\": \"Pejabat\"}')").await;
    let columns = "recipient_type = 'official', official_group = 'Pejabat'";
    bench.rule("sicantik.document", "ambiguous", columns).await;
    let columns = "recipient_type = 'official', official_group = 'Empty'";
    bench.rule("sicantik.document", "empty", columns).await;
    bench.fire("ambiguous", &[1]).await;
    bench.fire("empty", &[1]).await;
    let done = bench.run().await;
    assert_eq!(done.set_aside, 2, "the unknown and the ambiguous group");
    for code in ["by_name", "by_other_language", "by_id"] {
        assert_eq!(
            bench.told(code).await,
            ["1 6", "1 7", "1 8", "2 6", "2 7", "2 8"],
            "{code}"
        );
    }
    assert_eq!(bench.told("official").await, ["1 8"]);
    let reasons = bench
        .texts("select rule_code || ': ' || outcome || ' ' || reason from sicantik_notify.decision where outcome <> 'enqueued' order by 1")
        .await;
    assert_eq!(
        reasons,
        [
            "ambiguous: error \"Pejabat\" means several groups ([11, 21]); name one by external id or database id",
            "empty: no_recipient the group has no active member",
            "unknown: error the host has no group \"Nobody\" (external id, database id or name)",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_domain_is_asked_once_and_leaves_archived_people_out() {
    let bench = Bench::open().await;
    let custom = |domain: &str| {
        format!(
            "recipient_type = 'custom', recipient_domain = '{}'",
            domain.replace('\'', "''")
        )
    };
    for (code, domain) in [
        ("opted_in", "[('whatsapp_opt_in', '=', True)]"),
        ("archived", "[('id', '=', 17)]"),
        (
            "archived_too",
            "[('id', 'in', [17, 18]), ('active', 'in', [True, False])]",
        ),
        ("category", "[('category_id.name', 'ilike', 'Prior')]"),
        (
            "computed",
            "[('id', '=', uid + 9), ('create_date', '<', datetime.now() + timedelta(days=1))]",
        ),
        ("of_record", "[('id', '=', record.partner_id.id)]"),
        ("unknown", "[('colour', '=', 3)]"),
        ("secret", "[('user_ids.password', 'ilike', 'a')]"),
    ] {
        bench.rule("sicantik.permit", code, &custom(domain)).await;
    }
    bench.grants().await;
    for code in ["opted_in", "archived", "archived_too", "category", "computed"] {
        bench.fire(code, &[1, NOBODY]).await;
    }
    bench.run().await;
    assert_eq!(bench.told("opted_in").await, ["1 6", "1 25", "10 6", "10 25"]);
    assert_eq!(
        bench.told("archived_too").await,
        ["1 17", "10 17"],
        "18 is a landline"
    );
    assert_eq!(bench.told("category").await, ["1 25", "10 25"]);
    assert_eq!(bench.told("computed").await, ["1 10", "10 10"]);
    assert_eq!(bench.told("archived").await, [""; 0]);
    assert_eq!(
        bench.decided("archived").await,
        [
            "1 no_recipient: no partner meets recipient_domain",
            "10 no_recipient: no partner meets recipient_domain"
        ]
    );
    let refused = bench.problem("of_record").await;
    assert!(
        refused.contains("it uses `record`") && refused.contains("recipient_field"),
        "{refused}"
    );
    assert!(bench.problem("unknown").await.contains("colour"));
    assert!(bench.problem("secret").await.contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_domain_that_means_too_many_tells_nobody() {
    let bench = Bench::open().await;
    bench
        .rule(
            "sicantik.permit",
            "everybody",
            "recipient_type = 'custom', recipient_domain = '[]'",
        )
        .await;
    bench.grants().await;
    bench
        .sql("update sicantik_notify.setting set value = '5' where key = 'recipient_limit'")
        .await;
    bench.fire("everybody", &[1, 2]).await;
    assert_eq!(bench.run().await.set_aside, 2);
    assert_eq!(bench.told("everybody").await, [""; 0]);
    let decided = bench.decided("everybody").await;
    assert_eq!(decided.len(), 2);
    assert!(
        decided[0].starts_with("1 error: recipient_domain means more than 5 people")
            && decided[0].contains("recipient_limit"),
        "{decided:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_leads_to_partners_users_or_a_number() {
    let bench = Bench::open().await;
    for (code, model, path) in [
        ("permit", "sicantik.document", "permit_id.partner_id"),
        ("user", "sicantik.document", "uploaded_by"),
        ("user_partner", "sicantik.document", "signer_id.partner_id"),
        ("lines", "sicantik.permit", "partner_id.child_ids"),
        ("links", "sicantik.permit", "partner_id.category_id.partner_ids"),
        ("lines_first", "sicantik.permit", "document_ids.uploaded_by"),
        ("number", "sicantik.permit", "notes"),
        ("number_behind", "sicantik.document", "permit_id.notes"),
        ("inherited", "sicantik.document", "uploaded_by.phone"),
    ] {
        let columns = format!("recipient_type = 'field', recipient_field = '{path}'");
        bench.rule(model, code, &columns).await;
    }
    bench.grants().await;
    bench
        .sql(
            "update sicantik_permit set notes = '0812-3456-0001' where id = 1;
             update sicantik_permit set notes = 'segera' where id = 2;
             update sicantik_permit set notes = '' where id = 3;
             update res_partner set parent_id = 18 where id = 17;
             insert into res_partner_res_partner_category_rel (category_id, partner_id) values (1, 17)",
        )
        .await;
    let documents = [1, 2, 3, 4, 7];
    for code in ["permit", "user", "user_partner", "number_behind", "inherited"] {
        bench.fire(code, &documents).await;
    }
    for code in ["lines", "links", "lines_first", "number"] {
        bench.fire(code, &[1, 2, 3, 9, NOBODY]).await;
    }
    bench.run().await;
    // 13 has a spoilt number; the permit of document 7 has no partner.
    assert_eq!(bench.told("permit").await, ["1 10", "2 11", "3 12"]);
    assert_eq!(
        bench.told("user").await,
        ["2 6", "3 6", "4 6", "7 6"],
        "document 1 is a draft"
    );
    assert_eq!(bench.told("user_partner").await, ["4 8"]);
    assert_eq!(
        bench.told("lines").await,
        ["9 19"],
        "the archived contact is left out"
    );
    assert_eq!(
        bench.told("links").await,
        ["1 10", "9 10"],
        "18 is a landline, 17 archived"
    );
    assert_eq!(bench.told("lines_first").await, ["2 6", "3 6", "9 6", "10 6"]);
    assert_eq!(bench.told("number").await, ["1 +6281234560001"]);
    assert_eq!(bench.told("number_behind").await, ["1 +6281234560001"]);
    assert_eq!(
        bench.told("inherited").await,
        [
            "2 +6281360000006",
            "3 +6281360000006",
            "4 +6281360000006",
            "7 +6281360000006"
        ],
        "a user's fields are his partner's"
    );
    let decided = bench.decided("number").await;
    assert!(decided[0].starts_with("1 enqueued"), "{decided:?}");
    assert!(
        decided
            .iter()
            .any(|d| d.starts_with("2 no_phone: recipient_field: ")),
        "{decided:?}"
    );
    for nobody in [
        "3 no_recipient: recipient_field leads to nobody",
        "10 no_recipient: recipient_field leads to nobody",
    ] {
        assert!(decided.contains(&nobody.to_owned()), "{decided:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_nowhere_is_refused_with_the_fields_that_lead_on() {
    let bench = Bench::open().await;
    for (code, path, wanted) in [
        (
            "unknown",
            "permit_id.partner",
            "sicantik.permit has no field \"partner\"; fields that lead on are",
        ),
        (
            "no_person",
            "permit_id",
            "it ends at sicantik.permit, which is nobody",
        ),
        (
            "no_number",
            "permit_id.expiry_date",
            "expiry_date of sicantik.permit leads to nobody and holds no number",
        ),
        (
            "beyond",
            "document_number.phone",
            "document_number of sicantik.document leads to nobody",
        ),
        (
            "secret",
            "uploaded_by.password",
            "password of res.users is secret",
        ),
        ("gap", "permit_id..partner_id", "has no field \"\""),
        (
            "computed",
            "permit_id.mobile",
            "mobile of sicantik.permit leads to nobody",
        ),
        (
            "any_model",
            "permit_id.message_follower_ids",
            "message_follower_ids of sicantik.permit leads to nobody",
        ),
    ] {
        let columns = format!("recipient_type = 'field', recipient_field = '{path}'");
        bench.rule("sicantik.document", code, &columns).await;
        let problem = bench.problem(code).await;
        assert!(
            problem.starts_with(&format!("recipient_field {path}: ")) && problem.contains(wanted),
            "{code}: {problem}"
        );
    }
    let problem = bench.problem("unknown").await;
    assert!(
        problem.contains("partner_id") && problem.contains("notes"),
        "{problem}"
    );
    // Broken rules keep what they are asked for until they are mended.
    bench.fire("no_person", &[2]).await;
    assert_eq!(bench.run().await.set_aside, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_share_a_number_hear_it_once_for_each_record() {
    let bench = Bench::open().await;
    let columns = "recipient_type = 'custom', recipient_domain = '[(''id'', ''in'', [20, 21])]'";
    bench.rule("sicantik.permit", "shared", columns).await;
    bench.grants().await;
    bench.fire("shared", &[1, 2]).await;
    bench.run().await;
    assert_eq!(bench.told("shared").await, ["1 20", "2 20"]);
    let decided = bench.decided("shared").await;
    let twice = "1 duplicate: another recipient of this message has the same number";
    assert!(decided.contains(&twice.to_owned()), "{decided:?}");
}
