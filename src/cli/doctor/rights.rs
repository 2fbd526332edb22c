//! Rights of the daemon's role on what is ours: all that it needs, and nothing that it must not have.

use tokio_postgres::Client;

use super::{Check, Failed, Finding, Severity};
use crate::db::inventory::{ObjectKind, grants_to};

const RUNTIME: &str = "sicantik_notifyd";

pub(super) async fn attributes(client: &Client) -> Result<Check, Failed> {
    let row = client
        .query_one(
            "select r.rolname::text, r.rolsuper, r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls, \
                    pg_has_role(r.oid, 'sicantik_notify_owner', 'member'), pg_has_role(r.oid, $1, 'usage') \
             from pg_catalog.pg_roles r where r.rolname = current_user",
            &[&RUNTIME],
        )
        .await?;
    let role: &str = row.get(0);
    let (superuser, powerful, owner, runtime): (bool, bool, bool, bool) =
        (row.get(1), row.get(2), row.get(3), row.get(4));
    let mut findings = Vec::new();
    let mut found = |severity, summary: &str, remedy: String| {
        findings.push(Finding::new(severity, format!("role {role}"), summary, remedy));
    };
    let own = format!("let database.url name the role {RUNTIME}");
    if superuser {
        found(
            Severity::Warning,
            "the daemon would run as a superuser",
            own.clone(),
        );
    } else if owner {
        found(
            Severity::Warning,
            "the daemon's role is a member of the owner: it could change the hooks",
            own.clone(),
        );
    } else if powerful {
        found(
            Severity::Warning,
            "the daemon's role may make roles, databases or replicas, which it never needs",
            own.clone(),
        );
    }
    if !runtime {
        found(
            Severity::Alarm,
            "it is no member of sicantik_notifyd: the daemon cannot work with it",
            own,
        );
    }
    Ok(Check::new("role", role, findings))
}

/// What `grants.sql` gives the daemon, held against what it has.
pub(super) async fn ours(client: &Client) -> Result<Check, Failed> {
    let wanted = grants_to(RUNTIME);
    let mut findings = Vec::new();
    for grant in &wanted {
        let query = match grant.kind {
            ObjectKind::Table => "select coalesce(has_table_privilege($1, to_regclass($2), $3), false)",
            ObjectKind::Sequence => "select coalesce(has_sequence_privilege($1, to_regclass($2), $3), false)",
            ObjectKind::Function => {
                "select coalesce(has_function_privilege($1, to_regprocedure($2), $3), false)"
            }
        };
        let held: bool = client
            .query_one(query, &[&RUNTIME, &grant.object, &grant.privilege])
            .await?
            .get(0);
        if !held {
            findings.push(Finding::new(
                Severity::Alarm,
                grant.object.clone(),
                format!("the daemon lacks {} on it", grant.privilege),
                "run sicantik-notifyd migrate as a DBA, which grants it again",
            ));
        }
    }
    Ok(Check::new(
        "rights",
        format!("{} rights on our own objects", wanted.len()),
        findings,
    ))
}
