//! The daemon through a real pgbouncer in transaction mode: nothing of it rests on the server's session, and nothing is lost where
//! nobody can be woken.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "pooler/bouncer.rs"]
mod bouncer;
mod desk;

use std::collections::BTreeSet;

use bouncer::{Bouncer, SESSIONS};
use desk::{Desk, approve, citizens, desk};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sicantik_notifyd::db::Endpoint;
use sicantik_notifyd::testkit::office::{DATABASE, Daemon, RUNTIME};

/// What a DBA does for the pooler, as the documentation says.
const ROLE: &str = "alter role sicantik_notifyd in database sicantik set search_path = pg_catalog, pg_temp;
                    alter role sicantik_notifyd in database sicantik set synchronous_commit = on";

async fn prepared() -> (Desk, Bouncer) {
    let desk = desk().await;
    desk.sql(ROLE).await;
    let bouncer = Bouncer::start(&desk.office, "");
    (desk, bouncer)
}

fn config(desk: &Desk, direct: bool) -> String {
    let direct = match direct {
        true => format!(
            "direct_url = \"{}\"\n",
            desk.office.cluster.url_as(RUNTIME, DATABASE)
        ),
        false => String::new(),
    };
    // Polls are slow where a notification is to bring the events.
    let poll = if direct.is_empty() { 50 } else { 20_000 };
    format!(
        "[database]\npooler = true\n{direct}[capture]\npoll_interval_ms = {poll}\n[deliver]\npoll_interval_ms = 50\nheartbeat_ms = 200\n"
    )
}

async fn daemon(desk: &Desk, bouncer: &Bouncer, config: &str) -> Daemon {
    let state = desk.office.folder().join("state");
    let daemon = desk
        .office
        .daemon_at(&bouncer.url(), config, &state)
        .await
        .unwrap();
    desk.until("exists (select from sicantik_notify.instance)").await;
    desk.until("exists (select from sicantik_notify.capture_publication where model = 'sicantik.permit')")
        .await;
    daemon
}

/// Sessions of the daemon at the server that come through the pooler, which connects as a process of its own.
const POOLED: &str =
    "select count(*) from pg_stat_activity where usename = 'sicantik_notifyd' and datname = 'sicantik'
                      and query not like 'listen %'";

