//! `domain`: what a domain means on the attached host.

use std::io::BufRead;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::moment::moment;
use super::words::many;
use super::{Done, Outcome, access};
use crate::config::Config;
use crate::evaluate::configuration::load_aliases;
use crate::host::catalog::Catalog;
use crate::host::{search, user};
use crate::lang::domain::{
    Aliases, BaseKind, BaseRow, Compiled, DomainError, ErrorKind, Param, Source, Vars, compile,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Model of the records, such as sicantik.permit
    #[arg(long, required_unless_present = "jsonl")]
    model: Option<String>,
    /// The domain, such as "[('state', '=', 'approved')]"
    #[arg(required_unless_present = "jsonl", allow_hyphen_values = true)]
    domain: Option<String>,
    /// List the ids of the records
    #[arg(long)]
    ids: bool,
    /// Archived records too
    #[arg(long)]
    no_active_test: bool,
    /// The moment that expressions see, UTC (2026-12-22 18:30:00, or with an offset) [default: now]
    #[arg(long, value_parser = |text: &str| moment(text).map(|at| at.of(Tz::UTC)))]
    now: Option<DateTime<Utc>>,
    /// The user's time zone
    #[arg(long, default_value = "Asia/Jakarta")]
    tz: Tz,
    /// Id of the user who asks
    #[arg(long, default_value_t = 1)]
    uid: i64,
    /// Id of the user's company
    #[arg(long, default_value_t = 1)]
    company: i64,
    /// Language of translated columns
    #[arg(long, default_value = "en_US")]
    lang: String,
    /// Answer each line {"id", "model", "domain"} of standard input; names count as the host has them, without aliases
    #[arg(long, conflicts_with_all = ["model", "domain", "ids"])]
    jsonl: bool,
}

/// A line of standard input.
#[derive(Debug, Deserialize)]
struct Question {
    #[serde(default)]
    id: Value,
    model: String,
    domain: String,
    #[serde(default)]
    vars: Map<String, Value>,
    lang: Option<String>,
    active_test: Option<bool>,
}

/// Why there is no answer.
enum Wrong {
    Domain(DomainError),
    Other(&'static str, String),
}

impl From<DomainError> for Wrong {
    fn from(error: DomainError) -> Self {
        Self::Domain(error)
    }
}

impl From<tokio_postgres::Error> for Wrong {
    fn from(error: tokio_postgres::Error) -> Self {
        let kind = match error.code() {
            Some(code) if *code == SqlState::QUERY_CANCELED || code.code().starts_with("54") => "limit",
            Some(code) if code.code().starts_with("42") => "field",
            _ => "type",
        };
        Self::Other(kind, crate::db::describe(&error))
    }
}

impl Wrong {
    fn json(&self) -> Value {
        match self {
            Self::Domain(error) => json!({"kind": error.kind.as_str(), "message": error.to_string()}),
            Self::Other(kind, message) => json!({"kind": kind, "message": message}),
        }
    }

    fn shown(&self, text: &str) -> String {
        match self {
            Self::Domain(error) => error.diagnostic(text),
            Self::Other(kind, message) => format!("{kind} error: {message}"),
        }
    }
}

struct Asker {
    client: Client,
    catalog: Catalog,
    aliases: Aliases,
    languages: Vec<String>,
    vars: Vars,
    /// Held against the host: it answers where we would rather refuse.
    host_like: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut asker = Asker::open(config, &args).await?;
    if args.jsonl {
        asker.answer_lines().await?;
        return Ok(Done::Well);
    }
    let (model, text) = (args.model.unwrap_or_default(), args.domain.unwrap_or_default());
    let answer = match asker.compile(&model, &text, asker.vars.clone()).await {
        Ok(compiled) => asker.ids(&model, &compiled).await.map(|ids| (compiled, ids)),
        Err(wrong) => Err(wrong),
    };
    let (compiled, ids) = answer.map_err(|wrong| wrong.shown(&text))?;
    if args.ids {
        for id in ids {
            println!("{id}");
        }
        return Ok(Done::Well);
    }
    println!("{}", compiled.sql);
    for (at, param) in compiled.params.iter().enumerate() {
        println!("${} = {}", at + 1, shown(param));
    }
    for note in &compiled.notes {
        println!("note: {}", note.message);
    }
    println!("{}", many(ids.len(), "record"));
    Ok(Done::Well)
}

fn shown(param: &Param) -> String {
    match param {
        Param::Text(value) => json!(value).to_string(),
        Param::Int(value) => value.to_string(),
        Param::Float(value) => value.to_string(),
        Param::Bool(value) => value.to_string(),
        Param::TextArray(values) => json!(values).to_string(),
        Param::IntArray(values) => json!(values).to_string(),
    }
}

impl Asker {
    /// Every statement of this connection is a read-only transaction of its own, and short.
    async fn open(config: &Config, args: &Args) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut client = access::endpoint(config, "domain")?.connect().await?;
        client
            .batch_execute(
                "set default_transaction_read_only = on; set statement_timeout = '10s'; set lock_timeout = '2s'; \
                 set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set search_path = pg_catalog, public; set jit = off",
            )
            .await?;
        let tx = client.transaction().await?;
        let catalog = Catalog::load(&tx).await?;
        let ours = "select coalesce(has_table_privilege(to_regclass('sicantik_notify.value_alias'), 'select'), false)";
        let aliases = match !args.jsonl && tx.query_one(ours, &[]).await?.get::<_, bool>(0) {
            true => load_aliases(&tx).await?,
            false => Aliases::default(),
        };
        let listed = "select coalesce(has_table_privilege(to_regclass('public.res_lang'), 'select'), false)";
        let languages = match tx.query_one(listed, &[]).await?.get::<_, bool>(0) {
            true => {
                tx.query("select code from public.res_lang where active", &[])
                    .await?
            }
            false => Vec::new(),
        };
        let languages = languages.iter().map(|row| row.get(0)).collect();
        tx.commit().await?;
        let vars = Vars {
            uid: args.uid,
            company: args.company,
            companies: vec![args.company],
            lang: Some(args.lang.clone()),
            active_test: !args.no_active_test,
            ..Vars::at(args.now.unwrap_or_else(Utc::now), args.tz)
        };
        Ok(Self {
            client,
            catalog,
            aliases,
            languages,
            vars,
            host_like: args.jsonl,
        })
    }

