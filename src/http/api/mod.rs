//! `POST /v1/triggers/{code}`: a programme fires a trigger of type api. `GET /v1/openapi.json` describes it.
//!
//! | module | part |
//! |--------|------|
//! | [`code`]    | what can go wrong, each with a code that stays the same |
//! | `caller`    | whose token it is, and how often it has called |
//! | `body`      | what is asked for |
//! | `openapi`   | the description, made of the same codes |
//!
//! Promises: 202 means that the events are committed; the same Idempotency-Key and body fire once, also when two calls race; a
//! caller learns nothing of triggers that its token does not name; whoever has no token costs a small read and no more. It has
//! connections of its own, so webhooks are not kept waiting.
//!
//! Where nobody may send (a copy, no armed daemon) firing works all the same: events are evaluated, and their messages wait in the
//! queue with all others.

mod body;
mod caller;
pub mod code;
mod openapi;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use deadpool_postgres::GenericClient;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::Shared;
use super::routes::drain;
use crate::db::statements as sql;
use crate::db::{ConnectError, Database};
use crate::fire::order::{self, Order, OrderError, Origin, Refusal, Which};
use body::Asked;
use caller::Caller;
use code::{Code, Failure};

/// Connections of its own.
pub(super) const CONNECTIONS: usize = 2;
/// The header by which a call is known again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The header of an answer that was given before.
const REPLAYED: &str = "idempotency-replayed";

/// What the calls share.
pub(crate) struct Api {
    database: Database,
    at_work: Semaphore,
}

impl Api {
    /// With these connections, so many calls at once.
    pub fn new(database: Database, concurrency: u32) -> Self {
        Self {
            database,
            at_work: Semaphore::new(concurrency as usize),
        }
    }
}

/// Its paths.
pub(super) fn router() -> Router<Arc<Shared>> {
    let none = async || Failure::from(Code::NotFound).into_response();
    let not_so = async || Failure::from(Code::MethodNotAllowed).into_response();
    Router::new()
        .route("/v1/openapi.json", get(description).fallback(not_so))
        .route("/v1/triggers/{code}", post(fire).fallback(not_so))
        .route("/v1", axum::routing::any(none))
        .route("/v1/", axum::routing::any(none))
        .route("/v1/{*rest}", axum::routing::any(none))
}

async fn description(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(openapi::describe(&shared.config)).into_response()
}

/// A path whose escapes are no text names no trigger.
async fn fire(
    State(shared): State<Arc<Shared>>,
    code: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let code = code.map(|Path(code)| code).unwrap_or_default();
    match handle(&shared, &code, request).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn handle(shared: &Shared, code: &str, request: Request) -> Result<Response, Failure> {
    let busy = |_| Failure::from(Code::Unavailable).hint("too many calls at once: come again in a moment");
    let _turn = shared.api.at_work.try_acquire().map_err(busy)?;
    let (head, body) = request.into_parts();
    let caller = caller::authenticate(&shared.api.database, &head.headers).await?;
    caller::count(
        &shared.api.database,
        &caller,
        shared.config.api_requests_per_minute,
    )
    .await?;
    let key = idempotency_key(&head.headers)?;
    let bytes = read(shared, &head.headers, body).await?;
    let asked = Asked::read(&bytes, shared.config.api_max_records)?;
    let call = Call {
        caller: &caller,
        code,
        asked: &asked,
        key: key.as_deref(),
        hash: hash(code, &bytes),
        most: shared.config.api_max_records,
    };
    let patience = Duration::from_secs(shared.config.request_timeout_seconds);
    // The server stops at the patience; this is for a server that does not answer at all.
    match tokio::time::timeout(patience * 2, call.run(&shared.api.database, patience)).await {
        Ok(answer) => answer,
        Err(_) => Err(Code::Timeout.into()),
    }
}

/// A call that was read.
struct Call<'a> {
    caller: &'a Caller,
    code: &'a str,
    asked: &'a Asked,
    key: Option<&'a str>,
    hash: String,
    most: u32,
}

