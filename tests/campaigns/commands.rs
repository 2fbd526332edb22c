//! `campaign …` from the command line.

use serde_json::Value;

use crate::stand::{RULE, stand};

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_from_the_command_line_from_its_making_to_its_end() {
    let stand = stand(5).await;
    let office = &stand.desk.office;
    let domain = stand.domain(5);
    let said = office
        .run(&[
            "campaign",
            "create",
            "Peringatan",
            "--rule",
            RULE,
            "--domain",
            &domain,
            "--code",
            "peringatan",
        ])
        .await
        .unwrap();
    assert!(said.contains("its domain means 5 records now"), "{said}");
    let listed = office.run(&["campaign", "list"]).await.unwrap();
    assert!(
        listed.contains("Peringatan") && listed.contains("draft"),
        "{listed}"
    );
    let _daemon = stand.daemon().await;
    let said = office.run(&["campaign", "start", "peringatan"]).await.unwrap();
    assert!(said.contains("is running"), "{said}");
    let watched = office.run(&["campaign", "watch", "peringatan"]).await.unwrap();
    assert!(watched.ends_with("is completed.\n"), "{watched}");
    let shown: Value = serde_json::from_str(
        &office
            .run(&["campaign", "show", "peringatan", "--json"])
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!((&shown["sent"], &shown["percent"]), (&5.into(), &100.0.into()));
    let record = format!("sicantik.permit,{}", stand.first);
    let told = office.run(&["explain", "--record", &record]).await.unwrap();
    assert!(told.contains("was a target of campaign 1 (Peringatan)"), "{told}");
    let refused = office
        .run(&["campaign", "pause", "peringatan"])
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("is completed and cannot be paused"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_domain_is_refused_with_its_place_before_anything_is_written() {
    let stand = stand(1).await;
    let said = stand
        .desk
        .office
        .run(&[
            "campaign",
            "create",
            "x",
            "--rule",
            RULE,
            "--domain",
            "[('statuss', '=', 'active')]",
        ])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("target_domain") && said.contains("statuss"),
        "{said}"
    );
    assert_eq!(
        stand
            .desk
            .number("select count(*) from sicantik_notify.campaign")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_who_gets_what_and_who_does_not_and_writes_nothing() {
    let stand = stand(250).await;
    let desk = &stand.desk;
    desk.sql(&format!(
        "update sicantik_notify.rule set active = false, rate_limit_enabled = true, repeat_policy = 'once_per_record' where code = 'reminder_rule';
         update public.res_partner set phone = null where id = (select partner_id from public.sicantik_permit where id = {0});
         select sicantik_notify.blacklist_add('+62811{black}', 'asked us to stop', 'operator');
         insert into sicantik_notify.repeat_mark (rule_id, phone, record_id, model)
         select id, '+62811{told}', {0} + 3, 'sicantik.permit' from sicantik_notify.rule where code = 'reminder_rule'",
        stand.first,
        black = 1_000_003,
        told = 1_000_004,
    ))
    .await;
    let id = stand.draft(&stand.domain(250)).await.to_string();
    let before = desk
        .number("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        .await;
    let said = desk.office.run(&["campaign", "dry-run", &id]).await.unwrap();
    println!("{said}");
    for part in [
        "its domain means 250 records now",
        "247 messages with template permit_reminder",
        "247 through fonnte",
        "1 without a message: no_phone",
        "1 without a message: blacklisted",
        "1 without a message: repeated",
        "To Warga 2 ",
        "100 per hour: 247 messages take 2 hours at least",
    ] {
        assert!(
            said.to_lowercase().contains(&part.to_lowercase()),
            "{part:?} is not in\n{said}"
        );
    }
    assert_eq!(desk.number("select count(*) from sicantik_notify.queue").await, 0);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.decision").await,
        0
    );
    let after = desk
        .number("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        .await;
    assert_eq!(before, after, "a transaction wrote");
    let some = desk
        .office
        .run(&["campaign", "dry-run", &id, "--sample", "10", "--json"])
        .await
        .unwrap();
    let some: Value = serde_json::from_str(&some).unwrap();
    assert_eq!((&some["records"], &some["looked_at"]), (&250.into(), &10.into()));
}
