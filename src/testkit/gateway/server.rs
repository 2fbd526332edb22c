//! The HTTP server: an accept loop of our own, because only its owner can reset a connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::call::{Call, Payload, Verdict, query};
use super::ledger::Request;
use super::script::{Behaviour, HoldPoint, Script};
use super::{Endpoint, Provider, Shared};

/// Larger than any body of the three APIs; a client that sends more is refused by a reset.
const BODY_LIMIT: usize = 4 << 20;

/// How long open connections may finish once the gateway stops.
const FAREWELL: Duration = Duration::from_secs(1);

const KEPT_HEADERS: [header::HeaderName; 4] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    header::ACCEPT,
];

/// How a request ends.
enum Answer {
    Respond(Response<Full<Bytes>>),
    /// The connection is reset.
    Cut,
    /// Nothing is ever said.
    Silence,
}

pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of file descriptors, or the peer left already: neither ends the server.
                Err(error) => {
                    tracing::debug!(%error, "fake gateway: accept failed");
                    tokio::task::yield_now().await;
                    continue;
                }
            },
        };
        tasks.spawn(connection(
            stream,
            shared.clone(),
            shutdown.clone(),
            tasks.clone(),
        ));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, shutdown: CancellationToken, tasks: TaskTracker) {
    let cut = CancellationToken::new();
    let service = {
        let (cut, shutdown) = (cut.clone(), shutdown.clone());
        service_fn(move |request| {
            serve(
                request,
                shared.clone(),
                cut.clone(),
                shutdown.clone(),
                tasks.clone(),
            )
        })
    };
    let mut served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = cut.cancelled() => {
            // Zero linger makes the close a reset, whether or not the request was read to its end.
            let stream = served.into_parts().io.into_inner();
            if let Err(error) = stream.set_zero_linger() {
                tracing::debug!(%error, "fake gateway: cannot ask for a reset");
            }
        }
        _ = &mut served => {}
        () = shutdown.cancelled() => {
            std::pin::Pin::new(&mut served).graceful_shutdown();
            // Who has not finished by then is cut off; a client under test must bear that too.
            tokio::time::timeout(FAREWELL, served).await.ok();
        }
    }
}

async fn serve(
    request: hyper::Request<Incoming>,
    shared: Arc<Shared>,
    cut: CancellationToken,
    shutdown: CancellationToken,
    tasks: TaskTracker,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = match route(request.uri().path()) {
        None => Answer::Respond(respond(404, "Not Found".into(), &[])),
        Some((provider, path)) => {
            let endpoint = shared.endpoint(provider, request.method(), &path);
            let (head, body) = request.into_parts();
            let arrival = Arrival {
                provider,
                endpoint,
                path,
                method: head.method,
                headers: head.headers,
            };
            if shared.script(provider, endpoint).cuts_before_read() {
                shared.ledger.arrived(arrival.request(serde_json::Value::Null));
                Answer::Cut
            } else if let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await {
                let query = query(&head.uri);
                let (tell, told) = oneshot::channel();
                // On a task of its own: a client that goes away does not undo what a provider is doing.
                tasks.spawn(async move {
                    let payload = Payload::parse(&arrival.headers, body.to_bytes()).await;
                    let answer = tokio::select! {
                        answer = process(&shared, arrival, query, payload) => answer,
                        () = shutdown.cancelled() => Answer::Cut,
                    };
                    // The client may be gone; then nobody is told.
                    let _ = tell.send(answer);
                });
                told.await.unwrap_or(Answer::Cut)
            } else {
                Answer::Cut
            }
        }
    };
    match answer {
        Answer::Respond(response) => Ok(response),
        Answer::Cut => {
            cut.cancel();
            std::future::pending().await
        }
        Answer::Silence => std::future::pending().await,
    }
}

/// The head of a request, placed.
struct Arrival {
    provider: Provider,
    endpoint: Endpoint,
    path: Vec<String>,
    method: Method,
    headers: HeaderMap,
}

impl Arrival {
    fn request(&self, body: serde_json::Value) -> Request {
        let headers = KEPT_HEADERS
            .iter()
            .filter_map(|name| {
                Some((
                    name.to_string(),
                    self.headers.get(name)?.to_str().ok()?.to_owned(),
                ))
            })
            .collect();
        Request {
            seq: 0,
            provider: self.provider,
            path: self.path.join("/"),
            method: self.method.to_string(),
            is_send: self.endpoint == Endpoint::Send,
            headers,
            body,
            at: Instant::now(),
            answered_at: None,
            response_status: None,
            accepted: false,
        }
    }
}