impl Call<'_> {
    async fn run(&self, database: &Database, patience: Duration) -> Result<Response, Failure> {
        // What the token does not name is not looked for: both answers are the same, and take the same time.
        let known = |c: &&str| c.len() <= 200 && c.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let code = Some(self.code).filter(known).filter(|c| self.caller.may_fire(c));
        let code = code.ok_or_else(|| unknown(self.code))?;
        if matches!(self.asked.which(), Which::Domain(_)) && !self.caller.may_use_domain {
            return Err(Code::DomainNotAllowed.into());
        }
        let mut client = database.get().await?;
        let tx = client.transaction().await?;
        tx.batch_execute(&format!(
            "set local statement_timeout = {}; set local timezone = 'UTC'; set local jit = off",
            patience.as_millis()
        ))
        .await?;
        if let Some(key) = self.key
            && let Some(answer) = self.answered(&tx, key).await?
        {
            return Ok(accepted(answer, true));
        }
        let kind = "select t.trigger_type = 'api' from sicantik_notify.trigger t where t.code = $1";
        let kind = tx.query_opt(kind, &[&code]).await?;
        if !kind.is_some_and(|row| row.get(0)) {
            return Err(unknown(code));
        }
        let order = Order {
            code,
            model: self.asked.model.as_deref(),
            which: self.asked.which(),
            kwargs: &self.asked.parameters,
            origin: Origin::Api(&self.caller.name),
        };
        let fired = order::fire(&tx, order).await?;
        if fired.events > u64::from(self.most) {
            return Err(body::too_many(self.most));
        }
        let answer = json!({"run": fired.xact, "trigger": code, "events": fired.events}).to_string();
        if let Some(key) = self.key {
            let stored =
                "update sicantik_notify.api_request set answer = $3 where token_id = $1 and key = $2";
            tx.execute(stored, &[&self.caller.id, &key, &answer]).await?;
        }
        tx.commit().await?;
        tracing::info!(
            TOKEN = self.caller.name.as_str(),
            TRIGGER = code,
            EVENTS = fired.events,
            "The token {} fired {code} for {} records.",
            self.caller.name,
            fired.events
        );
        Ok(accepted(answer, false))
    }

    /// The answer that this key got before, where it did.
    async fn answered(&self, tx: &Transaction<'_>, key: &str) -> Result<Option<String>, Failure> {
        let taken = tx
            .query_opt(sql::API_REQUEST.sql, &[&self.caller.id, &key, &self.hash])
            .await?;
        if taken.is_some() {
            return Ok(None);
        }
        let before =
            "select body_hash, answer from sicantik_notify.api_request where token_id = $1 and key = $2";
        let row = tx.query_one(before, &[&self.caller.id, &key]).await?;
        if row.get::<_, &str>(0) != self.hash {
            return Err(Code::IdempotencyMismatch.into());
        }
        Ok(Some(row.get::<_, Option<String>>(1).unwrap_or_default()))
    }
}

fn unknown(code: &str) -> Failure {
    let shown: String = code.chars().filter(|c| !c.is_control()).take(64).collect();
    Failure::new(
        Code::UnknownTrigger,
        format!("there is no trigger {shown} that this token may fire"),
    )
}

fn accepted(answer: String, replayed: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let right = |key: &&str| (1..=255).contains(&key.len());
    match value.to_str().ok().map(str::trim).filter(right) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Failure::new(
            Code::InvalidRequest,
            "Idempotency-Key must be 1 to 255 visible ASCII characters",
        )),
    }
}

/// What makes two calls the same: the trigger, and the bytes of the body.
fn hash(code: &str, body: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(code.as_bytes());
    hasher.update([0]);
    hasher.update(body);
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

async fn read(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let limit = shared.config.api_max_body_bytes;
    let patience = Duration::from_secs(shared.config.request_timeout_seconds);
    let too_large = || {
        let hint = format!("a body may be {limit} bytes long");
        Failure::from(Code::TooLarge).hint(hint)
    };
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        drain(body, length, patience).await;
        return Err(too_large());
    }
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match tokio::time::timeout(patience, limited.collect()).await {
        Err(_) => Err(Code::RequestTimeout.into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::new(Code::InvalidJson, "the body is cut off")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        tracing::warn!(error = %error, "A call of the API found no connection.");
        Code::Unavailable.into()
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let code = match error.code() {
            _ if error.is_closed() => Code::Unavailable,
            Some(&SqlState::QUERY_CANCELED) => Code::Timeout,
            Some(&SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW) => {
                Code::Unavailable
            }
            Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE) => {
                Code::Unavailable
            }
            _ => Code::InternalError,
        };
        tracing::error!(
            error = crate::db::describe(&error),
            "A call of the API failed: {}.",
            code.as_str()
        );
        code.into()
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Refused { why, message, hint } => match why {
                // Not the words of the database: they name other triggers.
                Refusal::Unknown | Refusal::Type => Self::from(Code::UnknownTrigger),
                Refusal::Inactive => Self::new(Code::TriggerInactive, message),
                Refusal::Model => Self {
                    hint,
                    ..Self::new(Code::WrongModel, message)
                },
            },
            OrderError::NoRecords => Self::new(Code::InvalidRequest, error.to_string()),
            OrderError::Domain { text, error } => Self {
                hint: error.hint.clone(),
                ..Self::new(Code::InvalidDomain, error.diagnostic(&text))
            },
            // A value that a column cannot be compared with.
            OrderError::Server(error) if error.code().is_some_and(|c| c.code().starts_with("22")) => {
                Self::new(Code::InvalidDomain, crate::db::describe(&error))
            }
            OrderError::Server(error) => error.into(),
        }
    }
}