    async fn compile(&mut self, model: &str, text: &str, mut vars: Vars) -> Result<Compiled, Wrong> {
        let Some(model) = self.catalog.model(model).cloned() else {
            let message = format!("the host has no model {model}, or no table for it");
            return Err(Wrong::Other(ErrorKind::Field.as_str(), message));
        };
        let lang = vars.lang.as_deref().unwrap_or("en_US");
        if lang != "en_US" && !self.languages.is_empty() && !self.languages.iter().any(|known| known == lang)
        {
            let message = format!("the language {lang} is not installed");
            return Err(Wrong::Other(ErrorKind::Name.as_str(), message));
        }
        let source = Source::parse(text)?;
        if source.needs_user() && !vars.extra.contains_key("user") {
            if self.vars.user.is_none() {
                self.vars.user = user::facts(&self.client, vars.uid).await?;
            }
            vars.user.clone_from(&self.vars.user);
        }
        let base = vars
            .base(BaseRow::table())
            .active_test(vars.active_test)
            .host_like(self.host_like);
        Ok(compile(
            &source.evaluate(&vars)?,
            &self.catalog,
            &model,
            &self.aliases,
            base,
        )?)
    }

    async fn ids(&self, model: &str, compiled: &Compiled) -> Result<Vec<i64>, Wrong> {
        match self.catalog.model(model) {
            Some(model) => {
                for search in &compiled.searches {
                    let params: Vec<&(dyn ToSql + Sync)> = search.params.iter().map(|p| p as _).collect();
                    let asked = format!("select {}", search.sql);
                    if self.client.query_one(&asked, &params).await?.get(0) {
                        return Err(search.error.clone().into());
                    }
                }
                for (text, kind) in &compiled.dates {
                    let read = match *kind {
                        "date" => "select $1::text::date is null",
                        _ => "select $1::text::timestamp is null",
                    };
                    self.client.query_one(read, &[text]).await?;
                }
                Ok(search::search(&self.client, model, compiled, BaseKind::Table).await?)
            }
            None => Ok(Vec::new()),
        }
    }

    async fn answer_lines(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line)? > 0 {
            // Bytes that are no UTF-8 are wrong in their line only.
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if !text.trim().is_empty() {
                println!("{}", self.answer(text.trim_end()).await);
            }
        }
        Ok(())
    }

    async fn answer(&mut self, line: &str) -> Value {
        let question: Question = match serde_json::from_str(line) {
            Ok(question) => question,
            Err(error) => {
                let id = serde_json::from_str::<Value>(line)
                    .ok()
                    .and_then(|v| v.get("id").cloned());
                let message = format!("the line is no question: {error}");
                return json!({"id": id, "error": {"kind": "syntax", "message": message}});
            }
        };
        let vars = Vars {
            lang: question.lang.or_else(|| self.vars.lang.clone()),
            active_test: question.active_test.unwrap_or(self.vars.active_test),
            extra: question.vars,
            ..self.vars.clone()
        };
        let ids = match self.compile(&question.model, &question.domain, vars).await {
            Ok(compiled) => self.ids(&question.model, &compiled).await,
            Err(wrong) => Err(wrong),
        };
        match ids {
            Ok(ids) => json!({"id": question.id, "ids": ids}),
            Err(wrong) => json!({"id": question.id, "error": wrong.json()}),
        }
    }
}
