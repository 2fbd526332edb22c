//! The commands. One file a subcommand; errors end with what to do next. Who a command is in the database stands in `access`, what its exit
//! code means in `exit`.

mod access;
mod apply;
mod arm;
mod backfill;
mod blacklist;
mod campaign;
mod capture;
mod check;
mod cron;
mod demo;
mod doctor;
mod domain;
mod exit;
mod explain;
mod export;
mod fire;
mod hooks;
mod import_odoo;
mod manual;
mod migrate;
mod moment;
mod provider;
mod queue;
mod run;
mod send;
mod simulate;
mod status;
mod table;
mod template;
mod token;
mod uninstall;
mod words;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

/// Turns committed changes of permits and documents in an Odoo database into WhatsApp messages.
#[derive(Debug, Parser)]
#[command(
    name = "sicantik-notifyd",
    version,
    max_term_width = 100,
    subcommand_help_heading = "Commands",
    after_help = after_help()
)]
struct Cli {
    /// Configuration file [default: /etc/sicantik-notifyd/config.toml]
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    config: Option<PathBuf>,
    /// Connect with this URL or `key=value` string instead of the configured one
    #[arg(long, global = true, value_name = "URL", display_order = 901)]
    database_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// What does not belong to one command.
const AFTER_HELP: &str = "\
First steps, with a database URL of a DBA in SICANTIK_NOTIFYD_OWNER_URL:
  sicantik-notifyd migrate          make the schema sicantik_notify
  sicantik-notifyd hooks sql        read what will be installed on Odoo's tables
  sicantik-notifyd hooks install    install it
  systemctl start sicantik-notifyd  start the daemon

Environment:
  SICANTIK_NOTIFYD_DATABASE_URL  how the daemon connects (role sicantik_notifyd)
  SICANTIK_NOTIFYD_OWNER_URL     how migrate and hooks connect (a DBA's role)
  SICANTIK_NOTIFYD_OPERATOR_URL  how a person connects (a login that is a member of sicantik_notify_operator)
  SICANTIK_NOTIFYD_DIRECT_URL    the way around a pooler, where the daemon's goes through one
  SICANTIK_NOTIFYD_STATE_DIR     where the arming secret is kept
  SICANTIK_NOTIFYD_LOG           what is logged, for example `debug`";

fn after_help() -> String {
    format!("{AFTER_HELP}\n\n{}\n{}", access::help(), exit::help())
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon; systemd does this
    ///
    /// Waits for the database, evaluates events and delivers messages until SIGTERM, which finishes what is in flight within
    /// ten seconds. SIGHUP reads the configuration again; a wrong file is reported and changes nothing.
    Run,
    /// Create or update the schema sicantik_notify, as a DBA
    ///
    /// Makes the roles, tables, functions and views of sicantik_notify, offers the guide's triggers, templates and (inactive)
    /// rules once, and grants the daemon what it reads of Odoo. Safe to run again. Needs a superuser, or a role with
    /// CREATEROLE that may create schemas in this database and is a member of the role that owns Odoo's tables.
    Migrate(migrate::Args),
    /// Print, install, verify or remove the hooks on Odoo's tables, as a DBA
    Hooks(hooks::Args),
    /// Change how Odoo's writes are captured, as a DBA
    Capture(capture::Args),
    /// Allow the daemon of this machine to send from this database
    ///
    /// A copy of a database never sends. After a move or a restore, this says that the database in hand is the real one.
    /// Run it on the daemon's machine, as the daemon's user: the secret lies in its state directory.
    Arm(arm::Args),
    /// Show what waits, what was sent, and what needs a person
    ///
    /// Exit code 3 if something needs a person.
    Status(status::Args),
    /// Look for what is not as it should be around the daemon, with the remedy for each
    ///
    /// Server, clocks, time zones, LISTEN through a pooler, roles and rights, the permit to send, configuration, schema, templates,
    /// providers, and all that v_problem holds. Run it as the daemon's user, with its configuration. Reads only. Exit code 3 if
    /// there is a finding.
    Doctor(doctor::Args),
    /// Tell what became of a record, an event or a message, and why somebody got nothing
    ///
    /// From the row change through triggers, rules and recipients to the provider's answer, or to the reason for silence,
    /// with the causes of the SICANTIK guide §8.4 by their numbers. For a record of which nothing was captured, looks at
    /// what stands in the way now. Reads only. Exit code 0 if there is a story or a reason, 3 if the record, event or
    /// message is unknown.
    Explain(explain::Args),
    /// Hold triggers, rules, templates, providers and campaigns against the attached host
    ///
    /// Compiles every trigger and rule, inactive ones too, and every campaign that is not over, and shows errors with their place and remedy, conditions that
    /// hardly mean what they say, names that are read as others, and scheduled actions of Odoo that send as well. Reads only.
    /// Exit code 0 if nothing is wrong (warnings do not count), 1 if something active cannot work, 3 for warnings with
    /// --strict. Named by kind and code, an inactive one counts like an active one.
    Check(check::Args),
    /// Print the configuration as a file that `apply` reads
    ///
    /// Triggers, rules, templates, providers (without secrets), blacklist, settings and aliases as TOML, in a stable order,
    /// without what is at its default. Reads only.
    Export(export::Args),
    /// Make the configuration what a file says
    ///
    /// The file is checked as a whole against the host, as `check` does, shown as a difference, and taken in one transaction
    /// or not at all. Rows that the file does not have stay, unless --prune is given. Exit code 0 if it is done or nothing differs, 1 if something is wrong (nothing is changed then), 3 if
    /// --dry-run found something to change.
    Apply(apply::Args),
    /// Carry over what sicantik_notification_automation and sicantik_whatsapp have configured in this Odoo
    ///
    /// Triggers, rules, campaigns, templates, providers and the blacklist, with a report of what was changed on the way and what
    /// could not be carried over, and why. A second run changes nothing; what was changed here since then stays. Rules arrive
    /// inactive where they mean something else here, or where Odoo would send the same. Secrets are named, not copied, unless
    /// --with-secrets is given, and never printed. Exit code 0 if all is well, 3 if something needs a person.
    ImportOdoo(import_odoo::Args),
    /// Send a test message through the queue, and wait for its outcome
    ///
    /// It goes the way of every message: limits, blacklist and log hold. Exit code 0 sent, 1 failed, 3 it still waits.
    Send(send::Args),
    /// List messages, and let them go, retry or cancel them, as an operator
    Queue(queue::Args),
    /// List, add and remove numbers that get nothing, as an operator
    Blacklist(blacklist::Args),
    /// Test the accounts at Meta, Fonnte and Watzap
    Provider(provider::Args),
    /// List, preview, check and sync the templates
    Template(template::Args),
    /// List, run, enable, disable and re-time jobs and cron triggers
    Cron(cron::Args),
    /// Create, start, watch, pause and cancel campaigns, or see beforehand what one would do
    Campaign(campaign::Args),
    /// Show what a domain means on the attached host
    ///
    /// Prints the SQL of an Odoo domain, its values and how many records meet it. Reads only.
    Domain(domain::Args),
    /// Remove everything from the database, as a DBA
    ///
    /// The hooks on Odoo's tables, the rights on them, the schema sicantik_notify and the roles that no other database uses.
    /// Afterwards Odoo's tables are as they were. Refuses while a daemon runs, and where objects of others rest on the schema.
    Uninstall(uninstall::Args),
    /// Print completions for a shell
    Completions(manual::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(manual::ManArgs),
    /// Ask a trigger to look at records
    ///
    /// For triggers of type manual and api, and of type cron out of its turn: an event a record, which is evaluated like a
    /// change. Exit code 3 if --wait was over before the run.
    Fire(fire::Args),
    /// Show whom a trigger or rule would tell, and what; nothing is sent
    ///
    /// Against the records that stand in the database, or against the changes of the last days; also of a trigger or rule that is
    /// inactive, or that only stands in a file. The evaluation's own steps, in a read-only transaction.
    Simulate(simulate::Args),
    /// Tell people of changes that were missed while hooks were absent
    ///
    /// Without further words: since the moment of the alarm in v_problem. Shows first whom it would tell, and asks. Whoever has
    /// been told already is not told again, so it may be run twice. Exit code 3 if it needs --yes.
    Backfill(backfill::Args),
    /// Make, list and revoke the tokens of the HTTP API, as a DBA or an operator
    Token(token::Args),
    /// Try the whole road on an embedded PostgreSQL and a fake gateway, in seconds
    Demo(demo::Args),
}

/// What went well.
enum Done {
    /// All of it.
    Well,
    /// It ran, and something needs a person.
    NeedsAttention,
}

type Outcome = Result<Done, Box<dyn Error + Send + Sync>>;

/// Parses the command line, runs, and says what went wrong, once.
pub fn main() -> ExitCode {
    quiet_on_a_closed_pipe();
    let cli = Cli::parse();
    crate::observe::log::init();
    // One TLS provider for the whole process, before anything speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let result = runtime.block_on(Box::pin(execute(cli)));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::NeedsAttention) => ExitCode::from(3),
        Err(error) => failed(error.as_ref()),
    }
}

fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    let server = error.downcast_ref::<tokio_postgres::Error>();
    let text = server.map_or_else(|| error.to_string(), crate::db::describe);
    eprintln!("sicantik-notifyd: {text}");
    if server.and_then(|e| e.code()) == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) {
        eprintln!(
            "    remedy: this role may not do it. `sicantik-notifyd --help` says who runs what; what a condition reads of Odoo beyond its usual \
             tables is granted by `sicantik-notifyd hooks install`, as a DBA"
        );
    }
    ExitCode::FAILURE
}

