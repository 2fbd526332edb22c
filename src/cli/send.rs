//! `send`: a test message through the queue, like any other, so that limits, blacklist and log hold (SICANTIK guide §7.3).

use std::error::Error;
use std::time::{Duration, Instant};

use clap::ArgGroup;
use serde_json::{Map, Value, json};
use tokio_postgres::Client;

use super::template::{Values, choice_as_json, context, print_choice};
use super::{Done, Outcome, access, table};
use crate::config::Config;
use crate::db::ids::PartnerId;
use crate::db::statements as sql;
use crate::deliver::directory::Directory;
use crate::deliver::template::TemplateKey;
use crate::host::phone::Phone;

/// How often the message is looked for.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["rule", "template"])),
          group(ArgGroup::new("whom").required(true).args(["to", "partner"])))]
pub(super) struct Args {
    /// Code of the rule; its limits, retries and template hold
    #[arg(long, value_name = "CODE")]
    rule: Option<String>,
    /// Template key [default: the rule's]; alone, the first active rule with this template is taken
    #[arg(long, value_name = "KEY")]
    template: Option<String>,
    /// The recipient's number
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    to: Option<String>,
    /// The recipient: id of a partner (res_partner)
    #[arg(long, value_name = "ID")]
    partner: Option<i64>,
    /// Values of the placeholders, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = context)]
    context: Option<Values>,
    /// Show what would be sent, through whom, and why not through others; nothing is sent
    #[arg(long)]
    dry_run: bool,
    /// How long to wait for the outcome, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

type Failed = Box<dyn Error + Send + Sync>;

/// What is to be sent to whom.
struct Test {
    rule: String,
    key: TemplateKey,
    partner: Option<PartnerId>,
    name: Option<String>,
    phone: Phone,
    context: Map<String, Value>,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let client = access::connect(config, "send").await?;
    let test = Test::from(&client, &args).await?;
    let directory = Directory::survey(&client).await?;
    let choice = directory
        .preview(
            &client,
            test.partner,
            test.phone.as_e164(),
            &test.key,
            &test.context,
        )
        .await?;
    if args.dry_run {
        if args.json {
            let mut whole = choice_as_json(&choice);
            whole["rule"] = test.rule.into();
            whole["phone"] = test.phone.masked().to_string().into();
            println!("{whole}");
        } else {
            println!("Rule {}, to {}:", test.rule, test.phone.masked());
            print_choice(&choice);
            println!("Nothing was sent.");
        }
        return Ok(match choice.routes.is_empty() {
            true => Done::NeedsAttention,
            false => Done::Well,
        });
    }
    if choice.routes.is_empty() && !choice.must_wait() {
        match args.json {
            true => println!("{}", choice_as_json(&choice)),
            false => print_choice(&choice),
        }
        return Err("no provider can send it; nothing was put into the queue".into());
    }
    let id = test.enqueue(&client).await?;
    if !args.json {
        println!("Message {id} to {} is in the queue.", test.phone.masked());
    }
    follow(&client, id, Duration::from_secs(args.wait), args.json).await
}

impl Test {
    async fn from(client: &Client, args: &Args) -> Result<Self, Failed> {
        let (rule, template) = rule(
            client,
            args.rule.as_deref(),
            args.template.as_deref(),
            args.dry_run,
        )
        .await?;
        let (partner, name, phone) = match (args.partner, &args.to) {
            (Some(id), _) => {
                let (name, phone) = partner(client, id).await?;
                (Some(PartnerId(id)), Some(name), phone)
            }
            (None, to) => (None, None, Phone::parse(to.as_deref().unwrap_or_default())?),
        };
        let mut context = args.context.clone().unwrap_or_default().0;
        if let Some(name) = &name {
            context
                .entry("partner_name")
                .or_insert_with(|| Value::String(name.clone()));
        }
        Ok(Self {
            rule,
            key: TemplateKey::new(template)?,
            partner,
            name,
            phone,
            context,
        })
    }