fn route(path: &str) -> Option<(Provider, Vec<String>)> {
    let mut segments = path.split('/').skip(1);
    let provider = match segments.next()? {
        "meta" => Provider::Meta,
        "fonnte" => Provider::Fonnte,
        "watzap" => Provider::Watzap,
        _ => return None,
    };
    Some((provider, segments.map(str::to_owned).collect()))
}

async fn process(
    shared: &Shared,
    arrival: Arrival,
    query: Vec<(String, String)>,
    payload: Payload,
) -> Answer {
    let place = shared.ledger.arrived(arrival.request(payload.to_value()));
    let (provider, endpoint) = (arrival.provider, arrival.endpoint);
    let mut call = Call {
        method: arrival.method,
        path: arrival.path,
        query,
        headers: arrival.headers,
        payload,
        meta_status: "accepted",
    };
    let to = (endpoint == Endpoint::Send)
        .then(|| shared.recipient(provider, &call))
        .flatten();
    let script: &Script = shared.script(provider, endpoint);
    let mut behaviour = script.next(to.as_deref());
    let mut judged: Option<Verdict> = None;
    let judge = |judged: &mut Option<Verdict>, call: &Call| {
        if judged.is_none() {
            let mut verdict = shared.judge(provider, call);
            if !verdict.accepted.is_empty() {
                shared
                    .ledger
                    .took(provider, place, std::mem::take(&mut verdict.accepted));
            }
            *judged = Some(verdict);
        }
    };
    loop {
        behaviour = match behaviour {
            Behaviour::Normal => {
                judge(&mut judged, &call);
                let Some(verdict) = judged else { return Answer::Cut };
                tokio::time::sleep(verdict.takes).await;
                return shared.reply(place, verdict.status, verdict.body.to_string(), &[]);
            }
            Behaviour::MetaHeld => {
                call.meta_status = "held_for_quality_assessment";
                Behaviour::Normal
            }
            Behaviour::MetaPaused => {
                call.meta_status = "paused";
                Behaviour::Normal
            }
            Behaviour::Delay(time) => {
                tokio::time::sleep(time).await;
                Behaviour::Normal
            }
            Behaviour::SlowFirstByte(time) => {
                judge(&mut judged, &call);
                tokio::time::sleep(time).await;
                Behaviour::Normal
            }
            Behaviour::Hold(hold) => {
                if hold.point == HoldPoint::AfterAccept {
                    judge(&mut judged, &call);
                }
                hold.park().await
            }
            Behaviour::CutBeforeRead => return Answer::Cut,
            Behaviour::CutAfterAccept => {
                judge(&mut judged, &call);
                return Answer::Cut;
            }
            Behaviour::Hang { accept } => {
                if accept {
                    judge(&mut judged, &call);
                }
                return Answer::Silence;
            }
            Behaviour::MetaError { http, code, details } => {
                let verdict = super::meta::error(http, code, &details);
                return shared.reply(place, verdict.status, verdict.body.to_string(), &[]);
            }
            Behaviour::FonnteReason(reason) => {
                let verdict = shared.fonnte.refusal(&reason);
                return shared.reply(place, verdict.status, verdict.body.to_string(), &[]);
            }
            Behaviour::WatzapStatus(status, message) => {
                let verdict = shared.watzap.outcome(&status, &message);
                return shared.reply(place, verdict.status, verdict.body.to_string(), &[]);
            }
            Behaviour::Http {
                status,
                body,
                headers,
            } => return shared.reply(place, status, body, &headers),
            Behaviour::Html502 => {
                let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
                            <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
                return shared.reply(place, 502, page.to_owned(), &[]);
            }
            Behaviour::Garbage => {
                return shared.reply(place, 200, "{\"messages\":[{\"id\":\"wam".to_owned(), &[]);
            }
        };
    }
}

impl Shared {
    fn reply(&self, place: usize, status: u16, body: String, headers: &[(String, String)]) -> Answer {
        self.ledger.answered(place, status);
        Answer::Respond(respond(status, body, headers))
    }
}

fn respond(status: u16, body: String, headers: &[(String, String)]) -> Response<Full<Bytes>> {
    let content_type = match body.as_bytes().first() {
        Some(b'{' | b'[') => "application/json; charset=utf-8",
        Some(b'<') => "text/html",
        _ => "text/plain",
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    for (name, value) in headers {
        match (name.parse::<header::HeaderName>(), value.parse()) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().insert(name, value);
            }
            _ => tracing::warn!(name, "fake gateway: a scripted header is no header"),
        }
    }
    response
}
