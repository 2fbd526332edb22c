//! What the gateway is told to do wrong, and for which request.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::numbers::digits;

/// What happens to one request.
///
/// "Judged" means: checked as the provider checks, and written to the ledger if it passes. The variants that
/// name an answer give that answer without judging.
#[derive(Clone, Debug, Default)]
pub enum Behaviour {
    /// Judged and answered.
    #[default]
    Normal,
    /// Meta's error object with this status and code.
    MetaError {
        /// HTTP status.
        http: u16,
        /// `error.code`.
        code: i64,
        /// `error.error_data.details`.
        details: String,
    },
    /// Judged; a template's success says `held_for_quality_assessment`.
    MetaHeld,
    /// Judged; a template's success says `paused`.
    MetaPaused,
    /// Fonnte's refusal: HTTP 200, `status:false` and this reason.
    FonnteReason(String),
    /// Watzap's answer: HTTP 200, this `status` and this message.
    WatzapStatus(String, String),
    /// A bare HTTP answer.
    Http {
        /// HTTP status.
        status: u16,
        /// The body as it goes out; its content type is JSON if it begins with `{` or `[`.
        body: String,
        /// Further headers, e.g. `Retry-After`.
        headers: Vec<(String, String)>,
    },
    /// An edge proxy's 502 with an HTML page.
    Html502,
    /// HTTP 200 whose JSON breaks off in the middle.
    Garbage,
    /// Never answered; the connection stays open until the client or the gateway ends it.
    Hang {
        /// Judged before the silence.
        accept: bool,
    },
    /// The connection is reset; the message is not accepted.
    ///
    /// As a pushed or constant behaviour it strikes before the body is read.
    CutBeforeRead,
    /// Judged, then the connection is reset without an answer: the client cannot know.
    CutAfterAccept,
    /// Judged at once; the first byte of the answer comes this much later.
    SlowFirstByte(Duration),
    /// Judged and answered after this time.
    Delay(Duration),
    /// Parked until the test says otherwise.
    Hold(Hold),
}

impl Behaviour {
    /// [`Behaviour::MetaError`] with the HTTP status that Meta uses for most codes.
    pub fn meta_error(code: i64, details: &str) -> Self {
        Self::MetaError {
            http: super::meta::usual_http(code),
            code,
            details: details.to_owned(),
        }
    }

    /// [`Behaviour::FonnteReason`].
    pub fn fonnte_reason(reason: &str) -> Self {
        Self::FonnteReason(reason.to_owned())
    }

    /// [`Behaviour::WatzapStatus`].
    pub fn watzap_status(status: &str, message: &str) -> Self {
        Self::WatzapStatus(status.to_owned(), message.to_owned())
    }

    /// [`Behaviour::Http`] without further headers.
    pub fn http(status: u16, body: &str) -> Self {
        Self::Http {
            status,
            body: body.to_owned(),
            headers: Vec::new(),
        }
    }

    /// HTTP 429 with `Retry-After` in seconds.
    pub fn too_many(retry_after_secs: u32) -> Self {
        Self::Http {
            status: 429,
            body: "Too Many Requests".to_owned(),
            headers: vec![("Retry-After".to_owned(), retry_after_secs.to_string())],
        }
    }
}

/// Where a held request is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldPoint {
    /// Read but not judged: not in the ledger of accepted messages.
    BeforeAccept,
    /// Judged: in the ledger, the answer not yet sent.
    AfterAccept,
}

/// The gateway's end of a hold; cloned into the script.
#[derive(Clone, Debug)]
pub struct Hold {
    pub(crate) point: HoldPoint,
    arrived: watch::Sender<usize>,
    release: watch::Receiver<Option<Box<Behaviour>>>,
}

impl Hold {
    /// A hold and the handle that ends it.
    pub fn new(point: HoldPoint) -> (Self, HoldHandle) {
        let (arrived_tx, arrived_rx) = watch::channel(0);
        let (release_tx, release_rx) = watch::channel(None);
        (
            Self {
                point,
                arrived: arrived_tx,
                release: release_rx,
            },
            HoldHandle {
                arrived: arrived_rx,
                release: release_tx,
            },
        )
    }

    pub(crate) async fn park(mut self) -> Behaviour {
        self.arrived.send_modify(|count| *count += 1);
        match self.release.wait_for(Option::is_some).await {
            Ok(released) => released.as_deref().cloned().unwrap_or_default(),
            Err(_) => Behaviour::Normal,
        }
    }
}

/// The test's end of a hold. Dropping it releases what is parked, as [`HoldHandle::release`] does.
#[derive(Debug)]
pub struct HoldHandle {
    arrived: watch::Receiver<usize>,
    release: watch::Sender<Option<Box<Behaviour>>>,
}

