//! `uninstall`: hooks or slot, rights on the host's tables, schema, roles. Afterwards the host is as it was.

use std::error::Error;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::hooks::run_parts;
use super::{Done, Outcome, access};
use crate::capture::hooks::{self, TableScript};
use crate::capture::replication::scripts::{Work, scripts};
use crate::config::Config;
use crate::db::migrate;

/// Roles of ours, those that others are members of last.
const ROLES: [&str; 5] = [
    "sicantik_notifyd",
    "sicantik_notify_operator",
    "sicantik_notify_viewer",
    "sicantik_notify_owner",
    "sicantik_notify_capture",
];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the SQL instead of running it
    #[arg(long)]
    print: bool,
    /// Do not ask for the database's name
    #[arg(long)]
    yes: bool,
    /// Keep the roles sicantik_notify_*
    #[arg(long)]
    keep_roles: bool,
}

type Failed = Box<dyn Error + Send + Sync>;

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let endpoint = access::endpoint(config, "uninstall")?;
    let mut client = endpoint.connect().await?;
    if migrate::found_version(&client).await? == 0 {
        println!("There is no schema sicantik_notify in {}.", endpoint.database());
        if !args.print && !args.keep_roles {
            drop_roles(&client).await?;
        }
        return Ok(Done::Well);
    }
    let plan = Plan::read(&client).await?;
    if args.print {
        plan.print(args.keep_roles);
        return Ok(Done::Well);
    }
    plan.refuse_where_it_would_hurt()?;
    if !args.yes {
        plan.confirm(endpoint.database())?;
    }
    for script in hooks::removal_scripts(&client).await? {
        hooks::run(&mut client, &script).await?;
        println!("hook of {} removed", script.table);
    }
    run_parts(&mut client, Work::Remove, "removed").await?;
    run(&mut client, &plan.statements).await?;
    println!("schema sicantik_notify dropped, rights on the host's tables taken back");
    if !args.keep_roles {
        drop_roles(&client).await?;
    }
    println!(
        "Nothing of sicantik-notifyd is left in {}. The daemon's own files (/etc/sicantik-notifyd and its state \
         directory) are yours to delete.",
        endpoint.database()
    );
    Ok(Done::Well)
}

/// What stands, and what would be done.
struct Plan {
    /// Hooks, slot and publication.
    capture: Vec<TableScript>,
    statements: Vec<String>,
    obstacles: Vec<String>,
    daemons: Vec<String>,
    /// Events and messages that are not finished.
    waiting: i64,
}

impl Plan {
    async fn read(client: &Client) -> Result<Self, Failed> {
        let texts = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|r| r.get(0)).collect::<Vec<String>>();
        let statements = "select statement from sicantik_notify.uninstall_statements() order by step";
        let obstacles = "select o from sicantik_notify.uninstall_obstacles() o";
        let daemons = "select name || '/' || pid from sicantik_notify.instance \
                       where heartbeat_at > sicantik_notify.clock() - interval '10 seconds' order by id";
        let waiting = "select (select count(*) from sicantik_notify.event) + (select count(*) from sicantik_notify.queue)";
        let mut capture = hooks::removal_scripts(client).await?;
        capture.extend(scripts(client, Work::Remove).await?);
        Ok(Self {
            capture,
            statements: texts(client.query(statements, &[]).await?),
            obstacles: texts(client.query(obstacles, &[]).await?),
            daemons: texts(client.query(daemons, &[]).await?),
            waiting: client.query_one(waiting, &[]).await?.get(0),
        })
    }

    fn print(&self, keep_roles: bool) {
        for script in &self.capture {
            println!("{}", script.to_sql());
        }
        println!("-- schema and rights\nbegin;\nset local lock_timeout = '5s';");
        for statement in &self.statements {
            println!("{statement};");
        }
        println!("commit;");
        if !keep_roles {
            println!("\n-- roles, unless another database of this server uses them");
            for role in ROLES {
                println!("drop role if exists {role};");
            }
        }
    }

    fn refuse_where_it_would_hurt(&self) -> Result<(), Failed> {
        if !self.daemons.is_empty() {
            return Err(format!(
                "the daemon runs ({}): stop it first (systemctl disable --now sicantik-notifyd)",
                self.daemons.join(", ")
            )
            .into());
        }
        if !self.obstacles.is_empty() {
            return Err(format!(
                "these rest on the schema and would be dropped with it: {}. Drop or change them first",
                self.obstacles.join(", ")
            )
            .into());
        }
        Ok(())
    }

    fn confirm(&self, database: &str) -> Result<(), Failed> {
        eprint!(
            "Triggers, rules, the log and {} waiting events and messages are deleted for good (`pg_dump --schema=sicantik_notify` \
             keeps them). Type the database's name to go on: ",
            self.waiting
        );
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        match answer.trim() == database {
            true => Ok(()),
            false => Err(format!(
                "nothing was removed: the name does not match; type {database} to go on, or give --yes"
            )
            .into()),
        }
    }
}

async fn run(client: &mut Client, statements: &[String]) -> Result<(), Failed> {
    let tx = client.transaction().await?;
    tx.batch_execute("set local lock_timeout = '5s'").await?;
    for statement in statements {
        let ran = tx.batch_execute(statement).await;
        ran.map_err(|e| format!("nothing was dropped: {statement}: {}", crate::db::describe(&e)))?;
    }
    tx.commit().await?;
    Ok(())
}

/// Roles belong to the server, not to the database: another installation may use them.
async fn drop_roles(client: &Client) -> Result<(), Failed> {
    for role in ROLES {
        match client.batch_execute(&format!("drop role if exists {role}")).await {
            Ok(()) => {}
            Err(error) if error.code() == Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {
                let detail = error
                    .as_db_error()
                    .and_then(|e| e.detail())
                    .unwrap_or("it is used");
                println!("role {role} stays: {}", detail.replace('\n', "; "));
            }
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                println!(
                    "role {role} stays: a superuser, or a role with CREATEROLE, must run: drop role {role}"
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
