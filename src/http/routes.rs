//! One call: path, method, limits, secret, body, answer.
//!
//! | answer | why |
//! |--------|-----|
//! | 200 | stored, or nothing of interest |
//! | 400 | the body is cut off or no JSON |
//! | 401 | no signature |
//! | 403 | wrong signature, secret or verify token |
//! | 404, 405 | no such path; `/healthz`, `/readyz` and `/metrics` from another machine |
//! | 408 | the body did not come in time |
//! | 413 | the body is too long |
//! | 500 | a fault of ours |
//! | 503 | too many calls at once, or the database is away: come again |
//!
//! What is under `/v1` answers in JSON, with codes of its own: see [`api`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::news::News;
use super::store::store;
use super::{Shared, api, fonnte, meta, watzap};
use crate::deliver::health::Health;
use crate::deliver::provider::{Answer, ProviderKind};
use crate::queue::claim::retry_provider;

/// The signature of Meta.
const SIGNATURE: &str = "x-hub-signature-256";
/// The secret of a gateway, where its path has none.
const SECRET: &str = "x-webhook-secret";
/// News of an account that are older say nothing about it now.
const RECENT: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// A body that is too long is read to its end up to this length, so that its sender hears why it is refused.
const DRAIN: u64 = 16 * 1024 * 1024;

/// All paths.
pub fn router(shared: Arc<Shared>) -> Router {
    let webhooks = Router::new()
        .route("/webhook/meta", get(meta_handshake).post(meta_post))
        .route("/webhook/fonnte", post(fonnte_post))
        .route("/webhook/fonnte/{secret}", post(fonnte_post))
        .route("/webhook/watzap", post(watzap_post))
        .route("/webhook/watzap/{secret}", post(watzap_post))
        .layer(middleware::from_fn_with_state(shared.clone(), limited));
    let questions = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(numbers))
        .layer(middleware::from_fn(only_here));
    Router::new()
        .merge(webhooks)
        .merge(questions)
        .merge(api::router())
        .layer(middleware::from_fn(caught))
        .with_state(shared)
}

/// A panic ends the call and nothing else; a caller that goes away does not cut a transaction.
async fn caught(request: Request, next: Next) -> Response {
    let of_api = request.uri().path().starts_with("/v1");
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(error = %error, "A call to the HTTP listener failed inside.");
            if of_api {
                return api::code::Failure::from(api::code::Code::InternalError).into_response();
            }
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Few calls at once, none of them for ever.
async fn limited(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Ok(_turn) = shared.at_work.try_acquire() else {
        return come_again("too many calls at once");
    };
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let limit = shared.config.max_body_bytes;
    let patience = Duration::from_secs(shared.config.request_timeout_seconds);
    let (head, body) = request.into_parts();
    if length.is_some_and(|length| length > limit) {
        drain(body, length, patience).await;
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let body = match tokio::time::timeout(patience, limited.collect()).await {
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        Ok(Err(_)) => return StatusCode::BAD_REQUEST.into_response(),
        Ok(Ok(body)) => body.to_bytes(),
    };
    let work = next.run(Request::from_parts(head, Body::from(body)));
    match tokio::time::timeout(patience, work).await {
        Ok(response) => response,
        Err(_) => come_again("the database did not answer in time"),
    }
}

pub(super) async fn drain(body: Body, length: Option<u64>, patience: Duration) {
    if length.is_some_and(|length| length <= DRAIN) {
        let read = async {
            let mut body = body;
            while let Some(Ok(_)) = body.frame().await {}
        };
        let _ = tokio::time::timeout(patience, read).await;
    }
}

fn come_again(reason: &str) -> Response {
    tracing::warn!(reason, "A webhook was not taken; its provider comes again.");
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response()
}

/// What the daemon knows of itself is nobody's business outside of this machine.
async fn only_here(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<SocketAddr>();
    match peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        true => next.run(request).await,
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Prometheus' text format.
async fn numbers(State(shared): State<Arc<Shared>>) -> Response {
    let page = shared.numbers.page(&shared.database).await;
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        page,
    )
        .into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let (ready, told) = shared.readiness.ask().await;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(told)).into_response()
}

async fn meta_handshake(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let known = match shared.accounts.known().await {
        Ok(known) => known,
        Err(error) => return come_again(&error.to_string()),
    };
    let word = |name: &str| query.get(name).map(String::as_str);
    let right = word("hub.verify_token").is_some_and(|token| known.verifies(token));
    match (word("hub.mode"), word("hub.challenge")) {
        (Some("subscribe"), Some(challenge)) if right => {
            tracing::info!("Meta verified the webhook.");
            // Plain text, so that whatever was sent is shown and not run.
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, challenge.to_owned()).into_response()
        }
        _ => refuse("meta", "the verify token is wrong"),
    }
}

