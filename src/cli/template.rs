//! `template list | preview | sync | lint`

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::moment::{shown_or, zone};
use super::words::many;
use super::{Done, Outcome, access, table};
use crate::config::Config;
use crate::deliver::directory::Directory;
use crate::deliver::dispatcher::{Choice, Route};
use crate::deliver::provider::{Client, Content, Header, ProviderKind, Timeouts};
use crate::deliver::template::{Severity, Template, TemplateKey, lint, placeholders, sync};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the templates, and whether each kind of provider can send them
    List {
        /// Print a JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Show what each kind of provider would send for a key
    Preview {
        /// The key that rules name
        key: String,
        /// Values as a JSON object [default: each name stands for its value]
        #[arg(long, value_name = "JSON", value_parser = context)]
        context: Option<Values>,
        /// Print one JSON object, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Read the templates of Meta: status, category, parameters
    ///
    /// Compares them with ours and stores what Meta says. The daemon does the same once a day. Exit code 3 if a template that
    /// Meta has does not fit ours.
    Sync {
        /// Print a JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Look for faults in templates, and for rules without one
    ///
    /// Exit code 3 if there is one.
    Lint {
        /// Print a JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
}

/// A JSON object.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(pub(super) Map<String, Value>);

pub(super) fn context(text: &str) -> Result<Values, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(Values(map)),
        Ok(_) => Err("it must be an object such as {\"partner_name\": \"Budi\"}".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    if let Action::Sync { json } = args.action {
        return sync_all(config, json).await;
    }
    let client = access::connect(config, "template").await?;
    match args.action {
        Action::List { json } => list(&client, json).await,
        Action::Preview { key, context, json } => preview(&client, &key, context, json).await,
        Action::Sync { .. } => Ok(Done::Well),
        Action::Lint { json } => {
            let findings = lint(&client).await?;
            if json {
                let rows: Vec<Value> = findings
                    .iter()
                    .map(|f| json!({"severity": word(f.severity), "about": f.about, "summary": f.summary, "remedy": f.remedy}))
                    .collect();
                println!("{}", serde_json::to_string_pretty(&rows)?);
                return Ok(match findings.is_empty() {
                    true => Done::Well,
                    false => Done::NeedsAttention,
                });
            }
            for f in &findings {
                println!("{}: {}\n    remedy: {}", f.about, f.summary, f.remedy);
            }
            if findings.is_empty() {
                println!("The templates are in order.");
                return Ok(Done::Well);
            }
            Ok(Done::NeedsAttention)
        }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

async fn list(client: &tokio_postgres::Client, as_json: bool) -> Outcome {
    let listed = client
        .query(
            "select t.template_key, t.language, t.meta_name, t.meta, t.fonnte, t.meta_synced_at, to_jsonb(t.*) as whole \
             from sicantik_notify.v_template t order by t.template_key",
            &[],
        )
        .await?;
    if as_json {
        let rows: Vec<Value> = listed.iter().map(|r| r.get("whole")).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(Done::Well);
    }
    let zone = zone(client).await?;
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|r| {
            let mut cells: Vec<String> = (0..5).map(|column| r.get(column)).collect();
            cells.push(shown_or(r.get(5), zone, "never"));
            cells
        })
        .collect();
    table::print(
        &["key", "language", "name at Meta", "Meta", "gateways", "last sync"],
        &rows,
    );
    Ok(Done::Well)
}

async fn preview(
    client: &tokio_postgres::Client,
    key: &str,
    context: Option<Values>,
    as_json: bool,
) -> Outcome {
    let key = TemplateKey::new(key)?;
    let directory = Directory::survey(client).await?;
    let context = context.map_or_else(|| samples(directory.templates().values()), |values| values.0);
    let choice = directory.preview_all(&key, &context);
    if as_json {
        println!("{}", serde_json::to_string_pretty(&choice_as_json(&choice))?);
    } else {
        print_choice(&choice);
    }
    Ok(match choice.routes.is_empty() {
        true => Done::NeedsAttention,
        false => Done::Well,
    })
}

/// Each parameter stands for its value.
fn samples<'t>(templates: impl Iterator<Item = &'t Template>) -> Map<String, Value> {
    let mut samples = Map::new();
    for template in templates {
        let names = placeholders(template).into_iter();
        for name in names.chain(template.meta_names().iter().cloned()) {
            samples.insert(name.clone(), json!(format!("[{name}]")));
        }
    }
    samples
}

/// The ways in which a message could go, and why others cannot.
pub(super) fn print_choice(choice: &Choice) {
    choice.routes.iter().for_each(print_route);
    for skipped in &choice.skipped {
        println!("{}: not used: {}", skipped.kind, skipped.reason);
    }
}

/// What one provider would send.
pub(super) fn print_route(route: &Route) {
    println!("{}, template {}:", route.kind, route.template_key_used);
    for line in lines(route) {
        println!("    {line}");
    }
    if !route.changed.is_empty() {
        println!("    made fit for Meta: {}", route.changed.join(", "));
    }
}

fn lines(route: &Route) -> Vec<String> {
    match &route.content {
        Content::Text(text) => text.lines().map(str::to_owned).collect(),
        Content::MetaTemplate {
            name,
            language,
            parameters,
            header,
            buttons,
            named,
        } => {
            let mut lines = vec![format!("{name} in {language}")];
            lines.extend(header.iter().map(|header| match header {
                Header::Text { value, .. } => format!("header: {value}"),
                Header::Image { link } => format!("header: image {link}"),
                Header::Document { link, filename } => {
                    format!(
                        "header: document {link} {}",
                        filename.as_deref().unwrap_or_default()
                    )
                }
            }));
            for (place, (name, value)) in parameters.iter().enumerate() {
                lines.push(match named {
                    true => format!("{name} = {value}"),
                    false => format!("{{{{{}}}}} {name} = {value}", place + 1),
                });
            }
            lines.extend(buttons.iter().map(|b| format!("button {}: {}", b.index, b.value)));
            lines
        }
    }
}

pub(super) fn choice_as_json(choice: &Choice) -> Value {
    let routes: Vec<Value> = choice
        .routes
        .iter()
        .map(|route| {
            json!({"provider_type": route.kind.as_str(), "template_key": route.template_key_used,
                   "text": lines(route).join("\n"), "changed": route.changed})
        })
        .collect();
    let skipped: Vec<Value> = choice
        .skipped
        .iter()
        .map(|skipped| json!({"provider_type": skipped.kind.as_str(), "reason": skipped.reason.to_string()}))
        .collect();
    json!({"routes": routes, "skipped": skipped})
}

async fn sync_all(config: &Config, as_json: bool) -> Outcome {
    let client = access::pooled(config, "template sync").await?;
    let mut directory = Directory::default();
    directory.refresh(&client).await?;
    let http = Client::new(Timeouts {
        connect: Duration::from_secs(config.deliver.connect_timeout_seconds),
        total: Duration::from_secs(config.deliver.request_timeout_seconds),
    })?;
    let mut accounts = directory
        .accounts()
        .iter()
        .filter(|p| p.kind == ProviderKind::Meta && p.active)
        .peekable();
    if accounts.peek().is_none() {
        return Err("no account of Meta is active: only Meta keeps templates".into());
    }
    let mut misfits = 0;
    let mut told: Vec<Value> = Vec::new();
    for listed in accounts {
        let account = listed
            .account
            .as_ref()
            .map_err(|e| format!("{}: {e}", listed.name))?;
        let report = sync::run(&client, &http, account).await?;
        misfits += report.ours.iter().filter(|judged| judged.unfit.is_some()).count();
        if as_json {
            let ours: Vec<Value> = report
                .ours
                .iter()
                .map(|judged| {
                    json!({"template_key": judged.key, "meta_name": judged.name, "language": judged.language,
                           "status": judged.status.to_string(), "quality": judged.quality, "unfit": judged.unfit})
                })
                .collect();
            told.push(json!({"provider": listed.name, "at_meta": report.at_meta, "usable": report.usable(), "templates": ours}));
            continue;
        }
        let rows: Vec<Vec<String>> = report
            .ours
            .iter()
            .filter(|judged| judged.named.is_some() || judged.unfit.is_some())
            .map(|judged| {
                let places = judged.placeholders.as_ref().map_or(0, Vec::len).to_string();
                let quality = judged.quality.clone().unwrap_or_default();
                vec![
                    judged.key.clone(),
                    format!("{}/{}", judged.name, judged.language),
                    judged.status.to_string(),
                    quality,
                    places,
                    judged.unfit.clone().unwrap_or_default(),
                ]
            })
            .collect();
        table::print(
            &["key", "at Meta", "status", "quality", "values", "does not fit"],
            &rows,
        );
        println!(
            "{}: {} at Meta, {} of our {} can be sent through it.",
            listed.name,
            many(report.at_meta, "template"),
            report.usable(),
            report.ours.len()
        );
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    }
    Ok(if misfits == 0 {
        Done::Well
    } else {
        Done::NeedsAttention
    })
}
