//! Upgrades with work in flight: whatever an earlier version has captured, queued, claimed or begun is delivered once by this one, and
//! what stands afterwards is what a new installation makes. The other way round an older daemon leaves a newer schema alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;
#[path = "upgrade/earlier.rs"]
mod earlier;

use std::collections::BTreeMap;
use std::time::Duration;

use desk::{Desk, PATIENCE, QUICK, approve, citizens, desk, program};
use earlier::{EIGHT, TWELVE, Version};
use sicantik_notifyd::testkit::office::{Office, Plan};

/// Work of a daemon that died an hour ago, and of the version's SQL.
const IN_FLIGHT: &str = "
insert into sicantik_notify.instance (name, pid, version, started_at, heartbeat_at)
select 'older', 1, '0.0.1', clock_timestamp() - interval '2 hours', clock_timestamp() - interval '1 hour';

create temp table wanted as
select nextval('sicantik_notify.message_id_seq') as id, kind, format('+62812000%s', lpad(n::text, 4, '0')) as phone,
       (select id from sicantik_notify.rule where code = 'notify_permit_approved') as rule_id,
       '{\"partner_name\": \"Budi\", \"permit_number\": \"503/7\", \"permit_type\": \"SIP\", \"status\": \"Aktif\",
         \"completion_date\": \"01-02-2026\"}'::jsonb as context
from (values ('pending', 1), ('pending', 2), ('pending', 3), ('claimed', 4), ('claimed', 5), ('claimed', 6), ('on_wire', 7),
             ('held', 8), ('later', 9), ('waits', 10), ('done', 11), ('done', 12)) v (kind, n);

insert into sicantik_notify.queue (id, state, ready, waiting_for, scheduled_at, rule_id, phone, template_key, context,
                                   claim_token, claimed_by, lease_until, on_wire)
select id, case when kind in ('claimed', 'on_wire') then 'processing' when kind = 'held' then 'held' else 'pending' end,
       kind = 'pending', case kind when 'held' then 'storm_guard' when 'waits' then 'provider' end,
       case kind when 'later' then clock_timestamp() + interval '1 day' else clock_timestamp() end,
       rule_id, phone, 'permit_ready', context,
       case when kind in ('claimed', 'on_wire') then nextval('sicantik_notify.claim_token_seq') end,
       case when kind in ('claimed', 'on_wire') then (select max(id) from sicantik_notify.instance) end,
       case when kind in ('claimed', 'on_wire') then clock_timestamp() + interval '5 minutes' end,
       case kind when 'on_wire' then (select id from sicantik_notify.provider where name = 'Fonnte') end
from wanted where kind <> 'done';

-- A request that was under way when the daemon died.
insert into sicantik_notify.attempt (message_id, claim_token, instance_id, provider_id, provider_type, template_key)
select q.id, q.claim_token, q.claimed_by, q.on_wire, 'fonnte', q.template_key from sicantik_notify.queue q where q.on_wire is not null;

insert into sicantik_notify.log (id, state, rule_id, rule_code, phone, template_key, context, provider_type, tries, possible_duplicate,
                                 created_at, sent_at)
select id, 'sent', rule_id, 'notify_permit_approved', phone, 'permit_ready', context, 'fonnte', 0, false, clock_timestamp(), clock_timestamp()
from wanted where kind = 'done'";

/// A campaign that runs, and has four records to go.
const CAMPAIGN: &str = "
insert into sicantik_notify.campaign (code, name, rule, target_model, state, started_at, materialised_at, running_since, targets, next_record_id)
values ('older', 'Older', 'notify_permit_approved', 'sicantik.permit', 'running', clock_timestamp(), clock_timestamp(), clock_timestamp(), 4, 0);
insert into sicantik_notify.campaign_target (campaign_id, record_id)
select c.id, p.id from sicantik_notify.campaign c, unnest($1::bigint[]) p (id)";