async fn meta_post(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let known = match shared.accounts.known().await {
        Ok(known) => known,
        Err(error) => return come_again(&error.to_string()),
    };
    let Some(signature) = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let accounts = known.signed_by(signature, &body);
    if accounts.is_empty() {
        return refuse("meta", "its signature fits no app_secret");
    }
    let Ok(json) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let answer = take(&shared, &meta::read(&json, &accounts), &known.words).await;
    if answer == StatusCode::OK
        && let Some(forwarder) = &shared.forwarder
    {
        forwarder.pass_on(&headers, body);
    }
    answer.into_response()
}

async fn fonnte_post(
    State(shared): State<Arc<Shared>>,
    secret: Option<Path<String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    gateway(&shared, ProviderKind::Fonnte, secret, &headers, &body).await
}

async fn watzap_post(
    State(shared): State<Arc<Shared>>,
    secret: Option<Path<String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    gateway(&shared, ProviderKind::Watzap, secret, &headers, &body).await
}

async fn gateway(
    shared: &Shared,
    kind: ProviderKind,
    in_path: Option<Path<String>>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let known = match shared.accounts.known().await {
        Ok(known) => known,
        Err(error) => return come_again(&error.to_string()),
    };
    let in_header = || headers.get(SECRET).and_then(|value| value.to_str().ok());
    let account = match (&in_path, in_header()) {
        (Some(Path(secret)), _) => known.with_secret(kind, secret),
        (None, Some(secret)) => known.with_secret(kind, secret),
        (None, None) => return StatusCode::UNAUTHORIZED.into_response(),
    };
    let Some(account) = account else {
        return refuse(kind.as_str(), "its secret fits no webhook_secret");
    };
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let news = match kind {
        ProviderKind::Fonnte => fonnte::read(&json, account),
        _ => Ok(watzap::read(&json, account)),
    };
    match news {
        Ok(news) => take(shared, &news, &known.words).await.into_response(),
        Err(fonnte::OtherDevice) => refuse(
            kind.as_str(),
            "it is about another device than the provider's settings name",
        ),
    }
}

fn refuse(provider: &str, reason: &str) -> Response {
    tracing::warn!(PROVIDER = provider, reason, "A webhook was refused.");
    StatusCode::FORBIDDEN.into_response()
}

/// Stores, then answers; then the others are woken.
async fn take(shared: &Shared, news: &News, words: &super::words::Words) -> StatusCode {
    if let Err(error) = store(&shared.database, news, words).await {
        come_again(&error.to_string());
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if !news.receipts.is_empty() || !news.aliases.is_empty() {
        shared.wakes.receipts.notify_one();
    }
    if !news.inbound.is_empty() {
        shared.wakes.messages.notify_one();
    }
    accounts(shared, news).await;
    StatusCode::OK
}

/// A disconnected phone or a locked account pauses its provider before the next message meets it; one that is back ends its
/// pause. A hint: what cannot be noted is found out by the next message.
async fn accounts(shared: &Shared, news: &News) {
    let now = chrono::Utc::now();
    for account in &news.accounts {
        if account
            .at
            .is_some_and(|at| now.signed_duration_since(at) > RECENT)
        {
            continue;
        }
        let answer = match &account.failure {
            Some(failure) => Answer::Refused(failure.clone()),
            None => Answer::Accepted {
                external_id: None,
                reference: None,
                note: None,
            },
        };
        // Told now, so it says more than whatever opened the circuit.
        let told_at = match shared.database.get().await {
            Ok(client) => clock(&client).await.unwrap_or(now),
            Err(_) => now,
        };
        Health::new(shared.terms)
            .note(&shared.database, account.provider, &answer, told_at)
            .await;
        match &account.failure {
            Some(failure) => tracing::warn!(PROVIDER = failure.provider.as_str(), "{failure}."),
            None => {
                tracing::info!(
                    PROVIDER_ID = account.provider.0,
                    "A provider says that it is connected again."
                );
                if let Ok(client) = shared.database.get().await {
                    let _ = retry_provider(&client).await;
                    shared.wakes.messages.notify_one();
                }
            }
        }
    }
}

/// The database's clock, by which circuits open.
async fn clock(
    client: &deadpool_postgres::Client,
) -> Result<chrono::DateTime<chrono::Utc>, tokio_postgres::Error> {
    Ok(client
        .query_one("select sicantik_notify.clock()", &[])
        .await?
        .get(0))
}

/// The layer that a connection puts around its calls: who is at the other end.
pub fn from(router: Router, peer: SocketAddr) -> Router {
    router.layer(Extension(peer))
}
