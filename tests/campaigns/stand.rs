//! What the tests of campaigns share.

use crate::desk::{Desk, QUICK, desk};
use sicantik_notifyd::testkit::office::Daemon;

/// A rule for campaigns, and citizens with active permits.
pub const RULE: &str = "reminder_rule";

pub struct Stand {
    pub desk: Desk,
    pub first: i64,
}

/// An office with so many citizens who have an active permit each, and the rule `reminder_rule` under a manual trigger, without limits.
pub async fn stand(citizens: i64) -> Stand {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql(
        "update sicantik_notify.rule set active = false;
         insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('by_hand', 'By hand', 'sicantik.permit', 'manual');
         insert into sicantik_notify.rule (code, name, trigger, template_key, rate_limit_enabled)
         values ('reminder_rule', 'Reminder Masa Berlaku Izin', 'by_hand', 'permit_reminder', false)",
    )
    .await;
    let first = desk
        .number(&format!(
            "with p as (
                 insert into public.res_partner (name, complete_name, phone, active)
                 select 'Warga ' || n, 'Warga ' || n, '+62811' || lpad((1000000 + n)::text, 7, '0'), true
                 from generate_series(1, {citizens}) n returning id, name
             ), q as (
                 insert into public.sicantik_permit (registration_id, permit_number, permit_type_name, partner_id, applicant_name, status, expiry_date)
                 select 'KAM-' || p.id, '503/' || p.id, 'Izin Mendirikan Bangunan', p.id, p.name, 'active', current_date + 20 from p returning id
             )
             select min(id)::bigint from q"
        ))
        .await;
    Stand { desk, first }
}

impl Stand {
    /// The domain that means the first `n` of them.
    pub fn domain(&self, n: i64) -> String {
        format!("[('id', '>=', {}), ('id', '<', {})]", self.first, self.first + n)
    }

    /// A draft with that domain. Its id.
    pub async fn draft(&self, domain: &str) -> i64 {
        self.desk
            .admin
            .query_one(
                "select sicantik_notify.campaign_create('Test', $1, $2)",
                &[&RULE, &domain],
            )
            .await
            .unwrap()
            .get(0)
    }

    pub async fn act(&self, what: &str, id: i64) -> String {
        let sql = format!("select sicantik_notify.campaign_{what}($1)");
        self.desk.admin.query_one(&sql, &[&id]).await.unwrap().get(0)
    }

    /// SQLSTATE and message of what is refused.
    pub async fn refused(&self, sql: &str) -> (String, String) {
        let error = self.desk.admin.query(sql, &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap().clone();
        (error.code().code().to_owned(), error.message().to_owned())
    }

    pub async fn state(&self, id: i64) -> String {
        let sql = format!("select state from sicantik_notify.campaign where id = {id}");
        self.desk.text(&sql).await.unwrap()
    }

    pub async fn until_state(&self, id: i64, state: &str) {
        self.desk
            .until(&format!(
                "select state = '{state}' from sicantik_notify.campaign where id = {id}"
            ))
            .await;
    }

    /// Progress in one line.
    pub async fn progress(&self, id: i64) -> String {
        self.desk
            .text(&format!(
                "select concat_ws(' ', state, 'targets', targets, 'released', released, 'messages', messages, 'sent', sent, 'failed', failed,
                                  'skipped', skipped, 'cancelled', cancelled, 'pending', pending, 'percent', percent)
                 from sicantik_notify.v_campaign_progress where id = {id}"
            ))
            .await
            .unwrap()
    }

    pub async fn daemon(&self) -> Daemon {
        self.daemon_with(QUICK).await
    }

    pub async fn daemon_with(&self, config: &str) -> Daemon {
        let before = self
            .desk
            .number("select coalesce(max(id), 0) from sicantik_notify.instance")
            .await;
        let daemon = self.desk.office.daemon(config).await.unwrap();
        self.desk
            .until(&format!(
                "select exists (select from sicantik_notify.instance where id > {before})"
            ))
            .await;
        daemon
    }
}
