//! Brings the schema `sicantik_notify` up to date. Promises: safe to run again and by two processes at once; needs no
//! superuser (CREATEROLE, CREATE on the database, and rights on the host tables that it passes on); refuses a schema that
//! is newer than this binary, and a database that is not Odoo's.

use std::sync::LazyLock;
use std::time::Duration;

use refinery::{Migration, Runner};
use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{ConnectError, Endpoint};

mod embedded {
    #![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
    refinery::embed_migrations!("migrations");
}

const BOOTSTRAP: &str = include_str!("../../sql/bootstrap.sql");
const HISTORY: &str = "sicantik_notify.schema_history";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../sql/", $path)))),*]
    };
}

/// Functions, in the order in which they need each other.
const FUNCTIONS: &[(&str, &str)] = files![
    "hooks/is_secret.sql",
    "hooks/capture_columns.sql",
    "hooks/capture_object.sql",
    "hooks/capture_parts.sql",
    "hooks/capture_body.sql",
    "hooks/capture_source.sql",
    "hooks/publish_capture.sql",
    "hooks/hook_statements.sql",
    "functions/asker.sql",
    "functions/problem_raise.sql",
    "functions/host_identity.sql",
    "slot/slot_parts.sql",
    "slot/slot_statements.sql",
    "slot/slot_removal.sql",
    "slot/slot_returns.sql",
    "slot/slot_findings.sql",
    "hooks/hook_findings.sql",
    "hooks/hook_removal.sql",
    "functions/delivery_permit.sql",
    "functions/bind_installation.sql",
    "functions/server_timeline.sql",
    "functions/arm.sql",
    "functions/ensure_partitions.sql",
    "functions/drop_event_history.sql",
    "functions/capture_misses.sql",
    "functions/configuration_triggers.sql",
    "functions/statement_clock.sql",
    "functions/rule_code.sql",
    "functions/was_given_up.sql",
    "functions/sees_phones.sql",
    "functions/show_phone.sql",
    "functions/rule_begins.sql",
    "functions/rate_limit.sql",
    "functions/window_opens.sql",
    "functions/storm_admit.sql",
    "functions/batch_take.sql",
    "functions/normal_phone.sql",
    "functions/retire_partitions.sql",
    "functions/provider_resume.sql",
    "adapters/host_partner.sql",
    "adapters/host_reference.sql",
    "adapters/host_group_members.sql",
    "adapters/host_inbound.sql",
    "adapters/host_senders.sql",
    "adapters/host_blacklist.sql",
    "adapters/follow_host.sql",
    "functions/blacklist.sql",
    "functions/message_operations.sql",
    "functions/schedule_refusal.sql",
    "functions/cron_operations.sql",
    "functions/campaign.sql",
    "functions/fire_trigger.sql",
    "functions/send_test.sql",
    "functions/api_token.sql",
    "functions/capture_acknowledge.sql",
    "functions/receipt_forget.sql",
    "functions/inbound_take.sql",
    "functions/uninstall_statements.sql",
    "functions/server_findings.sql",
    "functions/marketing_choice.sql",
    "functions/statistics.sql",
];

/// Views: dropped and made again together when one of them changed, since columns may have moved.
const VIEWS: &[(&str, &str)] = files![
    "views/receipt_furthest.sql",
    "views/receipt_given_up.sql",
    "views/queue_waits.sql",
    "views/v_queue.sql",
    "views/v_queue_summary.sql",
    "views/v_campaign.sql",
    "views/v_campaign_progress.sql",
    "views/v_campaign_skipped.sql",
    "views/v_log.sql",
    "views/v_blacklist.sql",
    "views/v_attempt.sql",
    "views/v_decision.sql",
    "views/v_event.sql",
    "views/v_trigger.sql",
    "views/v_rule.sql",
    "views/v_provider.sql",
    "views/v_template.sql",
    "views/v_capture.sql",
    "views/v_cron_job.sql",
    "views/v_cron_run.sql",
    "views/v_instance.sql",
    "views/v_failover.sql",
    "views/v_problem.sql",
    "views/v_receipt.sql",
    "views/v_api_token.sql",
    "views/v_firing.sql",
    "views/v_daily.sql",
    "views/v_daily_rule.sql",
    "views/v_daily_campaign.sql",
    "views/v_daily_template.sql",
    "views/v_daily_provider.sql",
    "views/v_daily_skipped.sql",
];

