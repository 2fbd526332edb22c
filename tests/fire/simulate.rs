//! `simulate`: what would be told is what is told, and nothing is written meanwhile.

use serde_json::{Value, json};
use sicantik_notifyd::testkit::host::ids;

use crate::desk::{Desk, approve, citizens, desk};

/// Every row of every table of ours.
async fn everything(desk: &Desk) -> Vec<(String, Option<String>)> {
    let tables = desk
        .admin
        .query(
            "select c.relname::text from pg_class c where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind = 'r' order by 1",
            &[],
        )
        .await
        .unwrap();
    let mut all = Vec::new();
    for table in tables {
        let name: String = table.get(0);
        let rows = format!(
            "select md5(string_agg(t::text || t.ctid::text || t.xmin::text, '|' order by t::text)) from sicantik_notify.\"{name}\" t"
        );
        all.push((name, desk.admin.query_one(&rows, &[]).await.unwrap().get(0)));
    }
    assert!(all.len() > 30, "{all:?}");
    all
}

fn count(report: &Value, rule: &str, outcome: &str) -> u64 {
    let silent = report["silent"].as_array().unwrap();
    let found = silent
        .iter()
        .find(|s| s["rule"] == rule && s["outcome"] == outcome);
    found.map_or(0, |s| s["count"].as_u64().unwrap())
}

