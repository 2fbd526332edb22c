//! `explain`: what became of a record's changes, of an event or of a message, and why somebody got nothing.

mod cause;
mod now;
mod read;
mod story;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_postgres::{IsolationLevel, Transaction};

use super::moment::shown_or;
use super::{Done, Outcome, access};
use crate::config::Config;
use crate::db::statements as sql;
use crate::evaluate::check::Survey;
use cause::{Cause, Why};
use now::Found;
use read::Chapter;
use story::{Story, Teller};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("subject").required(true).args(["record", "event", "message"])))]
pub(super) struct Args {
    /// Tell what became of a record's changes
    #[arg(long, value_name = "MODEL,ID", value_parser = reference)]
    record: Option<(String, i64)>,
    /// Tell the story of one event
    #[arg(long, value_name = "ID")]
    event: Option<i64>,
    /// Tell the story of one message, back to its change
    #[arg(long, value_name = "ID")]
    message: Option<i64>,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
    /// How many of a record's newest changes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

fn reference(text: &str) -> Result<(String, i64), String> {
    let wrong = || "write it as sicantik.permit,42".to_owned();
    let (model, id) = text.rsplit_once(',').ok_or_else(wrong)?;
    let id = id.trim().parse().map_err(|_| wrong())?;
    Ok((model.trim().to_owned(), id))
}

/// What is explained.
struct Focus {
    model: String,
    record: i64,
    xact: Option<String>,
    message: Option<i64>,
    event: Option<i64>,
}

impl Focus {
    /// What it is about, for people: the record, or, where a person put it into the queue, the message itself.
    fn name(&self) -> String {
        match (self.model.is_empty(), self.message) {
            (true, Some(message)) => format!("message {message}"),
            _ => format!("{},{}", self.model, self.record),
        }
    }
}

/// What is told.
struct Told {
    focus: Focus,
    stories: Vec<Story>,
    causes: Vec<Cause>,
    exists: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut client = access::connect(config, "explain").await?;
    client
        .batch_execute("set statement_timeout = '30s'; set timezone = 'UTC'; set jit = off")
        .await?;
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let Some(focus) = locate(&tx, &args).await? else {
        return Ok(unknown(&args));
    };
    let survey = Survey::load(&tx).await?;
    let told = tell(&tx, &survey, focus, i64::from(args.limit)).await?;
    tx.commit().await?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report(&told))?),
        false => print(&told, survey.configuration.office.timezone),
    }
    Ok(match told.stories.is_empty() && !told.exists {
        true => Done::NeedsAttention,
        false => Done::Well,
    })
}

async fn locate(tx: &Transaction<'_>, args: &Args) -> Result<Option<Focus>, tokio_postgres::Error> {
    if let Some((model, record)) = &args.record {
        return Ok(Some(Focus {
            model: model.clone(),
            record: *record,
            xact: None,
            message: None,
            event: None,
        }));
    }
    let row = tx
        .query_opt(sql::EXPLAIN_LOCATE.sql, &[&args.event, &args.message])
        .await?;
    // A message that somebody put into the queue by hand may be about no record.
    Ok(row.map(|row| Focus {
        model: row.get::<_, Option<String>>(0).unwrap_or_default(),
        record: row.get::<_, Option<i64>>(1).unwrap_or(0),
        xact: row.get(2),
        message: args.message,
        event: args.event,
    }))
}

fn unknown(args: &Args) -> Done {
    let (what, id) = match (args.event, args.message) {
        (Some(id), _) => ("event", id),
        (_, id) => ("message", id.unwrap_or(0)),
    };
    let why = match what {
        "event" => "it never was, or it is older than event_history_days and its decisions are gone",
        _ => "it never was, or its log was removed",
    };
    match args.json {
        true => println!(
            "{}",
            json!({"subject": {(what): id}, "known": false, "stories": [], "causes": []})
        ),
        false => println!("Nothing is known of {what} {id}: {why}."),
    }
    Done::NeedsAttention
}