    async fn enqueue(&self, client: &Client) -> Result<i64, Failed> {
        let row = client
            .query_opt(
                sql::SEND_TEST.sql,
                &[
                    &self.rule,
                    &self.key.as_str(),
                    &self.partner.map(|p| p.0),
                    &self.name,
                    &self.phone.as_e164(),
                    &Value::Object(self.context.clone()),
                ],
            )
            .await?;
        let row = row.ok_or_else(|| format!("rule {} was switched off meanwhile", self.rule))?;
        Ok(row.get(0))
    }
}

/// The rule and the template key. To be sent, the rule must be active: messages of an inactive one wait.
async fn rule(
    client: &Client,
    code: Option<&str>,
    key: Option<&str>,
    dry_run: bool,
) -> Result<(String, String), Failed> {
    let Some(code) = code else {
        let key = key.unwrap_or_default();
        let row = client
            .query_opt(
                "select code from sicantik_notify.rule where active and template_key = $1 order by sequence, code limit 1",
                &[&key],
            )
            .await?;
        let row = row.ok_or_else(|| {
            format!("no active rule has the template {key}: name one with --rule, whose limits then hold")
        })?;
        return Ok((row.get(0), key.to_owned()));
    };
    let row = client
        .query_opt(
            "select active, template_key from sicantik_notify.rule where code = $1",
            &[&code],
        )
        .await?
        .ok_or_else(|| format!("there is no rule {code}; v_rule lists them"))?;
    if !dry_run && !row.get::<_, bool>(0) {
        return Err(format!(
            "rule {code} is inactive, and its messages wait: activate it (update sicantik_notify.rule set active = true \
             where code = '{code}'), or only look, with --dry-run"
        )
        .into());
    }
    Ok((code.to_owned(), key.map_or_else(|| row.get(1), str::to_owned)))
}

async fn partner(client: &Client, id: i64) -> Result<(String, Phone), Failed> {
    let row = client
        .query_opt(
            "select coalesce(name, ''), whatsapp_number, mobile, phone from sicantik_notify.host_partner($1)",
            &[&vec![id]],
        )
        .await?
        .ok_or_else(|| format!("there is no partner {id}"))?;
    let mut reason = "its number fields are empty".to_owned();
    for column in 1..4 {
        match row
            .get::<_, Option<&str>>(column)
            .filter(|n| !n.trim().is_empty())
        {
            None => {}
            Some(number) => match Phone::parse(number) {
                Ok(phone) => return Ok((row.get(0), phone)),
                Err(error) => reason = error.to_string(),
            },
        }
    }
    Err(format!("partner {id} cannot be reached: {reason}").into())
}

/// Waits for the end of the message, and prints what happened on the way.
async fn follow(client: &Client, id: i64, patience: Duration, as_json: bool) -> Outcome {
    let started = Instant::now();
    let alive: bool = client
        .query_one(
            "select exists (select from sicantik_notify.instance i \
             where i.delivering and i.heartbeat_at > sicantik_notify.clock() - interval '10 seconds')",
            &[],
        )
        .await?
        .get(0);
    let patience = if alive { patience } else { Duration::ZERO };
    if !alive && !as_json {
        println!("No daemon is sending: it waits until one does (systemctl start sicantik-notifyd).");
        return Ok(Done::NeedsAttention);
    }
    loop {
        let row = client.query_opt(sql::SEND_OUTCOME.sql, &[&id]).await?;
        let row = row.ok_or_else(|| format!("message {id} is gone: somebody deleted it"))?;
        let finished: bool = row.get("finished");
        let held = row.get::<_, &str>("state") == "held";
        if !finished && !held && started.elapsed() < patience {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let (state, error): (&str, Option<&str>) = (row.get("state"), row.get("error"));
        let why: Option<&str> = row.get("waiting_for");
        if as_json {
            println!(
                "{}",
                json!({"message": id, "state": state, "waiting_for": why, "error": error, "delivering": alive,
                       "provider_type": row.get::<_, Option<&str>>("provider_type"),
                       "possible_duplicate": row.get::<_, bool>("possible_duplicate"), "attempts": attempts(client, id).await?})
            );
            return match (finished, state) {
                (false, _) => Ok(Done::NeedsAttention),
                (true, "sent") => Ok(Done::Well),
                (true, _) => {
                    Err(format!("message {id} {state}: {}", error.unwrap_or("no reason is known")).into())
                }
            };
        }
        print_attempts(client, id).await?;
        if !finished {
            println!(
                "Message {id} is {state}: {}.",
                why.or(error).unwrap_or("it waits")
            );
            return Ok(Done::NeedsAttention);
        }
        if state != "sent" {
            return Err(format!("message {id} {state}: {}", error.unwrap_or("no reason is known")).into());
        }
        println!(
            "Message {id} was sent through {}{}.",
            row.get::<_, Option<&str>>("provider_type")
                .unwrap_or("a provider"),
            match row.get("possible_duplicate") {
                true => ", perhaps twice: an answer was lost",
                false => "",
            }
        );
        return Ok(Done::Well);
    }
}

async fn attempts(client: &Client, id: i64) -> Result<Value, tokio_postgres::Error> {
    let all = "select coalesce(jsonb_agg(to_jsonb(a.*) order by a.id), '[]') from sicantik_notify.v_attempt a where a.message_id = $1";
    Ok(client.query_one(all, &[&id]).await?.get(0))
}

async fn print_attempts(client: &Client, id: i64) -> Result<(), tokio_postgres::Error> {
    let rows: Vec<Vec<String>> = client
        .query(
            "select provider_type, template_key, outcome, coalesce(code, ''), coalesce(duration_ms || ' ms', ''), \
                    concat_ws('; ', error, note) \
             from sicantik_notify.v_attempt where message_id = $1 order by id",
            &[&id],
        )
        .await?
        .iter()
        .map(|r| (0..6).map(|column| r.get(column)).collect())
        .collect();
    if !rows.is_empty() {
        table::print(
            &["provider", "template", "outcome", "code", "took", "words"],
            &rows,
        );
    }
    Ok(())
}