async fn file(desk: &Desk, text: &str) -> String {
    let path = desk.office.folder().join("simulated.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_is_what_is_sent_and_nothing_changes_meanwhile() {
    let desk = desk().await;
    desk.trigger(
        "by_hand",
        "manual",
        "active = false, condition_domain = '[(\"status\", \"=\", \"active\")]', repeat_policy = 'once_per_record'",
    )
    .await;
    desk.sql(
        "insert into sicantik_notify.repeat_mark (rule_id, phone, record_id, model) \
         select id, '+6281211112222', 2, 'sicantik.permit' from sicantik_notify.rule where code = 'by_hand';
         select sicantik_notify.blacklist_add('628123334444', 'asked on the phone')",
    )
    .await;
    let before = everything(&desk).await;
    let report = desk
        .json(&["simulate", "--trigger", "by_hand", "--limit", "100"])
        .await;
    let (code, text) = desk
        .cli(&["simulate", "--rule", "by_hand", "--ids", "1,2,3,6,10"])
        .await;
    assert_eq!(everything(&desk).await, before);
    assert_eq!(code, 0, "{text}");
    for said in [
        "Not in force now, and simulated as if active: rule by_hand.",
        "5 records were looked at; the trigger is about 5 of them.",
        "1 message would be enqueued.",
        "rule by_hand: rule_condition 1",
        "rule by_hand: repeated 1",
        "rule by_hand: no_recipient 1",
        "rule by_hand: blacklisted 1",
        "record 3, partner 12: the number is on the blacklist: asked on the phone",
        "sicantik.permit,1: rule by_hand tells Budi Santoso (",
        "fonnte, template permit_ready:",
        "Yth. Budi Santoso,",
        "Nothing was sent, and nothing was written.",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("6281234567890"), "numbers are masked: {text}");
    assert_eq!(
        (&report["looked_at"], &report["inactive"]),
        (&json!(ids_of_all()), &json!(["rule by_hand"]))
    );
    assert_eq!(count(&report, "by_hand", "rule_condition"), 5);

    // Now in earnest: the same people, the same texts.
    let mut would: Vec<(String, String)> = report["shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            (
                s["name"].as_str().unwrap().to_owned(),
                s["content"]["text"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    assert_eq!(would.len() as u64, report["messages"].as_u64().unwrap());
    desk.sql("update sicantik_notify.rule set active = true where code = 'by_hand'")
        .await;
    let _daemon = desk.quick().await;
    let all =
        "select sicantik_notify.fire_trigger('by_hand', null, array(select id::bigint from sicantik_permit))";
    desk.sql(all).await;
    desk.drained().await;
    let told = desk.accepted(would.len()).await;
    let mut sent: Vec<String> = told
        .iter()
        .filter(|a| a.template.is_none())
        .map(|a| a.text.clone())
        .collect();
    sent.sort();
    would.retain(|(_, text)| !text.is_empty());
    let mut texts: Vec<String> = would.into_iter().map(|(_, text)| text).collect();
    texts.sort();
    assert_eq!(sent, texts);
    assert_eq!(told.len(), desk.office.gateway.count());
}

fn ids_of_all() -> i64 {
    ids::PERMITS
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_tried_against_the_changes_of_the_last_days() {
    let desk = desk().await;
    let daemon = desk.quick().await;
    let mut odoo = desk.odoo().await;
    let permits = citizens(&mut odoo, 3).await;
    let changed: Vec<i32> = permits.iter().map(|(id, _)| *id).collect();
    approve(&mut odoo, &changed).await;
    desk.accepted(3).await;
    desk.drained().await;
    drop(daemon);
    let rule = file(
        &desk,
        "[[rule]]\ncode = \"tried\"\ntrigger = \"permit_state_change\"\ntemplate_key = \"permit_ready\"\n\
         condition_domain = \"[('state', '=', 'approved')]\"\nrepeat_policy = \"once_per_record\"\n",
    )
    .await;
    let before = everything(&desk).await;
    let report = desk.json(&["simulate", "-f", &rule, "--since", "7d"]).await;
    let stored = desk
        .json(&["simulate", "--rule", "notify_permit_approved", "--since", "7d"])
        .await;
    let later = desk
        .json(&["simulate", "-f", &rule, "--since", "2099-01-01"])
        .await;
    let (_, nothing) = desk
        .cli(&["simulate", "-f", &rule, "--since", "2099-01-01"])
        .await;
    assert_eq!(everything(&desk).await, before);
    assert_eq!(
        (&report["what"], &report["concerned"], &report["messages"]),
        (&json!("changes"), &json!(3), &json!(3)),
        "{report}"
    );
    assert_eq!(stored["messages"], 3, "{stored}");
    assert_eq!(later["looked_at"], 0);
    assert!(
        nothing.contains("hooks capture what active triggers watch"),
        "{nothing}"
    );
    let records: Vec<i64> = report["shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["records"][0].as_i64().unwrap())
        .collect();
    assert_eq!(
        records,
        changed.iter().map(|id| i64::from(*id)).collect::<Vec<_>>()
    );

    // A trigger of its own, about records: those that stand where it leads.
    let whole = file(
        &desk,
        "[trigger]\ncode = \"new\"\nmodel = \"sicantik.permit\"\ntrigger_type = \"on_state_change\"\nstate_to = \"draft\"\n\
         [[rule]]\ncode = \"told\"\ntemplate_key = \"permit_ready\"\n\
         condition_python = \"kwargs['new_state'] == 'draft' and record.status == 'draft'\"\n",
    )
    .await;
    let report = desk.json(&["simulate", "-f", &whole]).await;
    assert_eq!(
        (&report["looked_at"], &report["messages"]),
        (&json!(2), &json!(2)),
        "{report}"
    );
    // What is wrong is said with its place.
    for (text, said) in [
        ("[[rule]]\ncode = \"x\"\n", "names no trigger"),
        (
            "[[rule]]\ntrigger = \"nobody\"\ntemplate_key = \"permit_ready\"\n",
            "there is no trigger nobody",
        ),
        (
            "[[rule]]\ncode = \"x\"\ntrigger = \"permit_issued\"\n",
            "has no template_key",
        ),
        (
            "[[rule]]\ncode = \"x\"\ntrigger = \"permit_issued\"\ntemplate = \"permit_ready\"\n",
            "rule has no column template; it has",
        ),
        (
            "[[rule]]\ncode = \"x\"\ntrigger = \"permit_issued\"\ntemplate_key = \"permit_ready\"\ncondition_domain = \"[('stat', '=', 1)]\"\n",
            "^^^^",
        ),
        (
            "[trigger]\ncode = \"x\"\nmodel = \"no.such\"\ntrigger_type = \"manual\"\n",
            "the host has no model no.such",
        ),
        (
            "[trigger]\ncode = \"x\"\nmodel = \"sicantik.permit\"\ntrigger_type = \"manual\"\n",
            "has no rule",
        ),
    ] {
        let path = file(&desk, text).await;
        let (code, answer) = desk.cli(&["simulate", "-f", &path]).await;
        assert_eq!(code, 1, "{answer}");
        assert!(answer.contains(said), "{text}: {answer}");
    }
    for (arguments, said) in [
        (vec!["simulate", "--rule", "nobody"], "there is no rule nobody"),
        (
            vec!["simulate", "--trigger", "nobody"],
            "there is no trigger nobody",
        ),
        (
            vec![
                "simulate",
                "--trigger",
                "permit_expiring",
                "--domain",
                "[('x', '=', 1)]",
            ],
            "field error",
        ),
    ] {
        let (code, answer) = desk.cli(&arguments).await;
        assert_eq!(code, 1, "{answer}");
        assert!(answer.contains(said), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_simulated_as_one_message_a_recipient_and_a_failing_record_alone() {
    let desk = desk().await;
    desk.trigger(
        "grouped",
        "cron",
        "group_by = 'recipient', condition_domain = '[(\"partner_id\", \"in\", [10, 11])]'",
    )
    .await;
    let report = desk.json(&["simulate", "--trigger", "grouped"]).await;
    assert_eq!(report["messages"], 2, "{report}");
    let shown = report["shown"].as_array().unwrap();
    assert_eq!(
        (&shown[0]["records"], &shown[1]["records"]),
        (&json!([1, 11]), &json!([2]))
    );

    desk.trigger(
        "failing",
        "manual",
        "condition_python = '1 // (record.id - 2) and record.id < 4'",
    )
    .await;
    let report = desk
        .json(&["simulate", "--trigger", "failing", "--ids", "1,2,3,4"])
        .await;
    assert_eq!(
        (report["messages"].as_u64(), count(&report, "failing", "error")),
        (Some(2), 1),
        "{report}"
    );
}

/// Runs the binary; the most memory that it had, in KiB, and what it printed.
async fn peak(desk: &Desk, arguments: &[&str]) -> (u64, String) {
    let mut command = desk.office.command(arguments);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id().unwrap());
    let mut peak = 0;
    let mut out = child.stdout.take().unwrap();
    let read = tokio::spawn(async move {
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut out, &mut text)
            .await
            .unwrap();
        text
    });
    while child.try_wait().unwrap().is_none() {
        let now = std::fs::read_to_string(&status).unwrap_or_default();
        let line = now.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    (peak, read.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_memory_does_not_grow_with_the_records() {
    let desk = desk().await;
    desk.trigger("by_hand", "manual", "repeat_policy = 'once_per_record'")
        .await;
    desk.sql(
        "insert into sicantik_permit (registration_id, permit_number, permit_type_name, partner_id, status, create_date, write_date)
         select 'R' || n, '503/' || n, 'Izin', 10, 'active', now(), now() from generate_series(1, 20000) n;
         analyze sicantik_permit",
    )
    .await;
    let (few, text) = peak(
        &desk,
        &["simulate", "--rule", "by_hand", "--domain", "[('id', '<', 1000)]"],
    )
    .await;
    assert!(text.contains("Nothing was sent"), "{text}");
    let begun = std::time::Instant::now();
    let (many, text) = peak(&desk, &["simulate", "--rule", "by_hand"]).await;
    println!("{few} KiB, {many} KiB, {:?}", begun.elapsed());
    assert!(text.contains("20020 records were looked at"), "{text}");
    assert!(
        few > 0 && many < few + 8 * 1024,
        "{few} KiB for 1000 records, {many} KiB for 20000"
    );
}