/// A reader that went away (`| head`, a pager that was left) is no failure to tell about: end as programs do there, with the
/// code of SIGPIPE.
fn quiet_on_a_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") {
            std::process::exit(128 + 13);
        }
        usual(panic);
    }));
}

async fn execute(cli: Cli) -> Outcome {
    // What needs neither a configuration nor a database.
    let command = match cli.command {
        Command::Demo(args) => return demo::execute(args).await,
        Command::Completions(args) => return manual::completions(args),
        Command::Man(args) => return manual::man(args),
        command => command,
    };
    let (file, url) = (cli.config, cli.database_url);
    let read = move || {
        let mut config = Config::load(file.as_deref())?;
        if let Some(url) = &url {
            config.database.owner_url = Some(url.clone().into());
            config.database.operator_url = Some(url.clone().into());
            config.database.url = Some(url.clone().into());
            // What is named at the call is PostgreSQL itself.
            config.database.direct_url = None;
            config.database.pooler = false;
        }
        Ok(config)
    };
    let config = read()?;
    match command {
        Command::Run => run::execute(config, read).await,
        Command::Migrate(args) => migrate::execute(&config, args).await,
        Command::Hooks(args) => hooks::execute(&config, args).await,
        Command::Capture(args) => Box::pin(capture::execute(&config, args)).await,
        Command::Arm(args) => arm::execute(&config, args).await,
        Command::Status(args) => status::execute(&config, args).await,
        Command::Doctor(args) => Box::pin(doctor::execute(&config, args)).await,
        Command::Explain(args) => explain::execute(&config, args).await,
        Command::Check(args) => check::execute(&config, args).await,
        Command::Export(args) => export::execute(&config, args).await,
        Command::Apply(args) => Box::pin(apply::execute(&config, args)).await,
        Command::ImportOdoo(args) => Box::pin(import_odoo::execute(&config, args)).await,
        Command::Send(args) => Box::pin(send::execute(&config, args)).await,
        Command::Queue(args) => queue::execute(&config, args).await,
        Command::Blacklist(args) => blacklist::execute(&config, args).await,
        Command::Provider(args) => Box::pin(provider::execute(&config, args)).await,
        Command::Template(args) => Box::pin(template::execute(&config, args)).await,
        Command::Uninstall(args) => uninstall::execute(&config, args).await,
        Command::Cron(args) => Box::pin(cron::execute(&config, args)).await,
        Command::Campaign(args) => Box::pin(campaign::execute(&config, args)).await,
        Command::Domain(args) => domain::execute(&config, args).await,
        Command::Demo(_) | Command::Completions(_) | Command::Man(_) => Ok(Done::Well),
        Command::Fire(args) => Box::pin(fire::execute(&config, args)).await,
        Command::Simulate(args) => Box::pin(simulate::execute(&config, args)).await,
        Command::Backfill(args) => Box::pin(backfill::execute(&config, args)).await,
        Command::Token(args) => token::execute(&config, args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Commands that print no table: what they do fits into a line or two, or is a file of its own.
    const WITHOUT_JSON: &[&str] = &[
        "run",
        "migrate",
        "hooks sql",
        "hooks install",
        "hooks remove",
        "capture switch",
        "arm",
        "export",
        "queue process",
        "queue retry",
        "queue cancel",
        "queue release",
        "queue discard",
        "blacklist add",
        "blacklist remove",
        "cron enable",
        "cron disable",
        "cron retime",
        "domain",
        "uninstall",
        "completions",
        "man",
        "token create",
        "token revoke",
        "demo",
    ];

    fn leaves(command: &clap::Command, path: &str, all: &mut Vec<(String, bool)>) {
        let children: Vec<_> = command
            .get_subcommands()
            .filter(|c| c.get_name() != "help")
            .collect();
        if children.is_empty() {
            all.push((
                path.to_owned(),
                command.get_arguments().any(|a| a.get_id() == "json"),
            ));
        }
        for child in children {
            leaves(child, format!("{path} {}", child.get_name()).trim_start(), all);
        }
    }

    #[test]
    fn every_command_that_prints_a_table_prints_json_too() {
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        for (command, json) in &all {
            assert_ne!(
                *json,
                WITHOUT_JSON.contains(&command.as_str()),
                "{command}: --json, or a line in WITHOUT_JSON"
            );
        }
        for command in WITHOUT_JSON {
            assert!(
                all.iter().any(|(known, _)| known == command),
                "there is no command {command}"
            );
        }
    }
}
