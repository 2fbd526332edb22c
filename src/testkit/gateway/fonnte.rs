//! Fonnte's side: one linked phone that takes forms only, and answers HTTP 200 whatever happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::{Method, header};
use serde_json::{Value, json};

use super::Gateway;
use super::call::{Call, Payload, Verdict, marks};
use super::ledger::Draft;
use super::numbers::{Directory, is_e164_digits};

const MESSAGE_LIMIT: usize = 60_000;
const VALIDATE_LIMIT: usize = 500;

/// The account behind [`Gateway::FONNTE_TOKEN`].
#[derive(Debug)]
pub struct FonnteAccount {
    numbers: Arc<Directory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connected: bool,
    quota: Option<u32>,
    sent: u32,
    request_id: u64,
    message_id: u64,
    /// What `/status` says of each message.
    statuses: HashMap<String, String>,
}

type Refusal = &'static str;

impl FonnteAccount {
    pub(crate) fn new(numbers: Arc<Directory>) -> Self {
        let state = State {
            connected: true,
            quota: None,
            sent: 0,
            request_id: 2_937_124,
            // Eight digits, as seen; at random, so that the next gateway hardly repeats them.
            message_id: 80_000_000 + u64::from(rand::random::<u16>()) * 100,
            statuses: HashMap::new(),
        };
        Self {
            numbers,
            state: Mutex::new(state),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Links or unlinks the phone; unlinked, `/send` and `/validate` refuse and `/device` says `disconnect`.
    pub fn set_connected(&self, connected: bool) {
        self.with(|state| state.connected = connected);
    }

    /// Messages left; `None` (the default) does not count.
    pub fn set_quota(&self, quota: Option<u32>) {
        self.with(|state| state.quota = quota);
    }

    /// What `/status` says of a message from now on: `sent`, `pending`, `invalid`, `expired`, …
    pub fn set_status(&self, external_id: &str, status: &str) {
        self.with(|state| state.statuses.insert(external_id.to_owned(), status.to_owned()));
    }

    /// Fonnte's refusal with this reason.
    pub(crate) fn refusal(&self, reason: &str) -> Verdict {
        let request_id = self.next_request_id();
        Verdict::new(
            200,
            json!({ "reason": reason, "requestid": request_id, "status": false }),
        )
    }

    fn next_request_id(&self) -> u64 {
        self.with(|state| {
            state.request_id += 1;
            state.request_id
        })
    }

    pub(crate) fn judge(&self, call: &Call) -> Verdict {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        if call.method != Method::POST {
            return Verdict::not_found();
        }
        let answer = match path.as_slice() {
            ["send"] => device_token(call).and_then(|()| self.send(call)),
            ["validate"] => device_token(call).and_then(|()| self.validate(call)),
            ["device"] => device_token(call).map(|()| self.device()),
            ["status"] => device_token(call).and_then(|()| self.status(call)),
            ["get-devices"] => account_token(call).map(|()| self.devices()),
            _ => return Verdict::not_found(),
        };
        answer.unwrap_or_else(|reason| self.refusal(reason))
    }

    fn send(&self, call: &Call) -> Result<Verdict, Refusal> {
        let targets = call.payload.field("target").unwrap_or("").trim();
        let message = call.payload.field("message").unwrap_or("");
        // JSON is refused on purpose: the real API is not reliable with it, so no client may live on it.
        if !matches!(call.payload, Payload::Form(_)) || targets.is_empty() || message.trim().is_empty() {
            return Err("input invalid");
        }
        if message.chars().count() > MESSAGE_LIMIT {
            return Err("input invalid");
        }
        let country = country(call)?;
        let mut messages = Vec::new();
        for target in targets.split(',').map(str::trim) {
            let mut bindings = target.split('|');
            let to = normalise(bindings.next().unwrap_or(""), country).ok_or("target invalid")?;
            messages.push((to, bind(message, &bindings.collect::<Vec<_>>())));
        }
        let connect_only = !matches!(call.payload.field("connectOnly"), Some("false" | "0"));
        let scheduled = call
            .payload
            .field("schedule")
            .is_some_and(|at| !matches!(at, "" | "0"));
        let request_id = self.next_request_id();
        self.with(|state| {
            if !state.connected && connect_only {
                return Err("request invalid on disconnected device");
            }
            let wanted = u32::try_from(messages.len()).unwrap_or(u32::MAX);
            if let Some(quota) = &mut state.quota {
                *quota = quota.checked_sub(wanted).ok_or("insufficient quota")?;
            }
            state.sent = state.sent.saturating_add(wanted);
            let mut drafts = Vec::new();
            for (to, text) in messages {
                state.message_id += 1;
                let id = state.message_id.to_string();
                // A number without WhatsApp is accepted like any other and stays pending for ever.
                let status = if self.numbers.has(&to) && state.connected { "sent" } else { "pending" };
                state.statuses.insert(id.clone(), status.to_owned());
                drafts.push(Draft { to, text, external_id: Some(id), ..Draft::default() });
            }
            let reply = json!({
                "detail": if scheduled { "success! message will be sent on scheduled time" } else { "success! message in queue" },
                "id": drafts.iter().map(|draft| draft.external_id.clone()).collect::<Vec<_>>(),
                "process": if scheduled { "waiting" } else { "pending" },
                "requestid": request_id,
                "status": true,
                "target": drafts.iter().map(|draft| draft.to.clone()).collect::<Vec<_>>(),
            });
            Ok(Verdict::new(200, reply).taking(drafts))
        })
    }

    fn validate(&self, call: &Call) -> Result<Verdict, Refusal> {
        let targets = call.payload.field("target").unwrap_or("").trim();
        if targets.is_empty() {
            return Err("target required");
        }
        if !self.with(|state| state.connected) {
            return Err("request invalid on disconnected device");
        }
        let country = country(call)?;
        let targets: Option<Vec<String>> = targets
            .split(',')
            .map(|target| normalise(target.trim(), country))
            .collect();
        let targets = targets
            .filter(|targets| targets.len() <= VALIDATE_LIMIT)
            .ok_or("target invalid")?;
        let (registered, others): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| self.numbers.has(target));
        Ok(Verdict::new(
            200,
            json!({ "status": true, "registered": registered, "not_registered": others }),
        ))
    }

    fn device(&self) -> Verdict {
        self.with(|state| {
            Verdict::new(
                200,
                json!({
                    "status": true,
                    "device": Gateway::FONNTE_NUMBER,
                    "device_status": link_word(state),
                    "name": "Gateway",
                    "package": "Regular",
                    "quota": quota_word(state),
                    "messages": state.sent,
                    "expired": "17 Agustus 2027",
                }),
            )
        })
    }

    fn devices(&self) -> Verdict {
        self.with(|state| {
            let device: Value = json!({
                "device": Gateway::FONNTE_NUMBER,
                "name": "Gateway",
                "status": link_word(state),
                "quota": quota_word(state),
                "expired": "1797000000",
                "package": "Regular",
                "autoread": "on",
                "token": Gateway::FONNTE_TOKEN,
            });
            let connected = u8::from(state.connected);
            Verdict::new(
                200,
                json!({ "status": true, "connected": connected, "devices": 1, "messages": state.sent, "data": [device] }),
            )
        })
    }

    fn status(&self, call: &Call) -> Result<Verdict, Refusal> {
        let id = call.payload.field("id").unwrap_or("").to_owned();
        let status = self
            .with(|state| state.statuses.get(&id).cloned())
            .ok_or("input invalid")?;
        // `id` comes back as a number here, though `/send` gives strings.
        let number = id.parse::<u64>().unwrap_or_default();
        Ok(Verdict::new(
            200,
            json!({ "id": number, "message_status": status, "status": true }),
        ))
    }
}

fn link_word(state: &State) -> &'static str {
    if state.connected { "connect" } else { "disconnect" }
}

