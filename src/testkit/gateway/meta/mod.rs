//! Meta's side: one phone number under one business account, checked as the Cloud API checks.

mod rate;
mod send;
mod template;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, header};
use serde_json::{Map, Value, json};

use super::Gateway;
use super::call::{Call, Verdict};
use super::clock::Clock;
use super::numbers::{Directory, digits};
pub use rate::PairRate;
use rate::Rates;
pub use template::{Button, Category, Header, Template, TemplateStatus};

/// How long a user's message lets free text through.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// `health_status.can_send_message`, with the error that explains it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// `AVAILABLE`.
    #[default]
    Available,
    /// `LIMITED`.
    Limited {
        /// `error_code` of the entity.
        code: i64,
        /// `error_description`.
        description: String,
    },
    /// `BLOCKED`. Sends are refused only if the script says so too.
    Blocked {
        /// `error_code` of the entity.
        code: i64,
        /// `error_description`.
        description: String,
    },
}

/// The account behind [`Gateway::META_PHONE_ID`].
#[derive(Debug)]
pub struct MetaAccount {
    clock: Arc<Clock>,
    numbers: Arc<Directory>,
    state: Mutex<State>,
    /// Begins at random: two gateways in one test's life must not give the same id twice.
    next_id: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    templates: Vec<Template>,
    windows: HashMap<String, Duration>,
    rates: Rates,
    health: Health,
}