impl HoldHandle {
    /// Waits until a request is parked. Never returns if the script was cleared before one came.
    pub async fn arrived(&self) {
        if self.arrived.clone().wait_for(|count| *count > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// [`HoldHandle::arrived`] with a limit; false when it passes.
    pub async fn arrived_within(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.arrived()).await.is_ok()
    }

    /// How many requests have been parked so far.
    pub fn arrivals(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Lets the parked requests, and later ones that meet this hold, go on normally.
    ///
    /// They go on even when the client is gone: a provider does not notice that its caller died.
    pub fn release(&self) {
        self.release_as(Behaviour::Normal);
    }

    /// As [`HoldHandle::release`], with another behaviour from here on. A message already accepted stays so.
    pub fn release_as(&self, behaviour: Behaviour) {
        self.release.send_replace(Some(Box::new(behaviour)));
    }
}

/// The behaviours waiting for requests to one provider.
///
/// For each request the first that fits is taken: once-for-this-number, always-for-this-number, pushed, a
/// chance that strikes, always, normal.
#[derive(Debug, Default)]
pub struct Script {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    once_to: Vec<(String, Behaviour)>,
    when_to: Vec<(String, Behaviour)>,
    pushed: VecDeque<Behaviour>,
    chances: Vec<Chance>,
    always: Option<Behaviour>,
}

#[derive(Debug)]
struct Chance {
    percent: u8,
    dice: u64,
    behaviour: Behaviour,
}

impl Chance {
    /// SplitMix64 rather than a generator of `rand`: a seed must strike the same requests in every version.
    fn strikes(&mut self) -> bool {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % 100 < u64::from(self.percent)
    }
}

impl Script {
    fn with<T>(&self, change: impl FnOnce(&mut Lines) -> T) -> T {
        change(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the next request that no line for its number takes; pushed ones are used up in order.
    pub fn push(&self, behaviour: Behaviour) -> &Self {
        self.with(|lines| lines.pushed.push_back(behaviour));
        self
    }

    /// [`Script::push`] of the same behaviour for the next `times` requests.
    pub fn push_times(&self, times: usize, behaviour: Behaviour) -> &Self {
        self.with(|lines| lines.pushed.extend(std::iter::repeat_n(behaviour, times)));
        self
    }

    /// For every request that nothing else takes.
    pub fn always(&self, behaviour: Behaviour) -> &Self {
        self.with(|lines| lines.always = Some(behaviour));
        self
    }

    /// For every request to this number; a second call for the number replaces the first.
    pub fn when_to(&self, number: &str, behaviour: Behaviour) -> &Self {
        let number = digits(number);
        self.with(|lines| {
            lines.when_to.retain(|(to, _)| *to != number);
            lines.when_to.push((number, behaviour));
        });
        self
    }

    /// For the next request to this number; several are used up in order.
    pub fn once_to(&self, number: &str, behaviour: Behaviour) -> &Self {
        self.with(|lines| lines.once_to.push((digits(number), behaviour)));
        self
    }

    /// For about `percent` of the requests, the same ones for the same seed.
    pub fn chance(&self, percent: u8, seed: u64, behaviour: Behaviour) -> &Self {
        self.with(|lines| {
            lines.chances.push(Chance {
                percent,
                dice: seed,
                behaviour,
            })
        });
        self
    }

    /// Parks the next request.
    pub fn hold(&self, point: HoldPoint) -> HoldHandle {
        let (hold, handle) = Hold::new(point);
        self.push(Behaviour::Hold(hold));
        handle
    }

    /// Parks every request to this number until released.
    pub fn hold_to(&self, number: &str, point: HoldPoint) -> HoldHandle {
        let (hold, handle) = Hold::new(point);
        self.when_to(number, Behaviour::Hold(hold));
        handle
    }

    /// Back to normal. Requests already parked stay parked until their handle releases them.
    pub fn clear(&self) {
        self.with(|lines| *lines = Lines::default());
    }

    /// Pushed behaviours that no request has met yet.
    pub fn left(&self) -> usize {
        self.with(|lines| lines.pushed.len() + lines.once_to.len())
    }

    /// True when the next request is to be cut before its body is read, which only works while no line
    /// depends on the number in that body.
    pub(crate) fn cuts_before_read(&self) -> bool {
        self.with(|lines| {
            if !lines.once_to.is_empty() || !lines.when_to.is_empty() {
                return false;
            }
            match lines.pushed.front() {
                Some(Behaviour::CutBeforeRead) => lines.pushed.pop_front().is_some(),
                Some(_) => false,
                None => lines.chances.is_empty() && matches!(lines.always, Some(Behaviour::CutBeforeRead)),
            }
        })
    }

    pub(crate) fn next(&self, to: Option<&str>) -> Behaviour {
        self.with(|lines| {
            if let Some(to) = to {
                if let Some(place) = lines.once_to.iter().position(|(number, _)| number == to) {
                    return lines.once_to.remove(place).1;
                }
                if let Some((_, behaviour)) = lines.when_to.iter().find(|(number, _)| number == to) {
                    return behaviour.clone();
                }
            }
            if let Some(behaviour) = lines.pushed.pop_front() {
                return behaviour;
            }
            // Every chance throws its dice for every request, so that adding one does not shift another.
            let mut struck = None;
            for chance in &mut lines.chances {
                if chance.strikes() && struck.is_none() {
                    struck = Some(chance.behaviour.clone());
                }
            }
            struck.or_else(|| lines.always.clone()).unwrap_or_default()
        })
    }
}
