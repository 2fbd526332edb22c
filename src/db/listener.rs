//! LISTEN on one channel. A notification is a hint: whoever waits here also polls, so a lost connection costs time,
//! never an event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

use super::Endpoint;

/// Keeps a connection that listens to [`CHANNELS`] and wakes at each notification, and once after each (re)connect,
/// since something may have come while nobody listened. Ends when `stop` is cancelled.
pub async fn listen(endpoint: Endpoint, wakes: Arc<Wakes>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    let mut lost = false;
    loop {
        let mut listened = false;
        tokio::select! {
            () = stop.cancelled() => return,
            result = session(&endpoint, &wakes, || {
                listened = true;
                if std::mem::take(&mut lost) {
                    tracing::info!("Listening again.");
                }
            }) => {
                if let Err(error) = result {
                    tracing::warn!(error, "The listening connection was lost; polling goes on.");
                }
            }
        }
        lost = true;
        if listened {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
        }
    }
}

/// Before the second try to connect; doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Channels, as the hooks and the triggers of the configuration use them.
const CHANNELS: [&str; 3] = [
    "sicantik_notify_event",
    "sicantik_notify_config",
    "sicantik_notify_schedule",
];

/// What a notification wakes.
#[derive(Debug, Default)]
pub struct Wakes {
    /// Events may wait.
    pub events: Notify,
    /// Configuration may have changed.
    pub configuration: Notify,
    /// Messages may be due.
    pub messages: Notify,
    /// A job was asked for, enabled or timed anew, or a trigger was; matters to the leader only.
    pub schedule: Notify,
    /// Receipts may wait; nothing but this process tells.
    pub receipts: Notify,
}

impl Wakes {
    fn wake(&self, channel: &str) {
        match channel {
            "sicantik_notify_event" => self.events.notify_one(),
            "sicantik_notify_config" => {
                self.configuration.notify_one();
                self.schedule.notify_one();
            }
            "sicantik_notify_schedule" => {
                self.schedule.notify_one();
                // The queue's job may have been enabled.
                self.messages.notify_one();
            }
            _ => {}
        }
    }
}

async fn session(endpoint: &Endpoint, wakes: &Wakes, subscribed_now: impl FnOnce()) -> Result<(), String> {
    let mut subscribed_now = Some(subscribed_now);
    let (client, mut connection) = endpoint.connect_raw().await.map_err(|e| e.to_string())?;
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let command: String = CHANNELS.iter().map(|name| format!("listen {name};")).collect();
    // The connection is driven by the stream: both must run together.
    let subscribe = client.batch_execute(&command);
    tokio::pin!(subscribe);
    let mut subscribed = false;
    loop {
        tokio::select! {
            result = &mut subscribe, if !subscribed => {
                result.map_err(|e| super::describe(&e))?;
                subscribed = true;
                if let Some(tell) = subscribed_now.take() {
                    tell();
                }
                CHANNELS.iter().for_each(|name| wakes.wake(name));
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(n))) => {
                    wakes.wake(n.channel());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(super::describe(&error)),
                None => return Err("closed by the server".into()),
            }
        }
    }
}