/// What the columns of all views mean, as comments: the same word means the same in each. Applied after the views are made.
const VOCABULARY: (&str, &str) = (
    "views/vocabulary.sql",
    include_str!("../../sql/views/vocabulary.sql"),
);

/// Tables that every Odoo has, and that we read.
const HOST_TABLES: &[&str] = &[
    "ir_model",
    "ir_model_fields",
    "ir_config_parameter",
    "res_users",
    "res_partner",
];
/// Tables that the guide's triggers watch.
const SICANTIK_TABLES: &[&str] = &["sicantik_permit", "sicantik_document"];

pub(super) const GRANTS: &str = include_str!("../../sql/functions/grants.sql");
const DEFAULTS: &str = include_str!("../../sql/defaults.sql");

/// Why a migration did not happen.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused a step.
    #[error("{step} failed: {}", super::describe(.source))]
    Step {
        /// Which step.
        step: String,
        /// The server's answer.
        source: tokio_postgres::Error,
    },
    /// The connected role may not do it.
    #[error(
        "{step} failed: {}. Connect as a DBA with --database-url or `database.owner_url`: a superuser, or a role with \
         CREATEROLE that may create schemas in this database and is a member of the role that owns Odoo's tables",
        super::describe(.source)
    )]
    Rights {
        /// Which step.
        step: String,
        /// The server's answer.
        source: tokio_postgres::Error,
    },
    /// Not an Odoo database.
    #[error(
        "the database {database} is not Odoo's: it has no table {}. Name the database that Odoo itself uses \
         (db_name in odoo.conf) with --database-url or `database.owner_url`",
        missing.join(", ")
    )]
    NotAHost {
        /// Which database.
        database: String,
        /// Tables that every Odoo has.
        missing: Vec<String>,
    },
    /// A migration failed.
    #[error("migration failed: {0}")]
    Refinery(#[from] refinery::Error),
    /// The schema is newer.
    #[error(
        "the schema is at version {found}, but this binary knows versions up to {known}: install the newer \
         sicantik-notifyd; an older one must not touch a newer schema"
    )]
    Newer {
        /// Version in the database.
        found: i32,
        /// Newest version that this binary knows.
        known: i32,
    },
    /// The schema is not there.
    #[error("the database {database} has no schema sicantik_notify: run `sicantik-notifyd migrate` as a DBA")]
    Absent {
        /// Which database.
        database: String,
    },
    /// The schema is older.
    #[error(
        "the schema is at version {found}, this binary needs {known}: run `sicantik-notifyd migrate` as a DBA"
    )]
    Older {
        /// Version in the database.
        found: i32,
        /// Version that this binary needs.
        known: i32,
    },
    /// Somebody else migrates and does not end.
    #[error("another migration holds the lock since 60 seconds; try again when it has ended")]
    Locked,
}

/// What a migration did.
#[derive(Debug, Default)]
pub struct Report {
    /// Versions that were applied now.
    pub applied: Vec<String>,
    /// Functions and views that were replaced now.
    pub replaced: Vec<String>,
    /// Partitions that were made now.
    pub partitions: Vec<String>,
    /// Host tables on which rights could not be granted, with the statements that a DBA should run.
    pub missing_grants: Vec<String>,
    /// Tables of SICANTIK that the host lacks; triggers on them cannot work.
    pub missing_tables: Vec<String>,
}

