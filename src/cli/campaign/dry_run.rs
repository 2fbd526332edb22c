//! `campaign dry-run`: the same steps as the real one, up to the queue, in a transaction that cannot write.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

use super::{Client, Done, Failed, Meant, One, Outcome, duration, find, many, meant};
use crate::config::Config;
use crate::db::ids::{CampaignId, PartnerId};
use crate::deliver::directory::Directory;
use crate::deliver::dispatcher::Choice;
use crate::deliver::provider::{Content, ProviderKind};
use crate::deliver::template::TemplateKey;
use crate::evaluate::configuration::Configuration;
use crate::evaluate::targets::{Campaign, Left, Planned, Rehearsal, rehearse};
use crate::host::phone::Phone;
use crate::host::record::quote;

/// Records that are looked at in one step.
const PORTION: usize = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    one: One,
    /// Of how many records, the first ones, it is said what would become of them
    #[arg(long, default_value_t = 1000, value_name = "N")]
    sample: i64,
    /// Of all of them; takes long where they are many
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// How many messages are shown
    #[arg(long, default_value_t = 3, value_name = "N")]
    messages: usize,
}

/// What was found.
struct Found {
    records: i64,
    looked_at: i64,
    template_key: String,
    messages: i64,
    held: i64,
    first: Vec<(Planned, Choice)>,
    /// By provider and price class.
    ways: BTreeMap<String, i64>,
    /// By reason.
    skipped: BTreeMap<String, i64>,
    /// A few of each.
    examples: Vec<Left>,
}

pub(super) async fn execute(config: &Config, mut client: Client, args: &Args) -> Outcome {
    let (id, row) = find(&client, &args.one.campaign).await?;
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    let (mut configuration, meant) =
        meant(&mut client, &text("target_model"), &text("target_domain")).await?;
    configuration.python = config.python.limits();
    let template_key: Option<String> = client
        .query_one(
            "select template_key from sicantik_notify.campaign where id = $1",
            &[&id],
        )
        .await?
        .get(0);
    let campaign = Campaign {
        id: CampaignId(id),
        rule: text("rule"),
        template_key,
    };
    let other = super::access::pooled(config, "campaign").await?;
    let found = look(&mut client, &other, &configuration, &campaign, &meant, args).await?;
    // Of all, as of those that were looked at.
    let messages = match found.looked_at {
        0 => 0,
        looked_at => (found.messages as f64 * found.records as f64 / looked_at as f64).ceil() as i64,
    };
    let long = duration(&client, &campaign.rule, messages).await?;
    let (obstacles, hours) = terms(&client, &campaign.rule).await?;
    if args.one.json {
        let mut whole = as_json(id, &found, messages, long.as_deref());
        whole["cannot_start"] = json!(obstacles);
        whole["send_window"] = json!(hours);
        println!("{}", serde_json::to_string_pretty(&whole)?);
    } else {
        print(id, &found, messages, long.as_deref(), hours.as_deref());
        obstacles
            .iter()
            .for_each(|o| println!("It cannot be started: {o}."));
    }
    Ok(match found.messages {
        0 => Done::NeedsAttention,
        _ if !obstacles.is_empty() => Done::NeedsAttention,
        _ => Done::Well,
    })
}

/// What would refuse the start, and the hours that its rule keeps.
async fn terms(client: &Client, rule: &str) -> Result<(Vec<String>, Option<String>), Failed> {
    let query = "select r.active, t.active, t.code, r.send_window from sicantik_notify.rule r \
                 join sicantik_notify.trigger t on t.code = r.trigger where r.code = $1";
    let row = client.query_one(query, &[&rule]).await?;
    let mut obstacles = Vec::new();
    if !row.get::<_, bool>(0) {
        obstacles.push(format!("rule {rule} is inactive"));
    }
    if !row.get::<_, bool>(1) {
        obstacles.push(format!(
            "trigger {} of rule {rule} is inactive",
            row.get::<_, &str>(2)
        ));
    }
    Ok((obstacles, row.get(3)))
}