async fn tell(
    tx: &Transaction<'_>,
    survey: &Survey,
    focus: Focus,
    limit: i64,
) -> Result<Told, tokio_postgres::Error> {
    let whole = focus.message.is_none() && focus.event.is_none();
    // What the views say of times is for people.
    tx.batch_execute("select set_config('TimeZone', sicantik_notify.office_zone(), true)")
        .await?;
    let mut chapters = read::chapters(tx, &focus.model, focus.record, focus.message, whole, limit).await?;
    tx.batch_execute("set local timezone = 'UTC'").await?;
    if !whole {
        narrow(&mut chapters, &focus);
    }
    let more = chapters
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    chapters.drain(..more);
    let ids: Vec<i64> = chapters.iter().flat_map(|c| &c.messages).map(|m| m.id).collect();
    let attempts = read::attempts(tx, &ids).await?;
    let xacts: Vec<&str> = chapters.iter().filter_map(|c| c.xact.as_deref()).collect();
    let teller = Teller {
        firings: &read::firings(tx, &xacts).await?,
        survey,
        model: &focus.model,
        record: focus.record,
        attempts: &attempts,
        published: &published(tx).await?,
        daemon: now::daemon(tx).await?,
        provider: now::provider(tx).await?,
        zone: survey.configuration.office.timezone,
    };
    let stories: Vec<Story> = chapters.iter().map(|c| teller.tell(c)).collect();
    let (mut causes, mut exists) = (Vec::new(), false);
    if whole {
        match now::find(tx, survey, &focus.model, focus.record).await? {
            Found::Row(row) => {
                exists = true;
                // A record with stories is asked only whether its next changes are seen; one without, everything.
                let row = stories.is_empty().then_some(&row);
                causes = now::record(tx, survey, &focus.model, row).await?;
            }
            Found::Missing(cause) | Found::Unreadable(cause) => {
                exists = cause.why == Why::RightMissing;
                causes.push(cause);
            }
        }
    }
    Ok(Told {
        focus,
        stories,
        causes,
        exists,
    })
}

/// Only what belongs to the message or the event.
fn narrow(chapters: &mut Vec<Chapter>, focus: &Focus) {
    if let Some(message) = focus.message {
        chapters.retain(|c| {
            c.messages.iter().any(|m| m.id == message)
                || c.decisions.iter().any(|d| d.message == Some(message))
        });
        for chapter in chapters.iter_mut() {
            chapter.messages.retain(|m| m.id == message);
            if chapter.decisions.iter().any(|d| d.message == Some(message)) {
                chapter.decisions.retain(|d| d.message == Some(message));
            }
            chapter.set_aside.clear();
        }
        return;
    }
    chapters.retain(|c| match &focus.xact {
        Some(xact) => c.xact.as_ref() == Some(xact),
        None => {
            c.messages.iter().any(|m| m.event == focus.event)
                || c.decisions.iter().any(|d| d.event == focus.event)
        }
    });
}

async fn published(tx: &Transaction<'_>) -> Result<HashMap<String, DateTime<Utc>>, tokio_postgres::Error> {
    let rows = tx
        .query(
            "select code, published_at from sicantik_notify.v_trigger where published_at is not null",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|r| (r.get(0), r.get(1))).collect())
}

fn report(told: &Told) -> Value {
    let stories: Vec<Value> = told
        .stories
        .iter()
        .map(|story| {
            let steps: Vec<Value> = story
                .steps
                .iter()
                .map(|s| json!({"kind": s.kind, "at": s.at, "text": s.text, "data": s.data}))
                .collect();
            let causes: Vec<Value> = story.causes.iter().map(Cause::json).collect();
            json!({"transaction": story.xact, "at": story.at, "steps": steps, "causes": causes})
        })
        .collect();
    let causes: Vec<Value> = told.causes.iter().map(Cause::json).collect();
    let focus = &told.focus;
    let (model, record) = match focus.model.is_empty() {
        true => (None, None),
        false => (Some(&focus.model), Some(focus.record)),
    };
    json!({"subject": {"model": model, "record": record, "event": focus.event, "message": focus.message},
           "known": told.exists || !told.stories.is_empty(), "stories": stories, "causes": causes})
}

fn print(told: &Told, zone: chrono_tz::Tz) {
    let name = told.focus.name();
    for story in &told.stories {
        println!("{name}, {}", shown_or(story.at, zone, "at an unknown time"));
        for step in &story.steps {
            let at = step
                .at
                .map(|at| at.with_timezone(&zone).format("%H:%M:%S").to_string());
            println!(
                "  {:<8}  {}",
                at.unwrap_or_default(),
                step.text.replace('\n', "\n            ")
            );
        }
        story.causes.iter().for_each(Cause::print);
        println!();
    }
    if told.stories.is_empty() {
        println!("Nothing has been captured of {name}.");
    }
    if told.causes.is_empty() && told.stories.is_empty() && told.exists {
        println!("Nothing stands in the way now: a change that a trigger looks for would be told.");
    } else if !told.causes.is_empty() {
        println!("As things stand now:");
        told.causes.iter().for_each(Cause::print);
    }
}
