//! A server that records each request and answers, hangs or hangs up as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does once it has read a request.
#[derive(Clone)]
pub enum Act {
    /// Writes these bytes and closes.
    Write(Vec<u8>),
    /// Answers the first request of a connection and hangs up on the second.
    WriteOnce(Vec<u8>),
    /// Closes without a word.
    HangUp,
    /// Never answers, and keeps the connection.
    Hang,
    /// Closes before it reads anything.
    HangUpUnread,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub struct Server {
    pub address: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.extend(serve(stream, &act, &seen).await);
            }
        });
        Self { address, requests }
    }

    pub async fn answering(status: u16, body: &str) -> Self {
        Self::start(Act::Write(response(status, "", body))).await
    }

    pub fn only_request(&self) -> Request {
        let requests = self.requests.lock().unwrap();
        assert_eq!(requests.len(), 1, "exactly one request");
        requests[0].clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Returns the stream if it is to be kept open.
async fn serve(mut stream: TcpStream, act: &Act, seen: &Mutex<Vec<Request>>) -> Option<TcpStream> {
    if matches!(act, Act::HangUpUnread) {
        return None;
    }
    let request = read_request(&mut stream).await?;
    seen.lock().unwrap().push(request);
    match act {
        Act::Write(bytes) => {
            stream.write_all(bytes).await.ok()?;
            stream.shutdown().await.ok()?;
            None
        }
        Act::WriteOnce(bytes) => {
            stream.write_all(bytes).await.ok()?;
            let second = read_request(&mut stream).await?;
            seen.lock().unwrap().push(second);
            None
        }
        Act::Hang => Some(stream),
        Act::HangUp | Act::HangUpUnread => None,
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse_request(&bytes) {
            return Some(request);
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse_request(bytes: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    (body.len() >= length).then(|| Request {
        line,
        headers,
        body: body.to_owned(),
    })
}

pub fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
