//! Kill -9 of the daemon and of the server at random points under load: no event is lost, none is doubled.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sicantik_notifyd::config::Backend;

use crate::load::{Load, compare, prepare};
use crate::stand::{CAPTURE_ONLY, Stand};

async fn crash(seed: u64, rounds: usize, server: f64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut stand = Stand::open(Backend::Logical).await;
    prepare(&stand).await;
    let load = Load::begin(&stand, 6, seed);
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..600))).await;
        if rng.random_bool(server) {
            stand.office.cluster.kill().await.unwrap();
            stand.office.cluster.restart().await.unwrap();
            stand.admin = stand.office.admin().await.unwrap();
        }
        if rng.random_bool(0.7) {
            stand.daemon.kill().await.unwrap();
            stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
        }
    }
    load.more(20).await;
    load.end().await;
    stand.settle().await;
    compare(&stand).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_daemon() {
    crash(11, 12, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_server_and_the_daemon() {
    crash(12, 8, 0.6).await;
}

/// Two daemons: one reads, the other takes over.
#[tokio::test(flavor = "multi_thread")]
async fn another_instance_takes_over() {
    let mut stand = Stand::open(Backend::Logical).await;
    prepare(&stand).await;
    let mut other = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
    let waits = async {
        while !other.log().contains("waits to take over") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits)
        .await
        .expect("one reads, the other waits");
    let load = Load::begin(&stand, 4, 13);
    for _ in 0..3 {
        load.more(50).await;
        // Whichever reads: the one that was killed begins again and waits.
        std::mem::swap(&mut stand.daemon, &mut other);
        stand.daemon.kill().await.unwrap();
        stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
    }
    load.end().await;
    stand.settle().await;
    compare(&stand).await;
}
