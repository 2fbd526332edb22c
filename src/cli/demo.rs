//! `demo`: the whole road with real parts, in seconds. Nothing of it stays.

use std::time::Instant;

use tokio_postgres::Client;

use super::{Done, Outcome, table};
use crate::testkit::gateway::{Accepted, Provider};
use crate::testkit::host::ids;
use crate::testkit::office::{Office, Plan};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Keep server, daemon and gateway running until Enter is pressed, to look around with psql
    #[arg(long)]
    keep: bool,
}

pub(super) async fn execute(args: Args) -> Outcome {
    let begun = Instant::now();
    say(
        "An embedded PostgreSQL with a SICANTIK host (Odoo 18.0), the schema sicantik_notify, its hooks, and a fake gateway",
    );
    let office = Office::open(&std::env::current_exe()?, &Plan::default()).await?;
    let admin = office.admin().await?;
    println!(
        "  psql \"{}\"",
        office.cluster.url(crate::testkit::office::DATABASE)
    );

    say("An administrator switches rules on");
    write(&admin, "update sicantik_notify.rule set active = true where code in ('notify_permit_approved', 'notify_document_uploaded',\n    'notify_document_pending_signature', 'notify_document_signed')").await?;
    let mut daemon = office.daemon("").await?;
    office
        .until(&admin, "select count(*) = 1 from sicantik_notify.instance")
        .await?;
    office
        .until(
            &admin,
            "select count(*) = 2 from sicantik_notify.v_capture where hooks = 'ok' and published_at is not null",
        )
        .await?;

    say("SICANTIK guide, test 1: a permit goes from draft to approved (on the real host: status, active)");
    write(
        &admin,
        &format!(
            "update res_partner set whatsapp_opt_in = true where id = {}",
            partner_of(&admin, ids::PERMIT_DRAFT).await?
        ),
    )
    .await?;
    write(
        &admin,
        &format!(
            "update sicantik_permit set status = 'active', permit_number = '503/0421/2026' where id = {}",
            ids::PERMIT_DRAFT
        ),
    )
    .await?;
    settled(&office, &admin).await?;

    say("A document: draft, uploaded and pending_signature in one transaction, as Odoo's wizard does");
    write(
        &admin,
        &format!(
            "begin;\n  update sicantik_document set state = 'uploaded', upload_date = now() at time zone 'UTC' where id = {0};\n  \
             update sicantik_document set state = 'pending_signature' where id = {0};\n  commit",
            ids::DOCUMENT_DRAFT
        ),
    )
    .await?;
    settled(&office, &admin).await?;

    say("The phone behind Fonnte is switched off; the document is signed, and Watzap takes over");
    office.gateway.fonnte().set_connected(false);
    write(
        &admin,
        &format!(
            "update sicantik_document set state = 'signed' where id = {}",
            ids::DOCUMENT_DRAFT
        ),
    )
    .await?;
    settled(&office, &admin).await?;

    show_messages(&office.gateway.accepted());
    show(&admin, "v_queue", "select id, state, rule, partner_name, phone, template_key, provider_type from sicantik_notify.v_queue order by id").await?;
    show(&admin, "v_log", "select id, state, rule, provider_type, tries, processing_time_ms as ms, round(1000 * extract(epoch from sent_at - changed_at)) as ms_since_write from sicantik_notify.v_log order by id").await?;
    show(&admin, "v_attempt", "select message_id, provider, template_key, outcome, class, http_status, error from sicantik_notify.v_attempt order by id").await?;
    show(&admin, "v_decision", "select outcome, model, record_id, trigger, rule, message_id, reason from sicantik_notify.v_decision order by decided_at, message_id").await?;
    show(
        &admin,
        "v_problem",
        "select severity, about, summary, remedy from sicantik_notify.v_problem",
    )
    .await?;

    if args.keep {
        println!("\nRunning. Press Enter to end.");
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    }
    let (sent, waiting): (i64, i64) = {
        let row = admin
            .query_one(
                "select (select count(*) from sicantik_notify.log where state = 'sent'), (select count(*) from sicantik_notify.queue)",
                &[],
            )
            .await?;
        (row.get(0), row.get(1))
    };
    daemon.signal("TERM").await?;
    let status = daemon.wait().await?;
    let accepted = office.gateway.accepted().len() as i64;
    if sent != accepted || waiting != 0 || sent == 0 || !status.success() {
        return Err(format!(
            "the demo failed: {sent} messages in log, {accepted} at the providers, {waiting} waiting, daemon {status}\n{}",
            daemon.log()
        )
        .into());
    }
    println!(
        "\nDemo done: {accepted} messages arrived, each once, in {:.1} seconds from nothing to here.",
        begun.elapsed().as_secs_f64()
    );
    Ok(Done::Well)
}

fn say(heading: &str) {
    println!("\n== {heading}");
}

/// Runs a statement as psql would, and shows it.
async fn write(client: &Client, statement: &str) -> Result<()> {
    println!("  {statement};");
    client.batch_execute(statement).await?;
    Ok(())
}

async fn partner_of(client: &Client, permit: i32) -> Result<i32> {
    Ok(client
        .query_one("select partner_id from sicantik_permit where id = $1", &[&permit])
        .await?
        .get(0))
}

/// Waits until nothing is under way any more.
async fn settled(office: &Office, admin: &Client) -> Result<()> {
    office
        .until(
            admin,
            "select not exists (select from sicantik_notify.event) and not exists (select from sicantik_notify.queue) \
             and exists (select from sicantik_notify.log where finished_at > now() - interval '1 minute')",
        )
        .await?;
    Ok(())
}

fn show_messages(accepted: &[Accepted]) {
    for provider in [Provider::Meta, Provider::Fonnte, Provider::Watzap] {
        say(&format!("What arrived at {provider}"));
        for message in accepted.iter().filter(|m| m.provider == provider) {
            let template = message
                .template
                .as_deref()
                .map(|t| format!(", template {t}"))
                .unwrap_or_default();
            println!("  to {}{template}", message.to);
            for line in message.text.lines().filter(|l| !l.is_empty()) {
                println!("      {line}");
            }
        }
    }
}

/// A view, as text.
async fn show(client: &Client, name: &str, query: &str) -> Result<()> {
    say(name);
    let messages = client.simple_query(query).await?;
    let mut headings = Vec::new();
    let mut rows = Vec::new();
    for message in &messages {
        match message {
            tokio_postgres::SimpleQueryMessage::RowDescription(columns) => {
                headings = columns.iter().map(|c| c.name()).collect();
            }
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                rows.push(
                    (0..row.len())
                        .map(|i| row.get(i).unwrap_or("").to_owned())
                        .collect(),
                );
            }
            _ => {}
        }
    }
    if rows.is_empty() {
        println!("  (nothing)");
        return Ok(());
    }
    table::print(&headings, &rows);
    Ok(())
}