/// A string, as the real API gives it.
fn quota_word(state: &State) -> String {
    state.quota.map_or("9500".to_owned(), |quota| quota.to_string())
}

fn token(call: &Call) -> &str {
    call.headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

/// Several tokens, separated by commas, rotate devices; each must be ours.
fn device_token(call: &Call) -> Result<(), Refusal> {
    let known = token(call)
        .split(',')
        .all(|token| token.trim() == Gateway::FONNTE_TOKEN);
    if known { Ok(()) } else { Err("token invalid") }
}

fn account_token(call: &Call) -> Result<(), Refusal> {
    match token(call) {
        Gateway::FONNTE_ACCOUNT_TOKEN => Ok(()),
        Gateway::FONNTE_TOKEN => Err("unknown user"),
        _ => Err("token invalid"),
    }
}

/// `countryCode`; `None` switches the rewriting of a leading 0 off.
fn country(call: &Call) -> Result<Option<&str>, Refusal> {
    match call.payload.field("countryCode") {
        None | Some("") => Ok(Some("62")),
        Some("0") => Ok(None),
        Some(code) if code.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(code)),
        Some(_) => Err("input invalid"),
    }
}

fn normalise(target: &str, country: Option<&str>) -> Option<String> {
    if target.ends_with("@g.us") {
        return Some(target.to_owned());
    }
    let to = match (target.strip_prefix('0'), country) {
        (Some(rest), Some(country)) => format!("{country}{rest}"),
        _ => target.to_owned(),
    };
    is_e164_digits(&to).then_some(to)
}

/// Puts `name|v1|v2` of a target into `{name}`, `{var1}`, `{var2}`.
///
/// Those marks are taken out even when the target brings nothing: a client whose own text holds one shall see
/// it go. Other braces stay.
fn bind(message: &str, values: &[&str]) -> String {
    let mut bound = String::with_capacity(message.len());
    for (before, mark) in marks(message, "{", "}") {
        bound.push_str(before);
        let place = match mark {
            None => continue,
            Some("name") => Some(0),
            Some(mark) => mark
                .strip_prefix("var")
                .and_then(|number| number.parse::<usize>().ok()),
        };
        match (place, mark) {
            (Some(place), _) => bound.push_str(values.get(place).copied().unwrap_or("")),
            (None, Some(mark)) => {
                bound.push('{');
                bound.push_str(mark);
                bound.push('}');
            }
            (None, None) => {}
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_a_bulk_message_are_taken_out() {
        assert_eq!(
            bind("Yth. {name}, {var1} {x} {", &["Budi", "503"]),
            "Yth. Budi, 503 {x} {"
        );
        assert_eq!(bind("Yth. {name}.", &[]), "Yth. .");
    }

    #[test]
    fn a_target_is_rewritten_by_its_country_code() {
        assert_eq!(
            normalise("081200000001", Some("62")).as_deref(),
            Some("6281200000001")
        );
        assert_eq!(normalise("081200000001", None), None);
        assert_eq!(normalise("+6281200000001", Some("62")), None);
        assert_eq!(normalise("123@g.us", Some("62")).as_deref(), Some("123@g.us"));
    }
}