impl MetaAccount {
    pub(crate) fn new(clock: Arc<Clock>, numbers: Arc<Directory>) -> Self {
        Self {
            clock,
            numbers,
            state: Mutex::default(),
            next_id: AtomicU64::new(rand::random()),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a translation, or replaces the one with the same name and language.
    pub fn add_template(&self, template: Template) {
        self.with(|state| {
            match state
                .templates
                .iter_mut()
                .find(|t| t.name == template.name && t.language == template.language)
            {
                Some(known) => *known = template,
                None => state.templates.push(template),
            }
        });
    }

    /// Takes a translation away; false if there was none.
    pub fn remove_template(&self, name: &str, language: &str) -> bool {
        self.with(|state| {
            let before = state.templates.len();
            state
                .templates
                .retain(|t| t.name != name || t.language != language);
            state.templates.len() < before
        })
    }

    /// Changes a translation's status; false if there is none.
    pub fn set_template_status(&self, name: &str, language: &str, status: TemplateStatus) -> bool {
        self.with(|state| {
            let found = state
                .templates
                .iter_mut()
                .find(|t| t.name == name && t.language == language);
            found.map(|template| template.status = status).is_some()
        })
    }

    /// As if this user had written just now: free text may be sent for 24 hours of the gateway's clock.
    pub fn open_window(&self, number: &str) {
        let now = self.clock.now();
        self.with(|state| state.windows.insert(digits(number), now));
    }

    /// Ends a window before its time.
    pub fn close_window(&self, number: &str) {
        self.with(|state| state.windows.remove(&digits(number)));
    }

    /// Switches the limit of messages to one user on (131056 above it) or off, and forgets what was counted.
    pub fn set_pair_rate(&self, rate: Option<PairRate>) {
        self.with(|state| state.rates.set_pair(rate));
    }

    /// Switches the limit of messages a second on (130429 above it) or off, and forgets what was counted.
    pub fn set_throughput(&self, per_second: Option<u32>) {
        self.with(|state| state.rates.set_throughput(per_second));
    }

    /// What the health probe reports.
    pub fn set_health(&self, health: Health) {
        self.with(|state| state.health = health);
    }

    pub(crate) fn fresh_wamid(&self) -> String {
        format!(
            "wamid.HBgN{:016X}AA==",
            self.next_id.fetch_add(1, Ordering::Relaxed)
        )
    }

    pub(crate) fn judge(&self, call: &Call, gateway_url: &str) -> Verdict {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let Some((version, path)) = path.split_first().filter(|(version, _)| is_version(version)) else {
            return unknown_path(call);
        };
        let endpoint = match (&call.method, path) {
            (&Method::POST, [phone_id, "messages"]) => Route::Send(phone_id),
            (&Method::GET, [waba_id, "message_templates"]) => Route::Templates(waba_id),
            (&Method::GET, [phone_id]) => Route::Health(phone_id),
            _ => return unknown_path(call),
        };
        let bearer = format!("Bearer {}", Gateway::META_TOKEN);
        let given = call
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        match given {
            Some(given) if given == bearer => {}
            Some(_) => return error(401, 190, "Invalid OAuth access token - Cannot parse access token"),
            None => return error(401, 190, "An access token is required to request this resource."),
        }
        match endpoint {
            Route::Send(Gateway::META_PHONE_ID) => self.judge_send(call),
            Route::Templates(Gateway::META_WABA_ID) => self.list(call, gateway_url, version),
            Route::Health(Gateway::META_PHONE_ID) => self.report_health(call),
            Route::Send(id) | Route::Templates(id) | Route::Health(id) => error(
                400,
                33,
                &format!("Object with ID '{id}' does not exist or cannot be loaded"),
            ),
        }
    }

    fn list(&self, call: &Call, gateway_url: &str, version: &str) -> Verdict {
        let asked = |name: &str| {
            call.query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let limit = match asked("limit").map(str::parse::<usize>) {
            None => 25,
            Some(Ok(limit)) if limit > 0 => limit,
            Some(_) => return error(400, 100, "Param limit must be a positive integer"),
        };
        let start = match asked("after").map(|after| after.strip_prefix("at").unwrap_or("").parse::<usize>())
        {
            None => 0,
            Some(Ok(start)) => start,
            Some(Err(_)) => return error(400, 100, "Invalid cursor"),
        };
        let fields: Option<Vec<&str>> =
            asked("fields").map(|fields| fields.split(',').map(str::trim).collect());
        let rows: Vec<Value> = self.with(|state| {
            let rows = state
                .templates
                .iter()
                .zip(5511..)
                .map(|(template, id)| template.to_row(id));
            rows.filter(|row| {
                ["name", "status", "category", "language"].iter().all(|key| {
                    asked(key).is_none_or(|wanted| row.get(key).and_then(Value::as_str) == Some(wanted))
                })
            })
            .collect()
        });
        let total = rows.len();
        let end = total.min(start.saturating_add(limit));
        let page: Vec<Value> = rows
            .into_iter()
            .skip(start)
            .take(limit)
            .map(|row| project(row, fields.as_deref()))
            .collect();
        let mut body = json!({ "data": page });
        if start < end {
            let mut paging =
                json!({ "cursors": { "before": format!("at{start}"), "after": format!("at{end}") } });
            if end < total {
                let mut next = format!(
                    "{gateway_url}/meta/{version}/{}/message_templates?after=at{end}",
                    Gateway::META_WABA_ID
                );
                for (key, value) in call.query.iter().filter(|(key, _)| key != "after") {
                    // What is filtered by here needs no escaping: names, codes, numbers, commas.
                    next.push_str(&format!("&{key}={value}"));
                }
                paging["next"] = Value::String(next);
            }
            body["paging"] = paging;
        }
        Verdict::new(200, body)
    }

    fn report_health(&self, call: &Call) -> Verdict {
        let (word, errors) = match self.with(|state| state.health.clone()) {
            Health::Available => ("AVAILABLE", Vec::new()),
            Health::Limited { code, description } => ("LIMITED", vec![health_error(code, &description)]),
            Health::Blocked { code, description } => ("BLOCKED", vec![health_error(code, &description)]),
        };
        let mut entity = json!({
            "entity_type": "PHONE_NUMBER",
            "id": Gateway::META_PHONE_ID,
            "can_send_message": word,
        });
        if !errors.is_empty() {
            entity["errors"] = Value::Array(errors);
        }
        let row = json!({
            "id": Gateway::META_PHONE_ID,
            "display_phone_number": Gateway::META_NUMBER,
            "verified_name": "Gateway",
            "quality_rating": "GREEN",
            "status": "CONNECTED",
            "throughput": { "level": "STANDARD" },
            "whatsapp_business_manager_messaging_limit": "TIER_10K",
            "health_status": { "can_send_message": word, "entities": [entity] },
        });
        let fields = call.query.iter().find(|(key, _)| key == "fields");
        let fields: Option<Vec<&str>> = fields.map(|(_, fields)| fields.split(',').map(str::trim).collect());
        // Without being asked for, Meta tells no more than this.
        let fields =
            fields.unwrap_or_else(|| vec!["display_phone_number", "verified_name", "quality_rating"]);
        Verdict::new(200, project(row, Some(&fields)))
    }
}

enum Route<'p> {
    Send(&'p str),
    Templates(&'p str),
    Health(&'p str),
}

fn is_version(segment: &str) -> bool {
    let digits = segment.strip_prefix('v').and_then(|rest| rest.strip_suffix(".0"));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The asked-for fields of a row; the id always comes.
fn project(row: Value, fields: Option<&[&str]>) -> Value {
    match (row, fields) {
        (Value::Object(row), Some(fields)) => Value::Object(
            row.into_iter()
                .filter(|(key, _)| key == "id" || fields.contains(&key.as_str()))
                .collect::<Map<_, _>>(),
        ),
        (row, _) => row,
    }
}

fn health_error(code: i64, description: &str) -> Value {
    json!({ "error_code": code, "error_description": description, "possible_solution": "" })
}

fn unknown_path(call: &Call) -> Verdict {
    error(
        404,
        2500,
        &format!("Unknown path components: /{}", call.path.join("/")),
    )
}

/// Meta's error object.
pub(crate) fn error(http: u16, code: i64, details: &str) -> Verdict {
    Verdict::new(
        http,
        json!({ "error": {
            "message": format!("(#{code}) {}", title(code)),
            "type": "OAuthException",
            "code": code,
            "error_data": { "messaging_product": "whatsapp", "details": details },
            "fbtrace_id": "AfakeTraceId0000",
        } }),
    )
}

/// [`error`] with the usual status.
pub(crate) fn refuse(code: i64, details: &str) -> Verdict {
    error(usual_http(code), code, details)
}

/// The HTTP status that comes with a code. 400 wherever Meta is known to use both 400 and 429, so that a client
/// that looks at the status alone is found out.
pub(crate) fn usual_http(code: i64) -> u16 {
    match code {
        0 | 190 => 401,
        3 | 10 | 200..=299 | 368 | 130_497 | 131_005 | 131_031 | 134_011 => 403,
        132_001 => 404,
        131_000 | 131_016 | 131_037 | 131_057 => 500,
        2 | 133_004 => 503,
        _ => 400,
    }
}

pub(crate) fn title(code: i64) -> &'static str {
    match code {
        1 => "API Unknown",
        2 => "API Service",
        4 => "API Too Many Calls",
        10 => "Permission Denied",
        33 => "Parameter value is not valid",
        100 => "Invalid parameter",
        190 => "Access token has expired",
        368 => "Temporarily blocked for policies violations",
        2500 => "Unknown path components",
        80_007 => "Rate limit issues",
        130_429 => "Rate limit hit",
        130_472 => "User's number is part of an experiment",
        131_000 => "Something went wrong",
        131_005 => "Access denied",
        131_008 => "Required parameter is missing",
        131_009 => "Parameter value is not valid",
        131_016 => "Service unavailable",
        131_021 => "Recipient cannot be sender",
        131_026 => "Message undeliverable",
        131_030 => "Recipient phone number not in allowed list",
        131_031 => "Account has been locked",
        131_042 => "Business eligibility payment issue",
        131_047 => "Re-engagement message",
        131_048 => "Spam rate limit hit",
        131_049 => "This message was not delivered to maintain healthy ecosystem engagement",
        131_050 => "User has stopped marketing messages",
        131_051 => "Unsupported message type",
        131_052 => "Media download error",
        131_053 => "Media upload error",
        131_056 => "(Business Account, Consumer Account) pair rate limit hit",
        131_057 => "Account in maintenance mode",
        131_062 => "Business-scoped user id recipients not supported",
        132_000 => "Number of parameters does not match the expected number of params",
        132_001 => "Template name does not exist in the translation",
        132_005 => "Template hydrated text too long",
        132_007 => "Template format character policy violated",
        132_008 | 132_012 => "Parameter format does not match format in the created template",
        132_015 => "Template is paused",
        132_016 => "Template is disabled",
        132_018 => "Parameter has invalid characters",
        133_010 => "Phone number not registered",
        135_000 => "Generic user error",
        _ => "Unknown error",
    }
}
