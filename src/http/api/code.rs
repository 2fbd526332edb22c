//! What can go wrong with a call, each with a code that stays the same; the description is made of these.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

macro_rules! codes {
    ($($name:ident = $word:literal, $status:ident, $message:literal;)*) => {
        /// Code of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $message] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is answered.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// With which status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What it means.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

codes! {
    InvalidJson = "invalid_json", BAD_REQUEST, "the body is no JSON object";
    InvalidRequest = "invalid_request", BAD_REQUEST, "the body or a header is not what is described";
    Unauthorized = "unauthorized", UNAUTHORIZED, "there is no valid token in the header Authorization: Bearer";
    DomainNotAllowed = "domain_not_allowed", FORBIDDEN, "the token may choose records by ids only";
    UnknownTrigger = "unknown_trigger", NOT_FOUND, "there is no such trigger that this token may fire";
    NotFound = "not_found", NOT_FOUND, "there is no such path";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "the path has no such method";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "the body did not come in time";
    TriggerInactive = "trigger_inactive", CONFLICT, "the trigger is inactive";
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "the body is too long";
    TooManyRecords = "too_many_records", UNPROCESSABLE_ENTITY, "one call may not be about so many records";
    WrongModel = "wrong_model", UNPROCESSABLE_ENTITY, "the trigger is about another model";
    InvalidDomain = "invalid_domain", UNPROCESSABLE_ENTITY, "the domain is wrong";
    IdempotencyMismatch = "idempotency_mismatch", UNPROCESSABLE_ENTITY,
        "the Idempotency-Key was used for another trigger or body within 24 hours";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "the token calls too often";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "a fault of ours; the daemon's log has the reason";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "the database is away, or too many calls are worked on";
    Timeout = "timeout", SERVICE_UNAVAILABLE, "it took too long, and nothing was fired";
}

impl Code {
    /// What to do, where the message does not say it.
    fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidJson | Self::InvalidRequest => "GET /v1/openapi.json describes the call",
            Self::Unauthorized => "a DBA or an operator makes one: sicantik-notifyd token create",
            Self::DomainNotAllowed => "name ids, or ask for a token with --may-use-domain",
            Self::UnknownTrigger => "check its code, its type (api) and the token's triggers with the office",
            Self::TriggerInactive => "the office activates it",
            Self::TooManyRecords => "make several calls",
            Self::IdempotencyMismatch => "take a new key for another call",
            Self::RateLimited | Self::Unavailable => "come again after Retry-After seconds",
            Self::Timeout => "come again, with fewer records or a narrower domain",
            Self::InternalError => "come again with the same Idempotency-Key, or ask the office",
            _ => return None,
        })
    }
}

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// How.
    pub code: Code,
    /// In a sentence.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Seconds.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// With words of its own.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..code.into()
        }
    }

    /// With this remedy.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Come again after so many seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    fn json(&self) -> Value {
        json!({"error": {"code": self.code.as_str(), "message": self.message, "hint": self.hint}})
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self {
            code,
            message: code.message().to_owned(),
            hint: code.hint().map(str::to_owned),
            retry_after: matches!(code, Code::Unavailable | Code::Timeout).then_some(5),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), axum::Json(self.json())).into_response();
        let headers = response.headers_mut();
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
