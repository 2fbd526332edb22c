//! `simulate`: whom a trigger or rule would tell, and what; nothing is sent, nothing is written.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tokio_postgres::Client;

use super::moment::{Since, shown as at_the_office, since, zone};
use super::template::print_route;
use super::words::{many, noun};
use super::{Done, Outcome, access};
use crate::config::Config;
use crate::deliver::directory::Directory;
use crate::deliver::dispatcher::Choice as Ways;
use crate::deliver::provider::Content;
use crate::deliver::template::TemplateKey;
use crate::evaluate::question::Asking;
use crate::evaluate::trial::{Draft, Trial, Wanted};
use crate::fire::records::{Choice, Records};
use crate::fire::simulate::{Example, Material, Report, simulate};
use crate::host::phone::Phone;

type Failed = Box<dyn Error + Send + Sync>;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["trigger", "rule", "file"])),
          group(clap::ArgGroup::new("material").args(["ids", "domain", "since"])))]
pub(super) struct Args {
    /// Code of a trigger: its active rules, or all of them where none is
    #[arg(long, value_name = "CODE")]
    trigger: Option<String>,
    /// Code of a rule
    #[arg(long, value_name = "CODE")]
    rule: Option<String>,
    /// TOML file with [trigger] or [[rule]], in the columns of the tables; what it leaves out is as stored, else as by default
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Ids of the records, with commas [default: all that meet the trigger's condition]
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    ids: Vec<i64>,
    /// The records that meet a domain
    #[arg(long, allow_hyphen_values = true)]
    domain: Option<String>,
    /// The changes since then, such as 7d, 12h or 2026-12-22 18:30:00 (the office's time), as far as event_history_days goes back
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// How many messages are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    limit: u16,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let wanted = match (&args.trigger, &args.rule, &args.file) {
        (Some(code), _, _) => Wanted::Trigger(code.clone()),
        (_, Some(code), _) => Wanted::Rule(code.clone()),
        (_, _, file) => Wanted::File(read(file.as_deref().unwrap_or(Path::new("-")))?),
    };
    let mut client = access::pooled(config, "simulate").await?;
    client.batch_execute(QUIET).await?;
    let tx = client.build_transaction().read_only(true).start().await?;
    let mut trial = Trial::load(&tx, &wanted).await?;
    trial.configuration.python = config.python.limits();
    let now: DateTime<Utc> = tx.query_one("select sicantik_notify.clock()", &[]).await?.get(0);
    let zone = zone(tx.client()).await?;
    let records = match args.since {
        Some(_) => None,
        None => Some(records(&tx, &trial, &args).await?),
    };
    let material = match (&records, args.since) {
        (Some(records), _) => Material::Records(records),
        (None, since) => Material::Events(since.map_or(now, |s| s.before(now, zone))),
    };
    let mut progress = Progress::new("looked at");
    let report = simulate(&tx, &trial, material, args.limit.into(), |n| progress.show(n)).await?;
    progress.end();
    tx.rollback().await?;
    let shown = shown(&client, &report.examples).await?;
    let told = Told {
        what: match material {
            Material::Records(_) => "record",
            Material::Events(_) => "change",
        },
        report: &report,
        shown: &shown,
        inactive: &trial.inactive,
    };
    match args.json {
        true => println!("{}", told.json()),
        false => {
            told.print();
            if let (Material::Events(since), 0) = (material, report.looked_at) {
                println!(
                    "Nothing was captured since {}: hooks capture what active triggers watch, and events are kept for \
                     event_history_days. To look at records instead, leave --since out.",
                    at_the_office(since, zone)
                );
            }
            println!("Nothing was sent, and nothing was written.");
        }
    }
    Ok(Done::Well)
}

/// What every connection that only looks begins with.
pub(super) const QUIET: &str = "set statement_timeout = '60s'; set timezone = 'UTC'; set jit = off";

async fn records(
    tx: &tokio_postgres::Transaction<'_>,
    trial: &Trial,
    args: &Args,
) -> Result<Records, Failed> {
    let trigger = trial.trigger().ok_or("there is nothing to simulate")?;
    let choice = match &args.domain {
        Some(domain) => Choice::Domain(domain.clone()),
        None if args.ids.is_empty() => Choice::All,
        None => Choice::Ids(args.ids.clone()),
    };
    let asking = Asking {
        catalog: &trial.configuration.catalog,
        aliases: &trial.configuration.aliases,
        vars: crate::evaluate::configuration::present(tx).await?,
    };
    let records = Records::of(trigger, &choice, &asking);
    let mut records = records.map_err(|(text, error)| error.diagnostic(&text))?;
    records.stand(&trigger.condition);
    Ok(records)
}

