//! `queue list | process | retry | cancel | release | discard` (SICANTIK guide §8.1): what the functions of the same names do.

use std::io::{IsTerminal, stdin};

use clap::{Subcommand, ValueEnum};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::words::many;
use super::{Done, Outcome, access, table};
use crate::config::Config;
use crate::host::phone::Phone;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List messages, waiting or finished, newest first
    List(Filter),
    /// Let messages go now, without regard to schedule and quiet hours
    ///
    /// Never skipped: blacklist, rate limit, and whether this database may send at all.
    Process {
        /// Messages
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
    },
    /// Try messages again
    ///
    /// One that waits or is held tries at once; a finished one that was not sent comes back as a new message.
    Retry {
        /// Messages
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
    },
    /// End messages that are not under way as cancelled
    Cancel {
        /// Messages
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let messages go on that the storm guard held, the oldest first
    Release {
        /// Code of the rule
        rule: String,
        /// How many [default: all]
        #[arg(long, value_name = "N")]
        limit: Option<i64>,
    },
    /// End messages that the storm guard held as cancelled
    Discard {
        /// Code of the rule
        rule: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only messages in these states
    #[arg(long, value_enum, value_delimiter = ',')]
    state: Vec<State>,
    /// Only messages of this rule
    #[arg(long, value_name = "CODE")]
    rule: Option<String>,
    /// Only messages of this campaign (id)
    #[arg(long, value_name = "ID")]
    campaign: Option<i64>,
    /// Only messages to this partner (id)
    #[arg(long, value_name = "ID")]
    partner: Option<i64>,
    /// Only messages to this number, in any notation
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    phone: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: i64,
    /// Print one JSON object a line, for scripts
    #[arg(long)]
    json: bool,
}

/// The guide's states, and `held`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Pending,
    Processing,
    Held,
    Sent,
    Failed,
    Cancelled,
    Skipped,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    match args.action {
        Action::List(filter) => list(&access::look(config, "queue").await?, &filter).await,
        Action::Process { ids } => {
            each(&access::act(config, "queue").await?, "queue_process_now", &ids, 0).await
        }
        Action::Retry { ids } => each(&access::act(config, "queue").await?, "queue_retry", &ids, 0).await,
        Action::Cancel { ids, yes } => {
            let client = access::act(config, "queue").await?;
            let (can, cannot) = cancellable(&client, &ids).await?;
            cannot.iter().for_each(|why| eprintln!("{why}"));
            if can.is_empty() {
                return Err("nothing was cancelled, see above".into());
            }
            let are = if can.len() == 1 { "is" } else { "are" };
            sure(
                yes,
                &format!("{} {are} cancelled for good", many(can.len(), "message")),
            )?;
            each(&client, "queue_cancel", &can, cannot.len()).await
        }
        Action::Release { rule, limit } => {
            let client = access::act(config, "queue").await?;
            let row = client
                .query_one("select sicantik_notify.rule_release($1, $2)", &[&rule, &limit])
                .await?;
            let n: i64 = row.get(0);
            let go = if n == 1 { "goes" } else { "go" };
            println!("{} of rule {rule} {go} on.", many(n, "message"));
            Ok(Done::Well)
        }
        Action::Discard { rule, yes } => {
            sure(
                yes,
                &format!("what the storm guard holds of rule {rule} is cancelled for good"),
            )?;
            let client = access::act(config, "queue").await?;
            let row = client
                .query_one("select sicantik_notify.rule_discard($1)", &[&rule])
                .await?;
            let n: i64 = row.get(0);
            let are = if n == 1 { "is" } else { "are" };
            println!("{} of rule {rule} {are} cancelled.", many(n, "message"));
            Ok(Done::Well)
        }
    }
}

/// Asks before something is gone.
fn sure(yes: bool, what: &str) -> Result<(), String> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(format!("nothing was done: {what}; give --yes"));
    }
    eprint!("{what}. Go on? [y/N] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|e| e.to_string())?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err("nothing was done".to_owned()),
    }
}

