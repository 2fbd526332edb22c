//! `/healthz` and `/readyz`.

use sicantik_notifyd::testkit::postgres::StopMode;

use crate::bench::{APP_SECRET, bench, get, raw, status};
use crate::desk::PATIENCE;

async fn ready(address: &str) -> (u16, serde_json::Value) {
    let answer = raw(address, &get("/readyz")).await;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    (
        status(&answer),
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")),
    )
}

async fn until_ready(address: &str, wanted: u16) -> serde_json::Value {
    let look = async {
        loop {
            let (code, told) = ready(address).await;
            if code == wanted {
                return told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_means_that_the_database_is_there_and_alive_only_that_the_process_is() {
    let bench = bench().await;
    let told = until_ready(&bench.address, 200).await;
    assert_eq!(
        told,
        serde_json::json!({ "ready": true, "database": "ok", "schema": "ok", "armed": true,
                            "stages": { "evaluate": "ok", "deliver": "ok" } })
    );
    bench.desk.office.cluster.stop(StopMode::Immediate).await.unwrap();
    let told = until_ready(&bench.address, 503).await;
    assert_eq!(
        (told["ready"].clone(), told["database"].clone()),
        (false.into(), "away".into())
    );
    assert_eq!(status(&raw(&bench.address, &get("/healthz")).await), 200);
    // Nothing is lost: Meta is asked to come again.
    let answered = bench.meta().send_status("wamid.1", "sent").await.unwrap();
    assert_eq!(answered, 503);
    bench.desk.office.cluster.restart().await.unwrap();
    until_ready(&bench.address, 200).await;
    assert_eq!(bench.meta().send_status("wamid.1", "sent").await.unwrap(), 200);
    assert!(!bench.daemon.log().contains(APP_SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_may_not_send_is_ready_and_says_so() {
    let bench = bench().await;
    bench.desk.sql("delete from sicantik_notify.arming").await;
    let look = async {
        while ready(&bench.address).await.1["armed"] != false {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("in time");
    assert_eq!(ready(&bench.address).await.0, 200);
    // A schema that is not this binary's.
    bench
        .desk
        .sql("insert into sicantik_notify.schema_history (version, name, applied_on, checksum) values (9999, 'x', '', '1')")
        .await;
    assert_eq!(until_ready(&bench.address, 503).await["schema"], "wrong");
}