/// The file, as far as a simulation needs it.
fn read(path: &Path) -> Result<Draft, Failed> {
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    draft(&text).map_err(|e| format!("{}: {e}", path.display()).into())
}

fn draft(text: &str) -> Result<Draft, String> {
    let table: toml::Table = toml::from_str(text).map_err(|e| format!("it is no TOML:\n{e}"))?;
    let mut draft = Draft::default();
    let row = |value: toml::Value| match serde_json::to_value(value) {
        Ok(Value::Object(row)) => Ok(row),
        _ => Err("[trigger] and [[rule]] hold columns, such as code = \"…\"".to_owned()),
    };
    for (name, value) in table {
        match (name.as_str(), value) {
            ("trigger", toml::Value::Array(many)) if many.len() == 1 => {
                draft.trigger = many.into_iter().next().map(row).transpose()?;
            }
            ("trigger", toml::Value::Array(_)) => {
                return Err("it has several triggers: simulate one at a time".into());
            }
            ("trigger", one) => draft.trigger = Some(row(one)?),
            ("rule", toml::Value::Array(many)) => {
                draft.rules = many.into_iter().map(row).collect::<Result<_, _>>()?;
            }
            ("rule", one) => draft.rules = vec![row(one)?],
            (other, _) => {
                return Err(format!(
                    "it has [{other}]; a simulation reads [trigger] and [[rule]]"
                ));
            }
        }
    }
    if draft.trigger.is_none() && draft.rules.is_empty() {
        return Err("it has no [trigger] and no [[rule]]".into());
    }
    Ok(draft)
}

/// An example with the ways that its message would take.
pub(super) struct Shown<'a> {
    example: &'a Example,
    ways: Option<Ways>,
}

impl<'a> Shown<'a> {
    async fn of(
        directory: &Directory,
        client: &Client,
        example: &'a Example,
    ) -> Result<Self, tokio_postgres::Error> {
        let message = &example.message;
        let ways = match TemplateKey::new(message.template.clone()) {
            Err(_) => None,
            Ok(key) => Some(
                directory
                    .preview(client, message.partner, &message.phone, &key, &message.context)
                    .await?,
            ),
        };
        Ok(Self { example, ways })
    }

    fn masked(&self) -> String {
        Phone::parse(&self.example.message.phone)
            .map_or_else(|_| "a number".into(), |p| p.masked().to_string())
    }

    fn json(&self) -> Value {
        let message = &self.example.message;
        let first = self.ways.as_ref().and_then(|w| w.routes.first());
        let content = first.map(|route| match &route.content {
            Content::Text(text) => json!({"text": text}),
            Content::MetaTemplate { name, language, .. } => {
                json!({"meta_template": name, "language": language})
            }
        });
        json!({"rule": message.rule_code, "records": self.example.records, "partner": message.partner.map(|p| p.0),
               "name": message.name, "phone": self.masked(), "template": message.template, "held": message.held,
               "provider": first.map(|r| r.kind.as_str()), "template_used": first.map(|r| r.template_key_used.as_str()),
               "content": content,
               "not_used": self.ways.iter().flat_map(|w| &w.skipped)
                   .map(|s| json!({"provider": s.kind.as_str(), "reason": s.reason.to_string()})).collect::<Vec<_>>()})
    }

    fn print(&self) {
        let message = &self.example.message;
        let records = match self.example.records.as_slice() {
            [one] => format!("{},{one}", message.model),
            many => format!("{} records of {}", many.len(), message.model),
        };
        println!(
            "{records}: rule {} tells {} ({}){}",
            message.rule_code,
            message.name,
            self.masked(),
            message.note
        );
        if let Some(why) = &message.held {
            println!("    held until somebody releases it: {why}");
        }
        let Some(ways) = &self.ways else { return };
        match ways.routes.first() {
            Some(route) => print_route(route),
            None => {
                for skipped in &ways.skipped {
                    println!("    not through {}: {}", skipped.kind, skipped.reason);
                }
            }
        }
    }
}

/// A report for people and for scripts.
pub(super) struct Told<'a> {
    pub(super) what: &'static str,
    pub(super) report: &'a Report,
    pub(super) shown: &'a [Shown<'a>],
    pub(super) inactive: &'a [String],
}