/// Those that can end as cancelled, and why the others cannot: said before anybody is asked.
async fn cancellable(client: &Client, ids: &[i64]) -> Result<(Vec<i64>, Vec<String>), tokio_postgres::Error> {
    let states = "select a.id, coalesce((select q.state from sicantik_notify.queue q where q.id = a.id), \
                                        (select l.state from sicantik_notify.log l where l.id = a.id)) \
                  from unnest($1::bigint[]) with ordinality a (id, place) order by a.place";
    let (mut can, mut cannot) = (Vec::new(), Vec::new());
    for row in client.query(states, &[&ids]).await? {
        let id: i64 = row.get(0);
        match row.get::<_, Option<&str>>(1) {
            Some("pending" | "held") => can.push(id),
            Some("processing") => cannot.push(format!("message {id} is being sent and cannot be cancelled")),
            Some(state) => cannot.push(format!("message {id} is {state} and cannot be cancelled")),
            None => cannot.push(format!(
                "there is no message {id}; see `sicantik-notifyd queue list`"
            )),
        }
    }
    Ok((can, cannot))
}

/// One call a message; what is refused stops no other. `before`: how many were refused already.
async fn each(client: &Client, function: &str, ids: &[i64], before: usize) -> Outcome {
    let mut refused = before;
    for id in ids {
        let call = format!("select sicantik_notify.{function}($1)::text");
        match client.query_one(&call, &[id]).await {
            Ok(row) => match (function, row.get::<_, &str>(0)) {
                ("queue_retry", again) if again == id.to_string() => println!("message {id} tries again"),
                ("queue_retry", again) => println!("message {id} is repeated as message {again}"),
                (_, said) => println!("{said}"),
            },
            Err(error) if error.as_db_error().is_some() => {
                refused += 1;
                eprintln!("{}", crate::db::describe(&error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match refused {
        0 => Ok(Done::Well),
        n => {
            let were = if n == 1 { "was" } else { "were" };
            Err(format!("{n} of {} {were} refused, see above", ids.len() + before).into())
        }
    }
}

async fn list(client: &Client, filter: &Filter) -> Outcome {
    let states: Vec<String> = filter
        .state
        .iter()
        .filter_map(|s| s.to_possible_value().map(|v| v.get_name().to_owned()))
        .collect();
    let phone = filter.phone.as_deref().map(Phone::parse).transpose()?;
    let shown = match &phone {
        Some(phone) => {
            let row = client
                .query_one("select sicantik_notify.show_phone($1)", &[&phone.as_e164()])
                .await?;
            Some(row.get::<_, String>(0))
        }
        None => None,
    };
    let mut params: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let mut conditions = Vec::new();
    let mut only = |condition: &str, value| {
        params.push(value);
        conditions.push(condition.replace('?', &format!("${}", params.len())));
    };
    if !states.is_empty() {
        only("q.state = any (?::text[])", &states);
    }
    if let Some(rule) = &filter.rule {
        only("q.rule = ?::text", rule);
    }
    if let Some(campaign) = &filter.campaign {
        only("q.campaign_id = ?::bigint", campaign);
    }
    if let Some(partner) = &filter.partner {
        only("q.partner_id = ?::bigint", partner);
    }
    if let Some(shown) = &shown {
        only("q.phone = ?::text", shown);
    }
    params.push(&filter.limit);
    let number = params.len();
    let condition = match conditions.is_empty() {
        true => String::new(),
        false => format!("where {}", conditions.join(" and ")),
    };
    let query = format!(
        "select to_jsonb(q.*) from sicantik_notify.v_queue q {condition} order by q.id desc limit ${number}::bigint"
    );
    let rows = client.query(&query, &params).await?;
    let messages: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    if filter.json {
        messages.iter().for_each(|m| println!("{m}"));
        return Ok(Done::Well);
    }
    let cell = |message: &Value, name: &str| match &message[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let columns = [
        "id",
        "state",
        "rule",
        "partner_name",
        "phone",
        "template_key",
        "tries",
        "waiting_for",
        "error",
    ];
    let cells: Vec<Vec<String>> = messages
        .iter()
        .map(|m| columns.iter().map(|c| cell(m, c)).collect())
        .collect();
    table::print(&columns, &cells);
    if i64::try_from(cells.len()).is_ok_and(|n| n == filter.limit) {
        println!("There may be more: --limit.");
    }
    Ok(Done::Well)
}
