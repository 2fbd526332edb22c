//! Every type of trigger, from the write to the message.

use crate::on_both;
use crate::stand::Stand;

const EVALUATE: &str =
    "[capture]\npoll_interval_ms = 50\nheartbeat_seconds = 1\n[deliver]\nenabled = false\n";

/// Message that waits: rule, record.
const QUEUED: &str = "select coalesce(array_agg(format('%s %s', r.code, q.record_id) order by r.code, q.record_id), '{}') \
                      from sicantik_notify.queue q join sicantik_notify.rule r on r.id = q.rule_id";

impl Stand {
    async fn told(&self, sql: &str) -> Vec<String> {
        self.sql("delete from sicantik_notify.queue").await;
        self.sql(sql).await;
        self.settle().await;
        self.until("select not exists (select from sicantik_notify.event)")
            .await;
        self.one(QUEUED).await
    }
}

on_both!(every_type_of_trigger_tells_whom_it_should, stand, {
    let mut stand = stand;
    stand
        .sql(
            "update sicantik_notify.rule set active = false; \
             insert into sicantik_notify.trigger (code, name, model, trigger_type, state_field, state_from, state_to, field_to_watch) values \
             ('created', 'C', 'sicantik.permit', 'on_create', 'state', null, null, null), \
             ('written', 'W', 'sicantik.permit', 'on_write', 'state', null, null, null), \
             ('approved', 'A', 'sicantik.permit', 'on_state_change', 'state', 'draft', 'approved', null), \
             ('partner', 'P', 'sicantik.permit', 'on_field_change', 'state', null, null, 'partner_id'); \
             insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('byhand', 'M', 'sicantik.permit', 'manual'); \
             insert into sicantik_notify.rule (code, name, active, trigger, template_key, recipient_type, respect_blacklist, rate_limit_enabled) \
             select 'r_' || t.code, t.code, true, t.code, 'permit_ready', 'partner', false, false from sicantik_notify.trigger t \
             where t.code in ('created', 'written', 'approved', 'partner', 'byhand'); \
             update res_partner set phone = '+62811100000' || (id % 10) where id in (10, 11); \
             update sicantik_permit set partner_id = 10, status = 'draft' where id in (1, 2)",
        )
        .await;
    stand.office.run(&["hooks", "install"]).await.unwrap();
    stand.forget().await;
    stand.daemon.kill().await.unwrap();
    stand.daemon = stand.office.daemon(EVALUATE).await.unwrap();
    for (what, sql, expected) in [
        (
            "a state that changes, which is also a write",
            "update sicantik_permit set status = 'active', write_date = clock_timestamp() where id = 1",
            &["r_approved 1", "r_written 1"][..],
        ),
        (
            "a field that changes",
            "update sicantik_permit set partner_id = 11, write_date = clock_timestamp() where id = 1",
            &["r_partner 1", "r_written 1"],
        ),
        (
            "a write of another column",
            "update sicantik_permit set notes = 'x', write_date = clock_timestamp() where id = 2",
            &["r_written 2"],
        ),
        (
            "a write of nothing but noise",
            "update sicantik_permit set write_date = clock_timestamp(), last_sync_date = now() where id = 2",
            &[],
        ),
        (
            "a new record, and its second flush",
            "begin; insert into sicantik_permit (id, registration_id, permit_type_name, status, partner_id) values (900, 'n', 't', 'draft', 10); \
             update sicantik_permit set permit_number = '503/900' where id = 900; commit",
            &["r_created 900", "r_written 900"],
        ),
        (
            "two flushes in which a state comes and goes",
            "begin; update sicantik_permit set status = 'active' where id = 2; update sicantik_permit set status = 'draft' where id = 2; commit",
            // A state that is taken back is no change of state; that the row was written stays true.
            &["r_written 2"],
        ),
        (
            "two states in two flushes of one transaction: the first is not lost",
            "begin; update sicantik_permit set status = 'active' where id = 2; update sicantik_permit set status = 'expired' where id = 2; commit",
            &["r_approved 2", "r_written 2"],
        ),
        (
            "somebody asks for it",
            "insert into sicantik_notify.event (op, record_id, model, target_trigger) \
             select 'F', 2, 'sicantik.permit', t.id from sicantik_notify.trigger t where t.code = 'byhand'",
            &["r_byhand 2"],
        ),
    ] {
        let told = stand.told(sql).await;
        let told: Vec<&str> = told
            .iter()
            .map(String::as_str)
            .filter(|t| !t.is_empty())
            .collect();
        assert_eq!(
            told,
            expected,
            "{:?}: {what}\n{}",
            stand.backend,
            stand.daemon.log()
        );
    }
});
