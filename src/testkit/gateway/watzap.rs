//! Watzap's side: keys in the body, no message ids, HTTP 200 for every refusal.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::Gateway;
use super::call::{Call, Verdict};
use super::ledger::Draft;
use super::numbers::{Directory, is_e164_digits};

/// The account behind [`Gateway::WATZAP_API_KEY`].
#[derive(Debug)]
pub struct WatzapAccount {
    numbers: Arc<Directory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connected: bool,
    plan_has_api: bool,
    send_takes: Duration,
}

/// A `status` and its message.
type Refusal = (&'static str, &'static str);

const OK: Refusal = ("200", "Successfully");

impl WatzapAccount {
    pub(crate) fn new(numbers: Arc<Directory>) -> Self {
        let state = State {
            connected: true,
            plan_has_api: true,
            send_takes: Duration::ZERO,
        };
        Self {
            numbers,
            state: Mutex::new(state),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Links or unlinks the phone; unlinked, sends answer 1005 `WhatsApp Instance Not Started`.
    pub fn set_connected(&self, connected: bool) {
        self.with(|state| state.connected = connected);
    }

    /// Whether the plan includes the API; if not, every call with good keys answers 3001.
    pub fn set_plan_has_api(&self, has: bool) {
        self.with(|state| state.plan_has_api = has);
    }

    /// How long the phone takes to send, and so how long the answer takes when `wait_until_send` is `"1"`.
    pub fn set_send_takes(&self, time: Duration) {
        self.with(|state| state.send_takes = time);
    }

    /// Watzap's answer with this status; `200` is a success without an accepted message.
    pub(crate) fn outcome(&self, status: &str, message: &str) -> Verdict {
        let mut body = json!({ "status": status, "message": message });
        match status {
            "200" => body["ack"] = json!("successfully"),
            "1005" => {
                body["ack"] = json!("fatal_error");
                body["wa_number"] = json!(Gateway::WATZAP_NUMBER);
            }
            _ => body["ack"] = json!("failed"),
        }
        Verdict::new(200, body)
    }

    pub(crate) fn judge(&self, call: &Call) -> Verdict {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        if call.method != Method::POST {
            return Verdict::not_found();
        }
        let answer = match path.as_slice() {
            ["v1", "send_message"] => self.keys(call).and_then(|()| self.send(call)),
            ["v1", "validate_number"] => self.keys(call).and_then(|()| self.validate(call)),
            ["v1", "checking_key"] => self.api_key(call).map(|()| self.account()),
            _ => return Verdict::not_found(),
        };
        answer.unwrap_or_else(|(status, message)| self.outcome(status, message))
    }

    fn api_key(&self, call: &Call) -> Result<(), Refusal> {
        // A body that is not JSON has no keys at all: there is no other sign of it.
        if field(call, "api_key") != Some(Gateway::WATZAP_API_KEY) {
            return Err(("1002", "Invalid api_key"));
        }
        if !self.with(|state| state.plan_has_api) {
            return Err(("3001", "Please upgrade your plan"));
        }
        Ok(())
    }

    fn keys(&self, call: &Call) -> Result<(), Refusal> {
        self.api_key(call)?;
        match field(call, "number_key") {
            Some(Gateway::WATZAP_NUMBER_KEY | "ALL") => Ok(()),
            _ => Err(("1003", "Invalid number_key")),
        }
    }

    /// Digits of a number that has WhatsApp.
    fn recipient(&self, call: &Call) -> Result<String, Refusal> {
        if !self.with(|state| state.connected) {
            return Err(("1005", "WhatsApp Instance Not Started"));
        }
        let number = field(call, "phone_no").ok_or(("1005", "phone_no is required"))?;
        if !is_e164_digits(number) {
            return Err(("1005", "Invalid phone number"));
        }
        if !self.numbers.has(number) {
            return Err(("1005", "Phone number is not registered on WhatsApp"));
        }
        Ok(number.to_owned())
    }

    fn send(&self, call: &Call) -> Result<Verdict, Refusal> {
        let to = self.recipient(call)?;
        let text = field(call, "message").filter(|message| !message.trim().is_empty());
        let text = text.ok_or(("1005", "message is required"))?.to_owned();
        let mut verdict = self.outcome(OK.0, OK.1);
        if field(call, "wait_until_send") == Some("1") {
            verdict.takes = self.with(|state| state.send_takes);
        }
        Ok(verdict.taking(vec![Draft {
            to,
            text,
            ..Draft::default()
        }]))
    }

    fn validate(&self, call: &Call) -> Result<Verdict, Refusal> {
        self.recipient(call)?;
        Ok(self.outcome("200", "Valid WhatsApp Number"))
    }

    fn account(&self) -> Verdict {
        let connected = self.with(|state| state.connected);
        // Here `status` is a boolean, unlike everywhere else.
        Verdict::new(
            200,
            json!({ "status": true, "message": OK.1, "data": {
                "id": 1, "name": "Gateway", "email": "gateway@example.go.id", "plan": "Pro",
                "expires_on": "2027-08-17", "total_legacy_licenses": 1,
                "licenses_key": [ {
                    "id": 9, "key": Gateway::WATZAP_NUMBER_KEY, "plan": "Pro",
                    "active_from": "2026-08-17", "active_until": "2027-08-17", "expires_on": "2027-08-17",
                    "limit_message_per_day": 0, "limit_domain": "",
                    "wa_number": Gateway::WATZAP_NUMBER, "is_connected": connected,
                } ],
            } }),
        )
    }
}

fn field<'c>(call: &'c Call, name: &str) -> Option<&'c str> {
    call.payload.json()?.get(name).and_then(Value::as_str)
}