async fn look(
    client: &mut Client,
    other: &Client,
    configuration: &Configuration,
    campaign: &Campaign,
    meant: &Meant,
    args: &Args,
) -> Result<Found, Failed> {
    let directory = Directory::survey(other).await?;
    let categories: HashMap<String, String> = other
        .query(
            "select template_key, meta_category from sicantik_notify.template where meta_category is not null",
            &[],
        )
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let respects: bool = other
        .query_one(
            "select respect_blacklist from sicantik_notify.rule where code = $1",
            &[&campaign.rule],
        )
        .await?
        .get(0);
    let mut found = Found {
        records: meant.records,
        looked_at: 0,
        template_key: String::new(),
        messages: 0,
        held: 0,
        first: Vec::new(),
        ways: BTreeMap::new(),
        skipped: BTreeMap::new(),
        examples: Vec::new(),
    };
    let tx = client.build_transaction().read_only(true).start().await?;
    let mut from = i64::MIN;
    let most = if args.all { i64::MAX } else { args.sample };
    while found.looked_at < most {
        let many = (most - found.looked_at).min(PORTION as i64);
        let ids = next(&tx, meant, from, many).await?;
        let Some(last) = ids.last() else { break };
        from = last.saturating_add(1);
        found.looked_at += ids.len() as i64;
        let rehearsal = rehearse(&tx, configuration, campaign, &ids).await?;
        let rehearsal = without_listed(other, rehearsal, respects).await?;
        count(
            &mut found,
            &directory,
            other,
            &categories,
            rehearsal,
            args.messages,
        )
        .await?;
    }
    Ok(found)
}

/// The next records that the domain means, in order.
async fn next(
    tx: &tokio_postgres::Transaction<'_>,
    meant: &Meant,
    from: i64,
    many: i64,
) -> Result<Vec<i64>, tokio_postgres::Error> {
    let n = meant.domain.params.len();
    let statement = format!(
        "select t.\"id\"::bigint from public.{} as t where t.\"id\" >= ${}::bigint and ({}) order by t.\"id\" limit ${}::bigint",
        quote(&meant.model.table),
        n + 1,
        meant.domain.sql,
        n + 2
    );
    let mut params: Vec<&(dyn ToSql + Sync)> = meant
        .domain
        .params
        .iter()
        .map(|p| p as &(dyn ToSql + Sync))
        .collect();
    params.push(&from);
    params.push(&many);
    Ok(tx
        .query(&statement, &params)
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

/// Messages to numbers on a blacklist are left out, as the last look before the wire does.
async fn without_listed(
    client: &Client,
    mut rehearsal: Rehearsal,
    respects: bool,
) -> Result<Rehearsal, Failed> {
    if !respects {
        return Ok(rehearsal);
    }
    let phones: Vec<&str> = rehearsal.planned.iter().map(|m| m.phone.as_str()).collect();
    let listed: HashMap<String, String> = client
        .query(
            "select phone, reason from sicantik_notify.blacklisted($1)",
            &[&phones],
        )
        .await?
        .iter()
        .map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default()))
        .collect();
    let (left, planned): (Vec<Planned>, Vec<Planned>) = rehearsal
        .planned
        .into_iter()
        .partition(|m| listed.contains_key(&m.phone));
    rehearsal.planned = planned;
    rehearsal.left.extend(left.into_iter().map(|m| Left {
        record: m.record,
        partner: m.partner,
        outcome: "blacklisted",
        reason: listed.get(&m.phone).cloned().unwrap_or_default(),
    }));
    Ok(rehearsal)
}

async fn count(
    found: &mut Found,
    directory: &Directory,
    client: &Client,
    categories: &HashMap<String, String>,
    rehearsal: Rehearsal,
    shown: usize,
) -> Result<(), Failed> {
    let key = TemplateKey::new(rehearsal.template_key.clone())?;
    let asked: Vec<_> = rehearsal
        .planned
        .iter()
        .map(|m| (m.partner.map(PartnerId), m.phone.as_str(), &m.context))
        .collect();
    let choices = directory.preview_many(client, &key, &asked).await?;
    for (message, choice) in rehearsal.planned.into_iter().zip(choices) {
        found.messages += 1;
        found.held += i64::from(message.held.is_some());
        *found.ways.entry(way(&choice, categories)).or_default() += 1;
        if found.first.len() < shown {
            found.first.push((message, choice));
        }
    }
    for left in rehearsal.left {
        let n = found.skipped.entry(left.outcome.to_owned()).or_default();
        *n += 1;
        if *n <= 3 {
            found.examples.push(left);
        }
    }
    found.template_key = rehearsal.template_key;
    Ok(())
}

