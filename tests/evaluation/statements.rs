//! Set-wise: how many statements a batch takes does not depend on how many events it has. The server counts, by its log.

use sicantik_notifyd::evaluate::batch::{Round, evaluate};

use crate::bench::Bench;

/// Statements of the runtime role that the server has executed.
fn executed(bench: &Bench) -> Vec<String> {
    let log = bench.office.cluster.log();
    let lines = log
        .lines()
        .filter(|l| l.contains("LOG:  execute ") || l.contains("LOG:  statement: "));
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_take_as_many_statements_as_ten() {
    let bench = Bench::open().await;
    let kinds = [
        ("partner", "recipient_type = 'partner', on_name_mismatch = 'hold'"),
        (
            "staff",
            "recipient_type = 'staff', staff_group = 'DPMPTSP Staff', group_by = 'recipient'",
        ),
        (
            "official",
            "recipient_type = 'official', official_group = '11', repeat_policy = 'cooldown'",
        ),
        (
            "custom",
            "recipient_type = 'custom', recipient_domain = '[(''whatsapp_opt_in'', ''='', True)]', repeat_policy = 'once_per_record'",
        ),
        (
            "field",
            "recipient_type = 'field', recipient_field = 'permit_id.partner_id.category_id.partner_ids'",
        ),
        (
            "number",
            "recipient_type = 'field', recipient_field = 'permit_id.partner_id.mobile'",
        ),
        (
            "python",
            "condition_python = 'record.permit_id.partner_id.name != False and \
             env[''sicantik.document''].search_count([(''permit_id'', ''='', record.permit_id.id)]) > 0', \
             context_preparation_code = 'context = {''partner_name'': recipient.name, \
             ''permit_number'': record.permit_id.permit_number, \
             ''status'': '', ''.join(record.permit_id.document_ids.mapped(''name''))}'",
        ),
        (
            "condition",
            "condition_domain = '[(''permit_id.partner_id.name'', ''ilike'', ''a''), (''create_date'', ''<'', datetime.now())]'",
        ),
    ];
    bench
        .sql("insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('all', 'All', 'sicantik.document', 'manual')")
        .await;
    for (code, columns) in kinds {
        bench
            .sql(&format!(
                "insert into sicantik_notify.rule (code, name, trigger, template_key) values ('{code}', '{code}', 'all', 'permit_ready');
                 update sicantik_notify.rule set {columns} where code = '{code}'"
            ))
            .await;
    }
    bench
        .sql(
            "insert into sicantik_document (id, document_number, name, permit_id, state, create_date)
             select 100 + i, 'DOC/' || i, 'Dokumen', 1 + i % 20, 'uploaded', now() - interval '3 days' from generate_series(1, 1020) i;
             delete from sicantik_notify.event;
             alter role sicantik_notifyd set log_statement = 'all'",
        )
        .await;
    bench.grants().await;
    let mut client = bench.client("").await;
    let configuration = bench.configuration(&mut client).await;
    assert_eq!(
        configuration
            .problems
            .iter()
            .map(|p| p.summary.as_str())
            .collect::<Vec<_>>(),
        [""; 0]
    );
    let mut counts = Vec::new();
    let mut shown = Vec::new();
    // The first batch of a connection also asks what types are. A batch takes the records of half of the shards.
    for records in [101..=110, 111..=120, 121..=1120] {
        let records: Vec<i32> = records.collect();
        bench.fire("all", &records).await;
        let before = executed(&bench).len();
        let round = evaluate(&mut client, &configuration, 5000, 60).await.unwrap();
        let Round::Done(done) = round else {
            panic!("{round:?}");
        };
        let few = records.len() <= 10;
        assert!(
            done.changes == records.len() || !few && done.changes > 300,
            "{done:?}"
        );
        assert_eq!(done.set_aside, 0);
        let statements = executed(&bench);
        counts.push(statements.len() - before);
        shown.push(statements[before..].join("\n"));
    }
    assert!(counts[1] > 20, "the log counts: {counts:?}");
    assert_eq!(counts[1], counts[2], "{}\n---\n{}", shown[1], shown[2]);
    for (code, _) in kinds {
        let decided = format!("select count(*) from sicantik_notify.decision where rule_code = '{code}'");
        assert!(bench.number(&decided).await >= 320, "{code}");
    }
}
