//! The server and the way to it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures_util::{StreamExt, stream};
use tokio_postgres::{AsyncMessage, Client};

use super::{Check, Failed, Finding, Severity};
use crate::db::{ConnectError, Endpoint};

/// Versions that the tests have seen.
const VERSIONS: std::ops::RangeInclusive<i32> = 14..=18;
/// Clocks that differ by more make times in logs hard to compare; what decides is the server's clock alone.
const SKEW: Duration = Duration::from_secs(5);
/// How long a notification to ourselves may take.
const ECHO: Duration = Duration::from_secs(2);

pub(super) async fn version(client: &Client) -> Result<Check, Failed> {
    let begun = Instant::now();
    let row = client
        .query_one(
            "select current_setting('server_version_num')::integer / 10000, current_setting('server_version'), \
             current_database()::text, pg_is_in_recovery()",
            &[],
        )
        .await?;
    let took = begun.elapsed();
    let (major, version): (i32, &str) = (row.get(0), row.get(1));
    let mut findings = Vec::new();
    if !VERSIONS.contains(&major) {
        findings.push(Finding::new(
            Severity::Warning,
            "PostgreSQL",
            format!(
                "version {major} was not tested; tested are {} to {}",
                VERSIONS.start(),
                VERSIONS.end()
            ),
            "try on a copy first, or use a tested version",
        ));
    }
    if row.get(3) {
        findings.push(Finding::new(
            Severity::Alarm,
            "PostgreSQL",
            "this is a standby: nothing can be written",
            "name the primary in the database URL, or all hosts with target_session_attrs=read-write",
        ));
    }
    let seen = format!(
        "PostgreSQL {version}, database {}, {:.1} ms a statement",
        row.get::<_, &str>(2),
        took.as_secs_f64() * 1000.0
    );
    Ok(Check::new("server", seen, findings))
}

pub(super) async fn clock(client: &Client) -> Result<Check, Failed> {
    let before = Utc::now();
    let server: DateTime<Utc> = client.query_one("select clock_timestamp()", &[]).await?.get(0);
    // It was read somewhere between the two.
    let middle = before + (Utc::now() - before) / 2;
    let skew = (server - middle).abs().to_std().unwrap_or_default();
    let mut findings = Vec::new();
    if skew > SKEW {
        findings.push(Finding::new(
            Severity::Warning,
            "clocks",
            format!(
                "the server's clock and this machine's differ by {} s",
                skew.as_secs()
            ),
            "synchronise both (timedatectl set-ntp true); due times follow the server's",
        ));
    }
    let offset: Option<String> = client
        .query_one(
            "select nullif(current_setting('sicantik_notify.clock_offset', true), '')",
            &[],
        )
        .await?
        .get(0);
    if let Some(offset) = offset {
        findings.push(Finding::new(
            Severity::Alarm,
            "clocks",
            format!("sicantik_notify.clock_offset is {offset}: everything is due by a clock that is wrong; it is meant for tests"),
            "alter database … reset sicantik_notify.clock_offset",
        ));
    }
    Ok(Check::new(
        "clocks",
        format!("{} ms apart", skew.as_millis()),
        findings,
    ))
}

/// Whether sessions are as the daemon wants them, and LISTEN works through whatever stands between.
pub(super) async fn session(
    way: &Endpoint,
    direct: Option<&Endpoint>,
    client: &Client,
) -> Result<Check, Failed> {
    let mut findings = Vec::new();
    let through = way.connect().await?;
    match way.check_session(&through).await {
        Err(ConnectError::Session {
            name,
            found,
            wanted,
            remedy,
        }) => findings.push(Finding::new(
            Severity::Alarm,
            "database.url",
            format!("the session's {name} is {found:?}, not {wanted:?}: the daemon will not start"),
            remedy,
        )),
        other => other?,
    }
    drop(through);
    let seen = match direct {
        None => {
            findings.push(Finding::new(
                Severity::Warning,
                "LISTEN",
                "database.url goes through a pooler in transaction mode, and there is no way around it: hooks cannot wake the daemon, \
                 which finds events by polling alone",
                "set database.direct_url to PostgreSQL itself, or the setting capture_wake to poll and capture.poll_interval_ms to 200",
            ));
            "LISTEN is not to be had through the pooler"
        }
        Some(direct) if echo(direct, client).await? => match way.is_pooled() {
            true => "LISTEN works, around the pooler",
            false => "LISTEN works",
        },
        Some(_) => {
            let url = if way.is_pooled() {
                "database.direct_url"
            } else {
                "database.url"
            };
            findings.push(Finding::new(
                Severity::Warning,
                "LISTEN",
                "a notification to ourselves did not arrive: a pooler in transaction mode stands between, and hooks cannot wake the daemon",
                format!("let {url} go to PostgreSQL itself, or set the setting capture_wake to poll"),
            ));
            "LISTEN does not work"
        }
    };
    Ok(Check::new("wake-up", seen, findings))
}

async fn echo(endpoint: &Endpoint, client: &Client) -> Result<bool, Failed> {
    // A channel of our own: nobody else is woken.
    let channel = format!("sicantik_notify_doctor_{}", std::process::id());
    let (listener, mut connection) = endpoint.connect_raw().await?;
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let listen = format!("listen {channel}");
    let heard = async {
        let subscribe = listener.batch_execute(&listen);
        tokio::pin!(subscribe);
        let mut asked = false;
        loop {
            tokio::select! {
                result = &mut subscribe, if !asked => {
                    result?;
                    asked = true;
                    client.execute("select pg_notify($1, '')", &[&channel]).await?;
                }
                message = messages.next() => match message {
                    Some(Ok(AsyncMessage::Notification(_))) => return Ok(true),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(false),
                }
            }
        }
    };
    match tokio::time::timeout(ECHO, heard).await {
        Ok(heard) => Ok(heard?),
        Err(_) => Ok(false),
    }
}

pub(super) async fn time_zones(client: &Client) -> Result<Check, Failed> {
    let rows = client
        .query(
            "select 'setting timezone', value from sicantik_notify.setting where key = 'timezone' \
             union all select 'trigger ' || code, timezone from sicantik_notify.trigger order by 1",
            &[],
        )
        .await?;
    let findings = rows
        .iter()
        .filter(|r| r.get::<_, &str>(1).parse::<Tz>().is_err())
        .map(|r| {
            Finding::new(
                Severity::Alarm,
                r.get::<_, &str>(0),
                format!("there is no time zone {}", r.get::<_, &str>(1)),
                "use a name such as Asia/Jakarta, Asia/Makassar or Asia/Jayapura",
            )
        })
        .collect();
    let office = rows
        .iter()
        .find(|r| r.get::<_, &str>(0) == "setting timezone")
        .map_or("none", |r| r.get(1));
    Ok(Check::new(
        "time zones",
        format!("the office's is {office}"),
        findings,
    ))
}