impl Told<'_> {
    pub(super) fn json(&self) -> Value {
        let report = self.report;
        let silent: Vec<Value> = report
            .silent
            .iter()
            .map(|((rule, outcome), (count, examples))| {
                let examples: Vec<Value> = examples
                    .iter()
                    .map(|e| json!({"record": e.record, "partner": e.partner, "reason": e.reason}))
                    .collect();
                json!({"rule": rule, "outcome": outcome, "count": count, "examples": examples})
            })
            .collect();
        let messages: Map<String, Value> = report
            .messages
            .iter()
            .map(|(rule, n)| (rule.clone(), (*n).into()))
            .collect();
        json!({"looked_at": report.looked_at, "what": format!("{}s", self.what), "concerned": report.concerned, "messages": report.total(),
               "messages_by_rule": messages, "held": report.held, "silent": silent, "inactive": self.inactive,
               "shown": self.shown.iter().map(Shown::json).collect::<Vec<_>>()})
    }

    pub(super) fn print(&self) {
        let report = self.report;
        if !self.inactive.is_empty() {
            println!(
                "Not in force now, and simulated as if active: {}.",
                self.inactive.join(", ")
            );
        }
        println!(
            "{} {} looked at; the trigger is about {} of them.",
            many(report.looked_at, self.what),
            if report.looked_at == 1 { "was" } else { "were" },
            report.concerned
        );
        println!(
            "{} would be enqueued{}.",
            many(report.total(), "message"),
            match report.held {
                0 => String::new(),
                held => format!(", {held} of them held for a person"),
            }
        );
        for (rule, messages) in &report.messages {
            println!("  rule {rule}: {messages}");
        }
        for ((rule, outcome), (count, examples)) in &report.silent {
            let by = if rule.is_empty() {
                "trigger".to_owned()
            } else {
                format!("rule {rule}")
            };
            println!("  {by}: {outcome} {count}");
            for example in examples {
                let whom = example
                    .partner
                    .map(|p| format!(", partner {p}"))
                    .unwrap_or_default();
                let reason = example.reason.replace('\n', "\n        ");
                println!("      record {}{whom}: {reason}", example.record);
            }
        }
        for shown in self.shown {
            shown.print();
        }
        let more = report.total().saturating_sub(self.shown.len() as u64);
        if more > 0 && !self.shown.is_empty() {
            println!(
                "… and {more} more {} (--limit shows more of them).",
                noun(more, "message")
            );
        }
    }
}

/// A line on the terminal that counts; nothing where nobody looks.
pub(super) struct Progress {
    words: &'static str,
    seen: bool,
}

impl Progress {
    pub(super) fn new(words: &'static str) -> Self {
        Self { words, seen: false }
    }

    pub(super) fn show(&mut self, n: u64) {
        if std::io::stderr().is_terminal() {
            self.seen = true;
            eprint!("\r{n} {}", self.words);
            let _ = std::io::stderr().flush();
        }
    }

    pub(super) fn end(&self) {
        if self.seen {
            eprint!("\r\x1b[K");
        }
    }
}

/// Examples with their texts.
pub(super) async fn shown<'a>(
    client: &deadpool_postgres::Client,
    examples: &'a [Example],
) -> Result<Vec<Shown<'a>>, tokio_postgres::Error> {
    if examples.is_empty() {
        return Ok(Vec::new());
    }
    let directory = Directory::survey(client).await?;
    let mut all = Vec::new();
    for example in examples {
        all.push(Shown::of(&directory, client, example).await?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::draft;

    #[test]
    fn a_file_holds_a_trigger_or_rules() {
        let read = draft(
            "[trigger]\ncode = \"a\"\nmodel = \"sicantik.permit\"\n[[rule]]\ncode = \"r\"\nbatch_size = 5\n",
        );
        let read = read.unwrap_or_default();
        assert_eq!(
            read.trigger
                .and_then(|t| t["code"].as_str().map(str::to_owned))
                .as_deref(),
            Some("a")
        );
        assert_eq!(read.rules[0]["batch_size"], 5);
        for (text, said) in [
            ("", "no [trigger]"),
            ("[campaign]\n", "reads [trigger] and [[rule]]"),
            ("trigger = 1\n", "hold columns"),
            (
                "[[trigger]]\ncode = \"a\"\n[[trigger]]\ncode = \"b\"\n",
                "one at a time",
            ),
            ("[trigger\n", "no TOML"),
        ] {
            let error = draft(text).err().unwrap_or_default();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