async fn upgraded(version: Version, campaign: bool) {
    let (office, admin) = earlier::install(version, program()).await;
    let desk = Desk { office, admin };
    let mut odoo = desk.odoo().await;
    let people = citizens(&mut odoo, 9).await;
    // Active before anybody looks: the campaign's.
    let old: Vec<i32> = people[..4].iter().map(|(id, _)| *id).collect();
    approve(&mut odoo, &old).await;
    earlier::hook(&desk.admin).await;
    desk.sql(IN_FLIGHT).await;
    // Captured by the older version's hooks, evaluated by nobody yet.
    for (permit, _) in &people[4..] {
        approve(&mut odoo, &[*permit]).await;
    }
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.event").await,
        5,
        "its hooks capture"
    );
    if campaign {
        let ids = old.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        desk.sql(&CAMPAIGN.replace("$1", &format!("'{{{ids}}}'"))).await;
    }

    // This version's daemon leaves the older schema alone.
    let mut early = desk.office.daemon(QUICK).await.unwrap();
    assert!(!early.wait().await.unwrap().success());
    let said = format!("the schema is at version {}, this binary needs", version.number);
    assert!(early.log().contains(&said), "{}", early.log());

    let first = desk.office.run(&["migrate"]).await.unwrap();
    assert!(
        first.contains(&format!("V{}__", version.number + 1))
            && !first.contains(&format!("V{}__", version.number)),
        "{first}"
    );
    let second = desk.office.run(&["migrate"]).await.unwrap();
    assert!(
        !second.contains("migration ") && !second.contains("replaced "),
        "{second}"
    );
    for _ in 0..2 {
        desk.office.run(&["hooks", "install"]).await.unwrap();
    }
    desk.office.run(&["hooks", "verify"]).await.unwrap();

    let daemon = desk.quick().await;
    let tally = |accepted: &[sicantik_notifyd::testkit::gateway::Accepted]| {
        let mut by_number: BTreeMap<String, usize> = BTreeMap::new();
        for message in accepted {
            *by_number.entry(message.to.clone()).or_default() += 1;
        }
        by_number
    };
    let expected: Vec<String> = (1..=7)
        .chain([10])
        .map(|n| format!("62812000{n:04}"))
        .chain(people[4..].iter().map(|(_, number)| number.clone()))
        .chain(
            people[..4]
                .iter()
                .filter(|_| campaign)
                .map(|(_, number)| number.clone()),
        )
        .collect();
    desk.accepted(expected.len()).await;
    desk.until(
        "select not exists (select from sicantik_notify.event)
            and (select count(*) from sicantik_notify.queue) = 2",
    )
    .await;
    let accepted = desk
        .office
        .gateway
        .wait_for_accepted(expected.len(), PATIENCE)
        .await
        .unwrap();
    let once: BTreeMap<String, usize> = expected.into_iter().map(|number| (number, 1)).collect();
    assert_eq!(tally(&accepted), once, "each once\n{}", daemon.log());
    // What was on the wire when the older daemon died may be a second one, and says so; nothing else may.
    let flagged = desk
        .text("select string_agg(phone, ' ') from sicantik_notify.v_log where possible_duplicate")
        .await;
    assert_eq!(flagged.as_deref(), Some("+628120000007"));
    // What a person or a date keeps back stays so, and history stays.
    assert_eq!(
        desk.text("select string_agg(state || coalesce(' ' || waiting_for, ''), ', ' order by id) from sicantik_notify.queue").await.as_deref(),
        Some("held storm_guard, pending")
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_log where phone like '%001_'")
            .await,
        3
    );
    if campaign {
        desk.until("select state = 'completed' from sicantik_notify.campaign where code = 'older'")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_version_8_with_work_in_flight() {
    upgraded(EIGHT, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_version_12_with_work_and_a_campaign_in_flight() {
    upgraded(TWELVE, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_schema_is_that_of_a_new_installation() {
    let plan = Plan {
        hooks: false,
        ..Plan::default()
    };
    let new = Office::open(program(), &plan).await.unwrap();
    let wanted = earlier::inventory(&new.admin().await.unwrap()).await;
    for version in [EIGHT, TWELVE] {
        let (office, admin) = earlier::install(version, program()).await;
        office.run(&["migrate"]).await.unwrap();
        let found = earlier::inventory(&admin).await;
        let lacking: Vec<_> = wanted.iter().filter(|line| !found.contains(line)).collect();
        let left: Vec<_> = found.iter().filter(|line| !wanted.contains(line)).collect();
        assert!(
            lacking.is_empty() && left.is_empty(),
            "from version {}:\nlacking {lacking:#?}\nleft {left:#?}",
            version.number
        );
    }
}

/// As if a newer binary had migrated while this one runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_whose_schema_moves_on_finishes_and_ends() {
    let desk = desk().await;
    let mut daemon = desk.quick().await;
    let mut odoo = desk.odoo().await;
    let people = citizens(&mut odoo, 40).await;
    let ids: Vec<i32> = people.iter().map(|(id, _)| *id).collect();
    approve(&mut odoo, &ids[..20]).await;
    desk.accepted(1).await;
    desk.sql("insert into sicantik_notify.schema_history (version, name, applied_on, checksum) values (9999, 'later', '', '')")
        .await;
    let status = tokio::time::timeout(Duration::from_secs(12), daemon.wait())
        .await
        .expect("it ends by itself")
        .unwrap();
    assert!(!status.success(), "so that systemd starts what is installed now");
    let log = daemon.log();
    assert!(
        log.contains("migrated to version 9999") && log.contains("install the newer"),
        "{log}"
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.queue where state = 'processing'")
            .await,
        0,
        "nothing is left half done"
    );
    // Hooks capture meanwhile; the newer binary goes on where this one ended.
    approve(&mut odoo, &ids[20..]).await;
    desk.sql("delete from sicantik_notify.schema_history where version = 9999")
        .await;
    let _newer = desk.quick().await;
    desk.accepted(40).await;
    desk.drained().await;
    let accepted = desk.accepted(40).await;
    let told: std::collections::BTreeSet<_> = accepted.iter().map(|a| a.to.clone()).collect();
    assert_eq!((accepted.len(), told.len()), (40, 40), "each once");
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where possible_duplicate")
            .await,
        0
    );
}
