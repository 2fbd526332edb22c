//! Who is believed, and what becomes of calls that are wrong, too long, too slow or too many.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::bench::{
    FONNTE_SECRET, VERIFY_TOKEN, WATZAP_SECRET, answer, bench, bench_with, get, post, raw, status,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_wants_the_right_token_and_echoes_plain_text() {
    let bench = bench().await;
    let meta = bench.meta();
    assert!(meta.handshake(VERIFY_TOKEN).await.unwrap());
    for wrong in ["", "the-verify-toke", "the-verify-tokenn", "THE-VERIFY-TOKEN"] {
        assert!(!meta.handshake(wrong).await.unwrap(), "{wrong}");
    }
    let ask = |query: &str| get(&format!("/webhook/meta?{query}"));
    let right = raw(
        &bench.address,
        &ask(&format!(
            "hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=%3Cb%3E1"
        )),
    )
    .await;
    assert_eq!(status(&right), 200);
    assert!(
        right.to_lowercase().contains("content-type: text/plain") && right.ends_with("<b>1"),
        "{right}"
    );
    for query in [
        String::new(),
        format!("hub.mode=unsubscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"),
        format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}"),
        "hub.mode=subscribe&hub.challenge=1".to_owned(),
    ] {
        assert_eq!(status(&raw(&bench.address, &ask(&query)).await), 403, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_app_signed_is_believed() {
    let bench = bench().await;
    let (_, external) = bench.sent_through_meta("+6281200005001").await;
    let wrong = bench.meta_with("the app's secret ");
    assert_eq!(wrong.send_status(&external, "delivered").await.unwrap(), 403);
    assert_eq!(
        bench.meta().send_status(&external, "delivered").await.unwrap(),
        200
    );
    let body = r#"{"object":"whatsapp_business_account","entry":[]}"#;
    for (header, expected) in [
        ("", 401),
        ("x-hub-signature-256: \r\n", 403),
        ("x-hub-signature-256: sha256=00\r\n", 403),
        (
            "x-hub-signature: sha1=5bdcc146bf60754e6a042426089575c75a003f08\r\n",
            401,
        ),
    ] {
        let answer = raw(&bench.address, &post("/webhook/meta", header, body)).await;
        assert_eq!(status(&answer), expected, "{header}");
    }
    // The gateway signs well-formed JSON only; signed nonsense needs the key.
    let right = raw(&bench.address, &post("/webhook/meta", &signed(body), body)).await;
    assert_eq!(status(&right), 200);
    let cut = &body[..30];
    assert_eq!(
        status(&raw(&bench.address, &post("/webhook/meta", &signed(cut), cut)).await),
        400
    );
    // Signed whole, sent in part: the signature is of other bytes.
    assert_eq!(
        status(&raw(&bench.address, &post("/webhook/meta", &signed(body), cut)).await),
        403
    );
    bench.receipts_taken().await;
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.receipt")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_show_their_secret_in_path_or_header() {
    let bench = bench().await;
    let body = json!({ "device": "628110000000", "id": "1", "status": "pending" }).to_string();
    let header = |secret: &str| format!("x-webhook-secret: {secret}\r\n");
    for (path, headers, expected) in [
        (format!("/webhook/fonnte/{FONNTE_SECRET}"), String::new(), 200),
        ("/webhook/fonnte".to_owned(), header(FONNTE_SECRET), 200),
        ("/webhook/fonnte".to_owned(), String::new(), 401),
        ("/webhook/fonnte".to_owned(), header("x"), 403),
        (format!("/webhook/fonnte/{WATZAP_SECRET}"), String::new(), 403),
        ("/webhook/fonnte/x".to_owned(), header(FONNTE_SECRET), 403),
        (format!("/webhook/watzap/{WATZAP_SECRET}"), String::new(), 200),
        (format!("/webhook/watzap/{FONNTE_SECRET}"), String::new(), 403),
        (format!("/webhook/other/{FONNTE_SECRET}"), String::new(), 404),
    ] {
        let answer = raw(&bench.address, &post(&path, &headers, &body)).await;
        assert_eq!(status(&answer), expected, "{path} {headers}");
    }
    let path = format!("/webhook/fonnte/{FONNTE_SECRET}");
    assert_eq!(
        status(&raw(&bench.address, &post(&path, "", &body[..20])).await),
        400
    );
    assert_eq!(status(&raw(&bench.address, &get(&path)).await), 405);
    // Not in the journal.
    let log = bench.daemon.log();
    assert!(
        !log.contains(FONNTE_SECRET) && !log.contains(WATZAP_SECRET),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_a_secret_is_not_believed() {
    let bench = bench().await;
    bench
        .desk
        .sql(
            "update sicantik_notify.provider_secret set value = '' where name = 'webhook_secret';
             delete from sicantik_notify.provider_secret where name in ('app_secret', 'verify_token')",
        )
        .await;
    // What was known before counts for two more seconds, and nothing was asked yet.
    let body = "{}";
    for path in ["/webhook/fonnte", "/webhook/watzap"] {
        let answer = raw(&bench.address, &post(path, "x-webhook-secret: \r\n", body)).await;
        assert_eq!(status(&answer), 403, "{path}");
    }
    assert_eq!(
        bench.meta_with("").send_status("wamid.1", "sent").await.unwrap(),
        403
    );
    assert!(!bench.meta().handshake("").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_slow_and_broken_bodies_end_by_themselves() {
    let bench = bench().await;
    let path = format!("/webhook/fonnte/{FONNTE_SECRET}");
    // 10 MB, announced and in chunks.
    let long = "x".repeat(10 * 1024 * 1024);
    assert_eq!(status(&raw(&bench.address, &post(&path, "", &long)).await), 413);
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let mut chunked = TcpStream::connect(&bench.address).await.unwrap();
    chunked
        .write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())
        .await
        .unwrap();
    // A little more than the limit of 4 MiB: the answer comes while the last chunk is on its way.
    let chunk = format!(
        "{:x}\r\n{}\r\n",
        4 * 1024 * 1024 + 1,
        "x".repeat(4 * 1024 * 1024 + 1)
    );
    let _ = chunked.write_all(chunk.as_bytes()).await;
    assert_eq!(status(&answer(&mut chunked).await), 413);
    // A body that never ends, and one that breaks off.
    let announced = format!("{head}content-length: 100\r\n\r\n{{\"id\":");
    let mut slow = TcpStream::connect(&bench.address).await.unwrap();
    slow.write_all(announced.as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut slow).await), 408);
    let mut broken = TcpStream::connect(&bench.address).await.unwrap();
    broken.write_all(announced.as_bytes()).await.unwrap();
    broken.shutdown().await.unwrap();
    let said = answer(&mut broken).await;
    assert!(said.is_empty() || status(&said) == 400, "{said}");
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.receipt_inbox")
            .await,
        0
    );
    // It still works.
    assert_eq!(bench.meta().send_status("wamid.1", "sent").await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_asked_to_come_again_and_stops_no_message() {
    let bench = bench_with("concurrency = 2\n").await;
    let path = format!("/webhook/fonnte/{FONNTE_SECRET}");
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{{");
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&bench.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // Two are at work; whichever comes third hears it at once, the others after their time.
    let mut said = Vec::new();
    for stream in &mut slow {
        said.push(answer(stream).await);
    }
    let refused: Vec<&String> = said.iter().filter(|said| status(said) == 503).collect();
    assert_eq!(refused.len(), 1, "{said:?}");
    assert!(refused[0].to_lowercase().contains("retry-after: "), "{said:?}");
    assert_eq!(
        said.iter().filter(|said| status(said) == 408).count(),
        2,
        "{said:?}"
    );
    // Questions about its health are none of these, nor are messages.
    assert_eq!(status(&raw(&bench.address, &get("/healthz")).await), 200);
    // Far more connections than are served.
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(TcpStream::connect(&bench.address).await.unwrap());
    }
    bench.desk.only("Fonnte").await;
    bench.desk.message("+6281200005010").await;
    bench.desk.accepted(1).await;
    drop(idle);
    // And it recovers.
    let body = json!({ "id": "1", "status": "pending" }).to_string();
    let mut said = String::new();
    while said.is_empty() || status(&said) != 200 {
        said = raw(&bench.address, &post(&path, "", &body)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_stops_nothing_and_the_stop_does_not_wait_for_callers() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let desk = crate::bench::furnished().await;
    desk.only("Fonnte").await;
    let config = format!(
        "{}[http]\nenabled = true\nlisten = \"{}\"\n",
        crate::desk::QUICK,
        taken.local_addr().unwrap()
    );
    let mut daemon = desk.daemon(&config).await;
    desk.message("+6281200005020").await;
    desk.accepted(1).await;
    assert!(
        daemon.log().contains("Cannot listen for webhooks"),
        "{}",
        daemon.log()
    );
    drop(taken);
    let address = crate::bench::address(&daemon).await;
    // One that says nothing, and one in the middle of its body.
    let _idle = TcpStream::connect(&address).await.unwrap();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"POST /webhook/meta HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        .await
        .unwrap();
    daemon.signal("TERM").await.unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), daemon.wait()).await;
    assert!(
        ended.expect("within ten seconds").unwrap().success(),
        "{}",
        daemon.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_by_default() {
    let desk = crate::desk::desk().await;
    let daemon = desk.quick().await;
    desk.only("Fonnte").await;
    desk.message("+6281200005030").await;
    desk.accepted(1).await;
    assert!(!daemon.log().contains("Listening for webhooks"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_truncated_changes_nothing_and_the_whole_one_still_counts() {
    let bench = bench().await;
    let (id, external) = bench.sent_through_meta("+6281200005040").await;
    let value = json!({ "messaging_product": "whatsapp",
        "metadata": { "phone_number_id": sicantik_notifyd::testkit::gateway::Gateway::META_PHONE_ID },
        "statuses": [{ "id": external, "status": "delivered", "timestamp": "1795300000" }] });
    let body = json!({ "object": "whatsapp_business_account",
        "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": value }] }] })
    .to_string();
    let signature = signed(&body);
    for length in [0, 1, 40, body.len() - 1] {
        // Announced as short as it is: the signature is of other bytes.
        let said = raw(
            &bench.address,
            &post("/webhook/meta", &signature, &body[..length]),
        )
        .await;
        assert_eq!(status(&said), 403, "{length} bytes");
        // Announced whole, and cut in the middle.
        let mut cut = TcpStream::connect(&bench.address).await.unwrap();
        let head = format!(
            "POST /webhook/meta HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{signature}content-length: {}\r\n\r\n{}",
            body.len(),
            &body[..length]
        );
        cut.write_all(head.as_bytes()).await.unwrap();
        cut.shutdown().await.unwrap();
        let said = answer(&mut cut).await;
        assert!(said.is_empty() || status(&said) == 400, "{length} bytes: {said}");
    }
    let stored = "select (select count(*) from sicantik_notify.receipt_inbox) + (select count(*) from sicantik_notify.receipt)";
    assert_eq!(bench.desk.number(stored).await, 0);
    // Meta comes again, and then it counts.
    let said = raw(&bench.address, &post("/webhook/meta", &signature, &body)).await;
    assert_eq!(status(&said), 200);
    bench.receipts_taken().await;
    assert_eq!(bench.told(id).await.as_deref(), Some("delivered"));
}

/// The header with the app's signature of a body.
fn signed(body: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(crate::bench::APP_SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("x-hub-signature-256: sha256={hex}\r\n")
}
