//! What these tests share: an office whose daemon listens, the secrets of its providers, and raw calls.

use sicantik_notifyd::testkit::gateway::{FonnteWebhooks, MetaWebhooks, WatzapWebhooks};
use sicantik_notifyd::testkit::office::Daemon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::desk::{Desk, PATIENCE, QUICK, desk};

pub const APP_SECRET: &str = "the app's secret";
pub const VERIFY_TOKEN: &str = "the-verify-token";
pub const FONNTE_SECRET: &str = "a-long-path-segment-for-fonnte";
pub const WATZAP_SECRET: &str = "a-long-path-segment-for-watzap";

/// Listens on a free port.
pub const LISTENS: &str = "[http]\nenabled = true\nlisten = \"127.0.0.1:0\"\nrequest_timeout_seconds = 2\n";

pub struct Bench {
    pub desk: Desk,
    pub daemon: Daemon,
    /// `127.0.0.1:port`
    pub address: String,
}

/// With this added to the quick settings and to `[http]`.
pub async fn bench_with(more: &str) -> Bench {
    let desk = furnished().await;
    let daemon = desk.daemon(&format!("{QUICK}{LISTENS}{more}")).await;
    let address = address(&daemon).await;
    Bench {
        desk,
        daemon,
        address,
    }
}

pub async fn bench() -> Bench {
    bench_with("").await
}

/// An office with the secrets of its webhooks, where nothing lost is sent again within the test.
pub async fn furnished() -> Desk {
    let desk = desk().await;
    desk.sql(&format!(
        "insert into sicantik_notify.provider_secret (provider_id, name, value)
         select p.id, s.name, s.value
         from (values ('meta', 'app_secret', '{}'), ('meta', 'verify_token', '{VERIFY_TOKEN}'),
                      ('fonnte', 'webhook_secret', '{FONNTE_SECRET}'), ('watzap', 'webhook_secret', '{WATZAP_SECRET}')) s (kind, name, value)
         join sicantik_notify.provider p on p.provider_type = s.kind;
         update sicantik_notify.provider set uncertain_wait = interval '1 hour'",
        APP_SECRET.replace('\'', "''")
    ))
    .await;
    desk
}

/// Where the daemon listens, as it says.
pub async fn address(daemon: &Daemon) -> String {
    let look = async {
        loop {
            let log = daemon.log();
            if let Some((_, rest)) = log.rsplit_once("Listening for webhooks on http://") {
                let port: String = rest
                    .split(':')
                    .nth(1)
                    .unwrap_or_default()
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                return format!("127.0.0.1:{port}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(address) => address,
        Err(_) => panic!("it does not listen:\n{}", daemon.log()),
    }
}

impl Bench {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn meta(&self) -> MetaWebhooks<'_> {
        self.meta_with(APP_SECRET)
    }

    pub fn meta_with(&self, secret: &str) -> MetaWebhooks<'_> {
        self.desk
            .office
            .gateway
            .meta_webhooks(&self.url("/webhook/meta"), secret)
    }

    pub fn fonnte(&self) -> FonnteWebhooks {
        let path = format!("/webhook/fonnte/{FONNTE_SECRET}");
        self.desk.office.gateway.fonnte_webhooks(&self.url(&path))
    }

    pub fn watzap(&self) -> WatzapWebhooks {
        let path = format!("/webhook/watzap/{WATZAP_SECRET}");
        self.desk.office.gateway.watzap_webhooks(&self.url(&path))
    }

    /// A message through Meta that was accepted and is in the log; message and the provider's id.
    pub async fn sent_through_meta(&self, number: &str) -> (i64, String) {
        self.opt_in(number).await;
        let id = self.desk.message(number).await;
        self.desk
            .until(&format!(
                "select state = 'sent' and provider_type = 'meta' from sicantik_notify.log where id = {id}"
            ))
            .await;
        let external = self
            .desk
            .text(&format!(
                "select external_id from sicantik_notify.log where id = {id}"
            ))
            .await;
        (id, external.expect("Meta gives ids"))
    }

    /// The number has consented, so that Meta is the first provider.
    pub async fn opt_in(&self, number: &str) {
        self.desk
            .sql(&format!(
                "insert into sicantik_notify.consent (phone, opted_in_at) values ('{number}', now()) on conflict do nothing"
            ))
            .await;
    }

    /// Waits until every receipt has found its message.
    pub async fn receipts_taken(&self) {
        self.desk
            .until("select not exists (select from sicantik_notify.receipt_inbox)")
            .await;
    }

    /// The states of a message's receipts, from the first to the last.
    pub async fn told(&self, message: i64) -> Option<String> {
        self.desk
            .text(&format!("select string_agg(state, ' ' order by rank) from sicantik_notify.receipt where message_id = {message}"))
            .await
    }

    pub async fn furthest(&self, message: i64) -> Option<String> {
        self.desk
            .text(&format!(
                "select state from sicantik_notify.receipt_furthest where message_id = {message}"
            ))
            .await
    }
}

/// A raw call; the whole answer as text, empty where the connection was cut.
pub async fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request).await;
    answer(&mut stream).await
}

/// What comes until the end of the connection, or of an answer without a body.
pub async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            text.extend_from_slice(&buffer[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the connection ends");
    String::from_utf8_lossy(&text).into_owned()
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or_else(|_| panic!("no status in {answer:?}"))
}

/// A POST whose connection ends with its answer.
pub fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()
}
