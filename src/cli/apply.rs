//! `apply`: a file of configuration becomes what is configured.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel};

use super::{Done, Outcome, access, check};
use crate::config::Config;
use crate::setup::apply::{self, Outcome as Applied};
use crate::setup::diff;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Show what would change, and change nothing; exit code 3 if something would
    #[arg(long)]
    dry_run: bool,
    /// Delete rows that the file does not have, in the sections that it has
    #[arg(long)]
    prune: bool,
    /// Delete without asking
    #[arg(long)]
    yes: bool,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let (name, text) = read(&args.file)?;
    let mut client = access::connect(config, "apply").await?;
    let ask = args.prune && !args.yes && !args.dry_run;
    let mut applied = attempt(&mut client, &text, args.prune, !args.dry_run && !ask).await?;
    let mut committed = !args.dry_run && !ask && applied.errors.is_empty();
    if ask && applied.errors.is_empty() {
        if applied.deletes() {
            if !args.json {
                print!("{}", diff::text(&applied.shapes, &applied.changes));
            }
            confirm(applied.counts()[2])?;
        }
        // Nothing was held open while somebody was thinking; what they agreed to must still be what happens.
        let agreed = applied.changes.clone();
        applied = attempt_if(&mut client, &text, args.prune, |found| found.changes == agreed).await?;
        if applied.changes != agreed {
            return Err(
                "the configuration was changed by somebody else meanwhile; nothing was applied: run it again"
                    .into(),
            );
        }
        committed = applied.errors.is_empty();
    }
    match args.json {
        true => println!(
            "{}",
            serde_json::to_string_pretty(&applied.json(
                &name,
                &text,
                committed && !applied.changes.is_empty()
            ))?
        ),
        false => print(&applied, &name, &text, ask && applied.deletes(), committed),
    }
    match (applied.errors.len(), args.dry_run) {
        (0, true) if !applied.changes.is_empty() => Ok(Done::NeedsAttention),
        (0, _) => Ok(Done::Well),
        (1, _) => Err("1 error; nothing was changed".into()),
        (n, _) => Err(format!("{n} errors; nothing was changed").into()),
    }
}

fn read(file: &std::path::Path) -> Result<(String, String), Failed> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(("standard input".into(), text));
    }
    let name = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(format!("cannot read {name}: {error}").into()),
    }
}

async fn attempt(client: &mut Client, text: &str, prune: bool, commit: bool) -> Result<Applied, Failed> {
    attempt_if(client, text, prune, |_| commit).await
}

async fn attempt_if(
    client: &mut Client,
    text: &str,
    prune: bool,
    commit: impl Fn(&Applied) -> bool,
) -> Result<Applied, Failed> {
    client
        .batch_execute("set statement_timeout = '60s'; set lock_timeout = '10s'")
        .await?;
    let mut tries = 0;
    loop {
        tries += 1;
        // Before the transaction, whose snapshot would otherwise be older than the lock.
        client.execute(LOCK, &[]).await.map_err(occupied)?;
        let done = once(client, text, prune, &commit).await;
        client.execute(UNLOCK, &[]).await?;
        match done {
            // Somebody else changed the configuration at the same moment: look again at what stands now.
            Err(error) if tries < TRIES && error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => {}
            done => return done.map_err(occupied),
        }
    }
}

/// One file or import at a time.
pub(super) const LOCK: &str = "select pg_advisory_lock(hashtextextended('sicantik_notify.apply', 0))";
const UNLOCK: &str = "select pg_advisory_unlock(hashtextextended('sicantik_notify.apply', 0))";

/// How often it is tried where others change the configuration too.
const TRIES: u32 = 4;

/// A lock that another `apply` or import holds, in words.
pub(super) fn occupied(error: tokio_postgres::Error) -> Failed {
    match error.code() {
        Some(code)
            if *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::T_R_SERIALIZATION_FAILURE =>
        {
            "somebody else changes the configuration at this moment; nothing was changed: try again".into()
        }
        _ => error.into(),
    }
}

async fn once(
    client: &mut Client,
    text: &str,
    prune: bool,
    commit: impl Fn(&Applied) -> bool,
) -> Result<Applied, tokio_postgres::Error> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await?;
    let applied = apply::apply(&tx, text, prune, check::items).await?;
    match applied.errors.is_empty() && commit(&applied) {
        true => tx.commit().await?,
        false => tx.rollback().await?,
    }
    Ok(applied)
}

/// Asks a person, where there is one.
fn confirm(count: usize) -> Result<(), Failed> {
    let rows = if count == 1 { "row" } else { "rows" };
    if !std::io::stdin().is_terminal() {
        return Err(
            format!("--prune would delete {count} {rows}, and there is nobody to ask: repeat with --yes, or look with --dry-run")
                .into(),
        );
    }
    eprint!("Delete {count} {rows}? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" | "ya" => Ok(()),
        _ => Err("nothing was changed".into()),
    }
}

fn print(applied: &Applied, name: &str, text: &str, shown: bool, committed: bool) {
    for error in &applied.errors {
        println!("error: {}", error.shown(name, text));
    }
    for doubt in &applied.doubts {
        println!("warning: {}", doubt.shown(name, text));
    }
    if !applied.errors.is_empty() {
        return;
    }
    if !shown {
        print!("{}", diff::text(&applied.shapes, &applied.changes));
    }
    let [created, changed, deleted] = applied.counts();
    match (applied.changes.is_empty(), committed) {
        (true, _) => println!("Nothing differs: {name} says what stands."),
        (_, true) => println!("Applied: {created} created, {changed} changed, {deleted} deleted."),
        (_, false) => {
            println!(
                "Would be: {created} created, {changed} changed, {deleted} deleted. Nothing was changed."
            )
        }
    }
}