/// Through whom it goes first, and what that costs.
fn way(choice: &Choice, categories: &HashMap<String, String>) -> String {
    match choice.routes.first() {
        Some(route) if route.kind == ProviderKind::Meta => {
            let key = route.template_key_used.as_str();
            let category = categories
                .get(key)
                .map_or("unknown until the next template sync", String::as_str);
            format!("Meta, template {key}, category {category} (Meta charges by category)")
        }
        Some(route) => format!(
            "{}, template {} (the gateway's own plan)",
            route.kind, route.template_key_used
        ),
        None => {
            let why: Vec<String> = choice
                .skipped
                .iter()
                .map(|s| format!("{}: {}", s.kind, s.reason))
                .collect();
            format!("nobody ({})", why.join("; "))
        }
    }
}

fn text(choice: &Choice) -> Vec<String> {
    match choice.routes.first().map(|route| &route.content) {
        Some(Content::Text(text)) => text.lines().map(str::to_owned).collect(),
        Some(Content::MetaTemplate { name, parameters, .. }) => {
            let values = parameters.iter().map(|(name, value)| format!("{name} = {value}"));
            std::iter::once(format!("template {name}"))
                .chain(values)
                .collect()
        }
        None => vec!["(no provider would send it)".to_owned()],
    }
}

fn masked(phone: &str) -> String {
    Phone::parse(phone).map_or_else(|_| "?".to_owned(), |phone| phone.masked())
}

fn print(id: i64, found: &Found, messages: i64, long: Option<&str>, hours: Option<&str>) {
    println!(
        "Campaign {id}: its domain means {} now.",
        many(found.records, "record")
    );
    if found.looked_at < found.records {
        println!(
            "Looked at the first {} of them (--sample, --all):",
            found.looked_at
        );
    }
    println!(
        "  {} with template {}",
        many(found.messages, "message"),
        found.template_key
    );
    for (way, n) in &found.ways {
        println!("    {n} through {way}");
    }
    if found.held > 0 {
        println!(
            "    {} of them held for a person: the applicant's name is another one",
            found.held
        );
    }
    for (outcome, n) in &found.skipped {
        println!("  {n} without a message: {outcome}");
        for left in found.examples.iter().filter(|left| left.outcome == outcome) {
            println!("    record {}: {}", left.record, left.reason);
        }
    }
    for (message, choice) in &found.first {
        println!(
            "To {} ({}), record {}:",
            message.name,
            masked(&message.phone),
            message.record
        );
        for line in text(choice) {
            println!("    {line}");
        }
    }
    let about = if found.looked_at < found.records {
        "about "
    } else {
        ""
    };
    let hours = hours.map_or_else(String::new, |h| {
        format!("; only within {h} (send_window), which is not counted here")
    });
    match long {
        Some(long) => println!("{about}{} in all; {long}{hours}.", many(messages, "message")),
        None if hours.is_empty() => {
            println!(
                "{about}{} in all; no limit of the rule holds them up.",
                many(messages, "message")
            )
        }
        None => println!("{about}{} in all{hours}.", many(messages, "message")),
    }
    println!("Nothing was written, and nothing was sent.");
}

fn as_json(id: i64, found: &Found, messages: i64, long: Option<&str>) -> Value {
    json!({
        "campaign": id, "records": found.records, "looked_at": found.looked_at, "template_key": found.template_key,
        "messages": found.messages, "messages_in_all": messages, "held": found.held, "through": found.ways,
        "skipped": found.skipped, "duration": long,
        "examples": found.examples.iter().map(|l| json!({"record": l.record, "partner": l.partner, "outcome": l.outcome, "reason": l.reason}))
            .collect::<Vec<_>>(),
        "first": found.first.iter().map(|(m, c)| json!({"record": m.record, "name": m.name, "phone": masked(&m.phone),
            "text": text(c).join("\n")})).collect::<Vec<_>>(),
    })
}
