//! Meta's calls are passed on to Odoo, as they came.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use crate::bench::{APP_SECRET, bench_with};
use crate::desk::PATIENCE;

type Calls = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Plays Odoo: refuses the first so many calls, and keeps all.
async fn odoo(refuses: usize) -> (String, Calls) {
    let calls: Calls = Arc::default();
    let kept = calls.clone();
    let router = Router::new().route(
        "/whatsapp/webhook",
        post(move |headers: HeaderMap, body: Bytes| async move {
            let mut calls = kept.lock().unwrap();
            calls.push((headers, body));
            if calls.len() > refuses {
                StatusCode::OK
            } else {
                StatusCode::BAD_GATEWAY
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/whatsapp/webhook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

async fn until_called(calls: &Calls, times: usize) {
    let look = async {
        while calls.lock().unwrap().len() < times {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .expect("Odoo is called");
}

#[tokio::test(flavor = "multi_thread")]
async fn body_and_signature_reach_odoo_and_again_until_it_takes_them() {
    let (url, calls) = odoo(1).await;
    let bench = bench_with(&format!("forward_to = \"{url}\"\n")).await;
    // What is not signed is not passed on, and what has an é in it stays as Meta wrote it.
    assert_eq!(
        bench
            .meta_with("wrong")
            .send_inbound("6281200006001", "x")
            .await
            .unwrap(),
        403
    );
    assert_eq!(
        bench.meta().send_inbound("6281200006001", "Café").await.unwrap(),
        200
    );
    until_called(&calls, 2).await;
    for (headers, body) in calls.lock().unwrap().iter() {
        let text = std::str::from_utf8(body).unwrap();
        assert!(text.contains("Caf\\u00e9"), "{text}");
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(APP_SECRET.as_bytes()).unwrap();
        mac.update(body);
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(headers["x-hub-signature-256"], format!("sha256={hex}"));
        assert_eq!(headers["content-type"], "application/json");
    }
    // Stored by us as well.
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.inbound where phone = '+6281200006001'")
            .await,
        1
    );
    // Gateways' calls are not Odoo's.
    assert_eq!(
        bench.fonnte().send_inbound("6281200006002", "x").await.unwrap(),
        200
    );
    assert_eq!(
        bench.meta().send_inbound("6281200006003", "y").await.unwrap(),
        200
    );
    until_called(&calls, 3).await;
    assert!(String::from_utf8_lossy(&calls.lock().unwrap()[2].1).contains("6281200006003"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odoo_that_is_away_neither_slows_meta_nor_the_stop() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    // Accepts, and never answers.
    let mut bench = bench_with(&format!("forward_to = \"http://{address}/whatsapp/webhook\"\n")).await;
    for n in 0..20 {
        assert_eq!(
            bench
                .meta()
                .send_inbound("6281200006010", &format!("{n}"))
                .await
                .unwrap(),
            200
        );
    }
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.inbound_message")
            .await,
        20
    );
    bench.daemon.signal("TERM").await.unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), bench.daemon.wait()).await;
    assert!(ended.expect("within ten seconds").unwrap().success());
    assert!(
        bench.daemon.log().contains("waited for Odoo is lost to it"),
        "{}",
        bench.daemon.log()
    );
}
