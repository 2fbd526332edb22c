//! From the host's commit to the HTTP request, at ten writes a second, beside the floor: LISTEN, then one committed claim. In turns, on
//! one server, with the daemon as a process and a provider that only takes the time.

use std::time::{Duration, Instant};

use sicantik_notifyd::testkit::host::{self, Volume, generate};
use sicantik_notifyd::testkit::office::Plan;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::ground::{self, OFFICE, number};
use super::table::{Table, Target, percentile};

/// Between two writes of a kind.
const TICK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(table: &mut Table, full: bool) {
    let samples = if full { 1000 } else { 200 };
    let plan = Plan::default();
    let office = ground::office(&plan, true).await;
    let admin = office.admin().await.unwrap();
    let volume = Volume {
        partners: 1_000,
        permits: 2_000,
        documents: 0,
        today: None,
    };
    generate(&admin, &volume, 1).await.unwrap();
    let (url, mut arrivals) = provider().await;
    admin
        .batch_execute(&format!(
            "update sicantik_notify.provider set active = name = 'Fonnte',
                    settings = settings || jsonb_build_object('base_url', '{url}');
             update sicantik_notify.rule set active = code = 'notify_permit_approved', rate_limit_enabled = false, storm_limit = 1000000;
             update sicantik_permit p set status = 'draft', partner_id = 10;"
        ))
        .await
        .unwrap();
    office.run(&["hooks", "install"]).await.unwrap();
    let _daemon = office.daemon("").await.unwrap();
    let host = office.cluster.connect_as(host::OWNER, OFFICE).await.unwrap();
    let mut floor = Floor::new(&office.cluster.url(OFFICE), &admin).await;
    let first = number(&admin, "select max(id)::bigint - 2000 from sicantik_permit").await;
    admin
        .batch_execute("truncate sicantik_notify.event")
        .await
        .unwrap();
    // The first ones find no cached plan, no open connection.
    for n in 0..20 {
        ours(&host, &mut arrivals, first + n).await;
        floor.once().await;
    }
    ground::profile_begin(&admin).await;
    let (mut latencies, mut floors) = (Vec::new(), Vec::new());
    let mut next = Instant::now();
    for n in 0..samples {
        next = (next + TICK / 2).max(Instant::now());
        tokio::time::sleep_until(next.into()).await;
        floors.push(floor.once().await);
        next = (next + TICK / 2).max(Instant::now());
        tokio::time::sleep_until(next.into()).await;
        latencies.push(ours(&host, &mut arrivals, first + 20 + n).await);
    }
    ground::profile_end(&admin, "latency", latencies.len() as f64).await;
    for (part, name, target) in [(0.5, "p50", 4.0), (0.99, "p99", 8.0)] {
        let (ours, floor) = (percentile(&latencies, part), percentile(&floors, part));
        table.ratio(
            &format!("d. commit to HTTP request, {name}"),
            format!("{ours:.2} ms"),
            format!("LISTEN + claim: {floor:.2} ms"),
            ours / floor,
            Target::AtMost(target),
        );
    }
}

/// One permit is approved; milliseconds until its message is on the wire.
async fn ours(host: &Client, arrivals: &mut mpsc::UnboundedReceiver<Instant>, permit: i64) -> f64 {
    while arrivals.try_recv().is_ok() {}
    host.batch_execute("begin isolation level repeatable read")
        .await
        .unwrap();
    host.execute(
        "update sicantik_permit set status = 'active', write_uid = 2, write_date = now() at time zone 'UTC' where id in ($1)",
        &[&(permit as i32)],
    )
    .await
    .unwrap();
    host.batch_execute("commit").await.unwrap();
    let begun = Instant::now();
    let arrived = tokio::time::timeout(PATIENCE, arrivals.recv())
        .await
        .unwrap()
        .unwrap();
    arrived.saturating_duration_since(begun).as_secs_f64() * 1000.0
}

/// A message in a bare queue, and who waits for it.
struct Floor {
    writer: Client,
    claimer: Client,
    claim: tokio_postgres::Statement,
    told: mpsc::UnboundedReceiver<()>,
}

impl Floor {
    async fn new(url: &str, admin: &Client) -> Self {
        admin
            .batch_execute(
                "create table floor_queue (id bigint generated always as identity primary key, status smallint not null default 0,
                                           locked_at timestamptz, payload jsonb not null);
                 create index on floor_queue (id) where status = 0",
            )
            .await
            .unwrap();
        let (listener, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(_)) && tell.send(()).is_err() {
                    return;
                }
            }
        });
        listener.batch_execute("listen floor").await.unwrap();
        std::mem::forget(listener);
        let connect = || async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        };
        let claimer = connect().await;
        let claim = claimer
            .prepare(
                "update floor_queue set status = 1, locked_at = now()
                 where id = (select id from floor_queue where status = 0 order by id for update skip locked limit 1) returning payload",
            )
            .await
            .unwrap();
        Self {
            writer: connect().await,
            claimer,
            claim,
            told,
        }
    }

    async fn once(&mut self) -> f64 {
        self.writer
            .batch_execute("begin; insert into floor_queue (payload) values ('{}'); notify floor; commit")
            .await
            .unwrap();
        let begun = Instant::now();
        self.told.recv().await.unwrap();
        assert_eq!(self.claimer.query(&self.claim, &[]).await.unwrap().len(), 1);
        begun.elapsed().as_secs_f64() * 1000.0
    }
}

/// A provider that says when a request has come, and accepts it.
pub async fn provider() -> (String, mpsc::UnboundedReceiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, arrivals) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, tell.clone()));
        }
    });
    (url, arrivals)
}

async fn answer(mut stream: TcpStream, tell: mpsc::UnboundedSender<Instant>) {
    let _ = stream.set_nodelay(true);
    let (mut seen, mut chunk) = (Vec::new(), [0_u8; 16 * 1024]);
    let mut number = 0_u64;
    while let Ok(read) = stream.read(&mut chunk).await {
        if read == 0 {
            return;
        }
        let at = Instant::now();
        seen.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head
            .split_once("content-length:")
            .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<usize>().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        seen.clear();
        // The account's own check is no message.
        if head.starts_with("post /send") {
            let _ = tell.send(at);
        }
        number += 1;
        let body = format!(
            r#"{{"status":true,"detail":"success! message in queue","id":["{number}"],"process":"pending","requestid":{number}}}"#
        );
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