fn step<'a>(step: &'a str) -> impl FnOnce(tokio_postgres::Error) -> MigrateError + 'a {
    move |source| {
        let step = step.to_owned();
        if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            MigrateError::Rights { step, source }
        } else {
            MigrateError::Step { step, source }
        }
    }
}

/// The newest schema version that this binary knows.
pub fn known_version() -> i32 {
    // Asked at every heartbeat.
    static KNOWN: LazyLock<i32> = LazyLock::new(|| {
        let runner = embedded::migrations::runner();
        runner
            .get_migrations()
            .iter()
            .map(Migration::version)
            .max()
            .unwrap_or(0)
    });
    *KNOWN
}

/// The version of the schema that stands, where it is newer than this binary's: somebody migrated while we ran.
///
/// # Errors
/// The server's.
pub async fn newer_version(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    let row = client
        .query_one(&format!("select max(version) from {HISTORY}"), &[])
        .await?;
    let found: Option<i32> = row.get(0);
    Ok(found.filter(|found| *found > known_version()))
}

/// The texts of all migrations, oldest first.
pub(crate) fn texts() -> Vec<String> {
    let mut all: Vec<Migration> = embedded::migrations::runner().get_migrations().clone();
    all.sort_by_key(Migration::version);
    all.iter().filter_map(|m| m.sql().map(str::to_owned)).collect()
}

/// The version of the schema in the database; 0 where there is none.
///
/// # Errors
/// [`MigrateError::Step`].
pub async fn found_version(client: &Client) -> Result<i32, MigrateError> {
    let exists: bool = client
        .query_one("select to_regclass($1) is not null", &[&HISTORY])
        .await
        .map_err(step("looking for the schema"))?
        .get(0);
    if !exists {
        return Ok(0);
    }
    let version: Option<i32> = client
        .query_one(&format!("select max(version) from {HISTORY}"), &[])
        .await
        .map_err(step("reading the schema version"))?
        .get(0);
    Ok(version.unwrap_or(0))
}

/// Refuses to work on a schema of another version than this binary's.
///
/// # Errors
/// [`MigrateError::Newer`], [`MigrateError::Older`].
pub async fn check_version(client: &Client) -> Result<(), MigrateError> {
    let (found, known) = (found_version(client).await?, known_version());
    match found.cmp(&known) {
        std::cmp::Ordering::Less if found == 0 => Err(MigrateError::Absent {
            database: database_name(client).await?,
        }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(MigrateError::Newer { found, known }),
        std::cmp::Ordering::Less => Err(MigrateError::Older { found, known }),
    }
}

/// Migrates. `defaults` also installs the guide's triggers, templates and rules where there are none.
///
/// # Errors
/// [`MigrateError`]; what was committed before stays, and the next run goes on from there.
pub async fn migrate(endpoint: &Endpoint, defaults: bool) -> Result<Report, MigrateError> {
    let mut client = endpoint.connect().await?;
    lock(&client).await?;
    let mut report = Report::default();

    let (found, known) = (found_version(&client).await?, known_version());
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    // Before anything is made: a schema in the wrong database is a nuisance to remove.
    let missing = missing_tables(&client, HOST_TABLES).await?;
    if !missing.is_empty() {
        let database = database_name(&client).await?;
        return Err(MigrateError::NotAHost { database, missing });
    }
    report.missing_tables = missing_tables(&client, SICANTIK_TABLES).await?;
    client
        .batch_execute(BOOTSTRAP)
        .await
        .map_err(step("making roles and schema"))?;
    client
        .batch_execute("set role sicantik_notify_owner")
        .await
        .map_err(step("becoming the owner"))?;
    let mut runner: Runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY);
    let done = runner.run_async(&mut client).await?;
    report.applied = done
        .applied_migrations()
        .iter()
        .map(ToString::to_string)
        .collect();

    replace_repeatables(&mut client, &mut report).await?;
    let rows = client
        .query("select sicantik_notify.ensure_partitions()", &[])
        .await
        .map_err(step("making partitions"))?;
    report.partitions = rows.iter().map(|r| r.get(0)).collect();
    if defaults {
        client
            .batch_execute(DEFAULTS)
            .await
            .map_err(step("installing default data"))?;
    }

    // The installing role passes on what it may read of the host.
    client
        .batch_execute("reset role")
        .await
        .map_err(step("becoming the installing role again"))?;
    report.missing_grants = crate::host::grants::grant(&client)
        .await
        .map_err(step("granting rights on host tables"))?;
    let bound = client
        .batch_execute(
            "set role sicantik_notify_owner; select sicantik_notify.bind_installation(); reset role",
        )
        .await;
    match bound {
        // The host's identity is behind the rights that are missing: the run after they were granted binds.
        Err(e)
            if e.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) && !report.missing_grants.is_empty() => {}
        other => other.map_err(step("binding the installation to this database"))?,
    }
    Ok(report)
}