#[tokio::test(flavor = "multi_thread")]
async fn changes_become_messages_through_a_pooler_and_a_direct_connection_listens() {
    let (desk, bouncer) = prepared().await;
    let daemon = daemon(&desk, &bouncer, &config(&desk, true)).await;
    let mut odoo = desk.odoo().await;
    let permits = citizens(&mut odoo, 60).await;
    // Asleep: the first change is brought by its notification, over the direct connection, for polls are 20 s apart.
    desk.until(
        "exists (select from pg_stat_activity where usename = 'sicantik_notifyd' and query like 'listen %')",
    )
    .await;
    approve(&mut odoo, &[permits[0].0]).await;
    desk.accepted(1).await;
    // One after the other, so that statements of many transactions meet in few sessions.
    for part in permits[1..].chunks(5) {
        approve(&mut odoo, &part.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await;
    }
    let accepted = desk.accepted(60).await;
    desk.drained().await;
    let told: BTreeSet<_> = accepted.iter().map(|a| a.to.clone()).collect();
    assert_eq!((accepted.len(), told.len()), (60, 60), "each once");
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where state = 'sent'")
            .await,
        60
    );

    // Schedules are led through the pooler as well, and its jobs run.
    desk.sql("select sicantik_notify.cron_run_now('process_queue')")
        .await;
    desk.until(
        "exists (select from sicantik_notify.v_cron_run where code = 'process_queue' and outcome = 'done')",
    )
    .await;

    let sessions = desk.number(POOLED).await;
    assert!(
        (1..=SESSIONS as i64).contains(&sessions),
        "all but LISTEN goes through the pooler: {sessions}"
    );
    let log = daemon.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    let quarrel = bouncer.log();
    assert!(!quarrel.contains("prepared statement"), "{quarrel}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_around_the_pooler_polling_delivers_and_the_doctor_says_so() {
    let (desk, bouncer) = prepared().await;
    let text = config(&desk, false);
    let daemon = daemon(&desk, &bouncer, &text).await;
    assert!(
        daemon.log().contains("looks for events every 50 ms"),
        "{}",
        daemon.log()
    );
    let mut odoo = desk.odoo().await;
    let permits = citizens(&mut odoo, 5).await;
    approve(&mut odoo, &permits.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await;
    desk.accepted(5).await;
    desk.drained().await;

    let file = desk.office.folder().join("pooled.toml");
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let run = async |arguments: &[&str]| {
        let mut command = desk.office.command(&[arguments, &["--config", file]].concat());
        let output = command
            .env("SICANTIK_NOTIFYD_DATABASE_URL", bouncer.url())
            .env_remove("SICANTIK_NOTIFYD_OWNER_URL")
            .env_remove("SICANTIK_NOTIFYD_OPERATOR_URL")
            .output()
            .await
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = run(&["doctor"]).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("LISTEN is not to be had through the pooler"),
        "{said}"
    );
    assert!(
        said.contains("set database.direct_url to PostgreSQL itself"),
        "{said}"
    );
    // A command sets and locks what a pooler would lose, or give to others.
    for arguments in [&["status"][..], &["migrate"], &["queue", "list"]] {
        let (code, said) = run(arguments).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("SICANTIK_NOTIFYD_DIRECT_URL"), "{said}");
    }
    std::fs::write(file, config(&desk, true)).unwrap();
    let (_, said) = run(&["doctor"]).await;
    assert!(said.contains("LISTEN works, around the pooler"), "{said}");
    let (code, said) = run(&["status"]).await;
    assert!(matches!(code, Some(0 | 3)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_restarts_loses_and_doubles_nothing() {
    let (desk, mut bouncer) = prepared().await;
    let daemon = daemon(&desk, &bouncer, &config(&desk, true)).await;
    let mut odoo = desk.odoo().await;
    let permits = citizens(&mut odoo, 30).await;
    for (index, (permit, _)) in permits.iter().enumerate() {
        approve(&mut odoo, &[*permit]).await;
        if index == 10 || index == 20 {
            bouncer.kill();
            bouncer.run();
        }
    }
    desk.accepted(30).await;
    desk.drained().await;
    let accepted = desk.accepted(30).await;
    let told: BTreeSet<_> = accepted.iter().map(|a| a.to.clone()).collect();
    assert_eq!(told.len(), 30);
    let flagged = desk
        .number("select count(*) from sicantik_notify.log where possible_duplicate")
        .await;
    assert!(
        accepted.len() as i64 <= 30 + flagged,
        "{} for 30, {flagged} flagged\n{}",
        accepted.len(),
        daemon.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_not_told_of_the_pooler_says_what_to_do() {
    let desk = desk().await;
    let refusing = Bouncer::start(&desk.office, "");
    let dropping = Bouncer::start(&desk.office, "ignore_startup_parameters = options");
    let state = desk.office.folder().join("state");
    let ended = async |url: &str, config: &str| {
        let mut daemon = desk.office.daemon_at(url, config, &state).await.unwrap();
        assert!(!daemon.wait().await.unwrap().success());
        daemon.log()
    };
    let log = ended(&refusing.url(), "").await;
    assert!(
        log.contains("unsupported startup parameter") && log.contains("`database.pooler = true`"),
        "{log}"
    );
    // Told not to mind, pgbouncer drops what makes a session safe.
    let log = ended(&dropping.url(), "").await;
    assert!(
        log.contains("the session's search_path is") && log.contains("`database.pooler = true`"),
        "{log}"
    );
    // Told of it: the role must bring the settings, and the message is the statement.
    let log = ended(&refusing.url(), "[database]\npooler = true\n").await;
    let statement = "alter role sicantik_notifyd in database sicantik set search_path = pg_catalog,pg_temp";
    assert!(log.contains(statement), "{log}");
    desk.sql(statement).await;
    desk.sql("alter database sicantik set synchronous_commit = off")
        .await;
    let console = tokio_postgres::connect(&refusing.url_of("pgbouncer"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(console.1);
    console.0.simple_query("RECONNECT").await.unwrap();
    let log = ended(&refusing.url(), "[database]\npooler = true\n").await;
    assert!(log.contains("set synchronous_commit = on"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_to_a_pooler_is_verified_as_to_a_server() {
    let desk = desk().await;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let files = [("crt", &*certificate), ("key", &key.serialize_pem()), ("ca", &ca)];
    let settings =
        "client_tls_sslmode = require\nclient_tls_cert_file = {place}/crt\nclient_tls_key_file = {place}/key";
    let bouncer = Bouncer::start_on_tcp(&desk.office, settings, &files);
    let endpoint = |url: &str| Endpoint::parse(url, None).unwrap().through_pooler(true);

    let ca = bouncer.place().join("ca");
    let client = endpoint(&bouncer.tcp_url(&format!("sslrootcert={}", ca.display())))
        .connect()
        .await
        .unwrap();
    // Prepared by name, executed in many transactions, with rows that are longer than a packet.
    let statement = client.prepare("select repeat($1, $2::int)").await.unwrap();
    for n in [1_i32, 100_000, 3] {
        let row = client.query_one(&statement, &[&"x", &n]).await.unwrap();
        assert_eq!(row.get::<_, String>(0).len(), n as usize);
        // An error ends nothing but its statement.
        assert!(client.query_one("select 1 / $1::int", &[&0]).await.is_err());
    }
    let refused = endpoint(&bouncer.tcp_url("sslmode=verify-full")).connect().await;
    let error = refused.err().unwrap().to_string();
    assert!(
        error.contains("name the CA that signed the server's certificate"),
        "{error}"
    );

    let plain = Bouncer::start_on_tcp(&desk.office, "", &[]);
    let error = endpoint(&plain.tcp_url(""))
        .connect()
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("client_tls_sslmode") && error.contains("sslmode=disable"),
        "{error}"
    );
    endpoint(&plain.tcp_url("sslmode=disable"))
        .connect()
        .await
        .unwrap();
    let gone = plain.tcp_url("sslmode=disable");
    drop(plain);
    let error = endpoint(&gone).connect().await.err().unwrap().to_string();
    assert!(error.contains("check that PostgreSQL runs"), "{error}");
}