async fn database_name(client: &Client) -> Result<String, MigrateError> {
    let row = client.query_one("select current_database()::text", &[]).await;
    Ok(row.map_err(step("asking for the database's name"))?.get(0))
}

async fn missing_tables(client: &Client, wanted: &[&str]) -> Result<Vec<String>, MigrateError> {
    let rows = client
        .query(
            "select w.name from unnest($1::text[]) with ordinality as w (name, place) \
             where to_regclass('public.' || quote_ident(w.name)) is null order by w.place",
            &[&wanted],
        )
        .await
        .map_err(step("looking for the host's tables"))?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// One migration at a time, without waiting for ever behind a dead one.
async fn lock(client: &Client) -> Result<(), MigrateError> {
    for _ in 0..300 {
        let got: bool = client
            .query_one(
                "select pg_try_advisory_lock(hashtextextended('sicantik_notify.migrate', 0))",
                &[],
            )
            .await
            .map_err(step("taking the migration lock"))?
            .get(0);
        if got {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(MigrateError::Locked)
}

async fn replace_repeatables(client: &mut Client, report: &mut Report) -> Result<(), MigrateError> {
    let standing: std::collections::HashMap<String, String> = client
        .query("select name, checksum from sicantik_notify.repeatable", &[])
        .await
        .map_err(step("reading what stands"))?
        .iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect();
    let changed = |name: &str, text: &str| standing.get(name) != Some(&checksum(text));
    let tx = client.transaction().await.map_err(step("beginning"))?;
    let views_changed = VIEWS
        .iter()
        .chain([&VOCABULARY])
        .any(|(name, text)| changed(name, text));
    for (name, text) in FUNCTIONS.iter().filter(|(name, text)| changed(name, text)) {
        tx.batch_execute(text).await.map_err(step(name))?;
        report.replaced.push((*name).to_owned());
    }
    if views_changed {
        for (name, _) in VIEWS.iter().rev() {
            let view = name.trim_start_matches("views/").trim_end_matches(".sql");
            tx.batch_execute(&format!("drop view if exists sicantik_notify.{view}"))
                .await
                .map_err(step(name))?;
        }
        for (name, text) in VIEWS {
            tx.batch_execute(text).await.map_err(step(name))?;
            report.replaced.push((*name).to_owned());
        }
        tx.batch_execute(VOCABULARY.1).await.map_err(step(VOCABULARY.0))?;
    }
    tx.batch_execute(GRANTS).await.map_err(step("granting rights"))?;
    for (name, text) in FUNCTIONS.iter().chain(VIEWS).chain([&VOCABULARY]) {
        if changed(name, text) {
            tx.execute(
                "insert into sicantik_notify.repeatable (name, checksum) values ($1, $2) \
                 on conflict (name) do update set checksum = excluded.checksum, applied_at = clock_timestamp()",
                &[name, &checksum(text)],
            )
            .await
            .map_err(step(name))?;
        }
    }
    tx.commit().await.map_err(step("committing functions and views"))
}

fn checksum(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
