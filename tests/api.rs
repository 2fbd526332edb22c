//! The HTTP API, with the real daemon: its description is true, a key fires once, and nobody learns what his token does not name.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "webhooks/bench.rs"]
mod bench;
mod desk;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bench::{Bench, bench_with, raw};
use desk::Desk;
use serde_json::{Value, json};
use sicantik_notifyd::testkit::office::RUNTIME;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_postgres::error::SqlState;

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn code(&self) -> String {
        let json = self.json();
        assert!(
            json["error"]["message"].is_string() && json["error"].get("hint").is_some(),
            "{json}"
        );
        json["error"]["code"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|l| l.split_once(": "));
        let found = lines.find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(found.1.to_owned())
    }
}

fn read(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    Answer {
        status: bench::status(text),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn call(address: &str, method: &str, path: &str, token: &str, headers: &str, body: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}");
    if !token.is_empty() {
        write!(request, "authorization: Bearer {token}\r\n").unwrap();
    }
    write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    read(&raw(address, request.as_bytes()).await)
}

async fn post(bench: &Bench, trigger: &str, token: &str, headers: &str, body: &str) -> Answer {
    call(
        &bench.address,
        "POST",
        &format!("/v1/triggers/{trigger}"),
        token,
        headers,
        body,
    )
    .await
}

/// Triggers `called` (api, with a rule), `other` (api), `asleep` (api, inactive), `by_hand` (manual); no rate limit that a test meets.
async fn stand(more: &str) -> Bench {
    let mut settings = more.to_owned();
    if !settings.contains("api_requests_per_minute") {
        settings.push_str("api_requests_per_minute = 1000\n");
    }
    let bench = bench_with(&settings).await;
    bench
        .desk
        .sql(
            "insert into sicantik_notify.trigger (code, name, active, model, trigger_type) values
                 ('called', 'x', true, 'sicantik.permit', 'api'), ('other', 'x', true, 'sicantik.permit', 'api'),
                 ('asleep', 'x', false, 'sicantik.permit', 'api'), ('by_hand', 'x', true, 'sicantik.permit', 'manual');
             insert into sicantik_notify.rule (code, name, trigger, template_key, rate_limit_enabled, condition_python)
             values ('called', 'x', 'called', 'permit_ready', false, 'kwargs.get(\"why\") == \"sync\"')",
        )
        .await;
    bench
}

async fn token(desk: &Desk, name: &str, triggers: &str, domain: bool) -> String {
    let made = format!("select sicantik_notify.api_token_create('{name}', {triggers}, null, {domain})");
    desk.text(&made).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_programme_fires_a_trigger_and_explain_names_its_token() {
    let bench = stand("").await;
    let secret = token(&bench.desk, "sicantik-sync", "array['called']", false).await;
    assert!(secret.starts_with("snt_") && secret.len() == 68, "{secret}");
    let body = r#"{"model": "sicantik.permit", "ids": [1, 1, 2], "parameters": {"why": "sync"}}"#;
    let answer = post(&bench, "called", &secret, "", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let json = answer.json();
    assert_eq!((&json["trigger"], &json["events"]), (&json!("called"), &json!(2)));
    let told = bench.desk.accepted(2).await;
    assert_eq!(told.len(), 2);
    let run = bench
        .desk
        .text("select concat_ws(' ', run, trigger, source, fired_by, events) from sicantik_notify.v_firing")
        .await;
    assert_eq!(
        run.unwrap(),
        format!("{} called api sicantik-sync 2", json["run"].as_str().unwrap())
    );
    let explained = bench
        .desk
        .office
        .run(&["explain", "--record", "sicantik.permit,1"])
        .await
        .unwrap();
    assert!(
        explained.contains("for the trigger called, fired by token sicantik-sync at "),
        "{explained}"
    );
    // The token is nowhere: not in the database, not in the log.
    let hidden = secret.trim_start_matches("snt_");
    let tables = "select string_agg(x, '') from (select t::text as x from sicantik_notify.api_token t
                  union all select t::text from sicantik_notify.v_api_token t union all select t::text from sicantik_notify.api_request t) y";
    assert!(!bench.desk.text(tables).await.unwrap().contains(hidden));
    assert!(!bench.daemon.log().contains(hidden));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_true_every_path_status_and_code() {
    let settings =
        "concurrency = 2\napi_max_records = 3\napi_max_body_bytes = 1024\napi_requests_per_minute = 100\n";
    let bench = stand(settings).await;
    let desk = &bench.desk;
    let all = token(desk, "all", "null", true).await;
    let ids = token(desk, "ids", "array['called']", false).await;
    let described = call(&bench.address, "GET", "/v1/openapi.json", "", "", "").await;
    assert_eq!(described.status, 200);
    let spec = described.json();

    // What it promises: path, method, status, code.
    let codes = |response: &Value| -> Vec<String> {
        let narrowed = &response["content"]["application/json"]["schema"]["allOf"][1];
        let codes = narrowed["properties"]["error"]["properties"]["code"]["enum"].as_array();
        codes.map_or(vec![String::new()], |c| {
            c.iter().map(|c| c.as_str().unwrap().to_owned()).collect()
        })
    };
    let mut promised = BTreeSet::new();
    let mut named = BTreeSet::new();
    let mut promise = |path: &str, method: &str, responses: &Value| {
        for (status, response) in responses.as_object().unwrap() {
            for code in codes(response) {
                named.insert(code.clone());
                promised.insert(format!("{method} {path} {status} {code}"));
            }
        }
    };
    for (path, methods) in spec["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            promise(path, &method.to_uppercase(), &operation["responses"]);
        }
        promise(path, "DELETE", &spec["x-errors-of-all-paths"]);
    }
    promise("/v1/other", "POST", &spec["x-errors-of-other-paths"]);
    named.remove("");
    let listed = &spec["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"];
    let listed: BTreeSet<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(named, listed, "every code is named at a path");

    // What happens.
    let mut seen = BTreeSet::new();
    let mut see = |method: &str, path: &str, answer: &Answer| {
        let code = if answer.status < 300 {
            String::new()
        } else {
            answer.code()
        };
        seen.insert(format!("{method} {path} {} {code}", answer.status));
    };
    const FIRE: &str = "/v1/triggers/{code}";
    see("GET", "/v1/openapi.json", &described);
    for (path, real) in [
        ("/v1/openapi.json", "/v1/openapi.json"),
        (FIRE, "/v1/triggers/called"),
    ] {
        see(
            "DELETE",
            path,
            &call(&bench.address, "DELETE", real, "", "", "").await,
        );
    }
    for path in [
        "/v1/other",
        "/v1",
        "/v1/",
        "/v1/triggers",
        "/v1/triggers/called/more",
    ] {
        see(
            "POST",
            "/v1/other",
            &call(&bench.address, "POST", path, &all, "", "{}").await,
        );
    }
    let key = "idempotency-key: one\r\n";
    let right = r#"{"ids": [1]}"#;
    for (trigger, token, headers, body) in [
        ("called", &all, key, right),
        ("called", &all, key, r#"{"ids": [2]}"#),
        ("called", &all, "", r#"{"domain": "[('id', '=', 1)]"}"#),
        ("called", &all, "", r#"{"domain": "[('nothing', '=', 1)]"}"#),
        ("called", &all, "", r#"{"domain": "[('id', '<', 10)]"}"#),
        ("called", &all, "", r#"{"ids": [1, 2, 3, 4]}"#),
        ("called", &all, "", r#"{"ids": [1], "model": "res.partner"}"#),
        ("called", &all, "", "{"),
        ("called", &all, "", "{}"),
        ("called", &all, "idempotency-key: \r\n", right),
        ("called", &String::new(), "", right),
        ("called", &ids, "", r#"{"domain": "[]"}"#),
        ("nobody", &all, "", right),
        ("%00", &all, "", right),
        ("%ff", &all, "", right),
        ("asleep", &all, "", right),
        (
            "called",
            &all,
            "",
            &format!("{{\"ids\": [1], \"model\": \"{}\"}}", "x".repeat(2000)),
        ),
    ] {
        let answer = post(&bench, trigger, token, headers, body).await;
        see("POST", FIRE, &answer);
        if answer.status == 401 {
            assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
        }
    }
    // Too slow a caller; and while he and another are waited for, nobody else is served.
    let begun = format!(
        "POST /v1/triggers/called HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {all}\r\ncontent-length: 90\r\n\r\n{{"
    );
    let mut slow = Vec::new();
    let busy = loop {
        // One that comes while two are at work is refused itself.
        let mut stream = TcpStream::connect(&bench.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
        let answer = post(&bench, "called", &all, "", right).await;
        if answer.status != 202 {
            break answer;
        }
    };
    assert_eq!(busy.header("retry-after").as_deref(), Some("5"));
    see("POST", FIRE, &busy);
    for mut stream in slow {
        let answer = read(&bench::answer(&mut stream).await);
        see("POST", FIRE, &answer);
    }
    // A table that somebody has locked; a right that is missing; too many calls.
    let before = desk.number("select count(*) from sicantik_notify.firing").await;
    desk.sql("begin; lock table sicantik_notify.event").await;
    see(
        "POST",
        FIRE,
        &post(&bench, "called", &all, "idempotency-key: locked\r\n", right).await,
    );
    desk.sql("rollback; revoke insert on sicantik_notify.firing from sicantik_notifyd")
        .await;
    see("POST", FIRE, &post(&bench, "called", &all, "", right).await);
    desk.sql("grant insert on sicantik_notify.firing to sicantik_notifyd")
        .await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.firing").await,
        before,
        "a failure fires nothing"
    );
    desk.sql("update sicantik_notify.api_rate set requests = 1000")
        .await;
    let limited = post(&bench, "called", &all, "", right).await;
    see("POST", FIRE, &limited);
    let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(seen, promised);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_fires_once_also_when_calls_race_and_is_forgotten_after_a_day() {
    let bench = stand("").await;
    let desk = &bench.desk;
    let secret = token(desk, "sync", "array['called']", false).await;
    let other = token(desk, "other", "array['called']", false).await;
    let (key, body) = ("idempotency-key: 2026-11/7\r\n", r#"{"ids": [1, 2]}"#);
    let calls = (0..8).map(|_| post(&bench, "called", &secret, key, body));
    let answers = futures_util::future::join_all(calls).await;
    let first = answers[0].body.clone();
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (202, &first));
    }
    let replayed = answers
        .iter()
        .filter(|a| a.header("idempotency-replayed").as_deref() == Some("true"));
    assert_eq!(replayed.count(), 7);
    let firings = "select count(*) from sicantik_notify.firing";
    assert_eq!(desk.number(firings).await, 1);
    let refused = post(&bench, "called", &secret, key, r#"{"ids": [1,2]}"#).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "idempotency_mismatch")
    );
    // Keys belong to their token, and what failed did not use its key up.
    assert_eq!(post(&bench, "called", &other, key, body).await.status, 202);
    assert_eq!(desk.number(firings).await, 2);
    let fresh = "idempotency-key: fresh\r\n";
    desk.sql("update sicantik_notify.trigger set active = false where code = 'called'")
        .await;
    assert_eq!(post(&bench, "called", &secret, fresh, body).await.status, 409);
    desk.sql("update sicantik_notify.trigger set active = true where code = 'called'")
        .await;
    assert_eq!(post(&bench, "called", &secret, fresh, body).await.status, 202);
    assert_eq!(desk.number(firings).await, 3);
    // A day later.
    desk.sql("update sicantik_notify.api_request set requested_at = requested_at - interval '25 hours'")
        .await;
    let again = post(&bench, "called", &secret, key, body).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, None));
    assert_eq!(desk.number(firings).await, 4);
    assert_eq!(desk.number("select sicantik_notify.firing_forget()").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_right_learns_nothing() {
    let bench = stand("").await;
    let desk = &bench.desk;
    let narrow = token(desk, "narrow", "array['called']", true).await;
    let wide = token(desk, "wide", "null", false).await;
    let body = r#"{"ids": [1], "parameters": {"why": "sync"}}"#;
    // What the token does not name looks like what does not exist, whatever it is.
    let mut said = BTreeSet::new();
    for code in ["other", "asleep", "by_hand", "permit_expiring", "nobody", "caled"] {
        let answer = post(&bench, code, &narrow, "", body).await;
        assert_eq!(answer.status, 404, "{code}");
        said.insert(answer.body.replace(code, "X"));
    }
    assert_eq!(said.len(), 1, "{said:?}");
    // Neither people's triggers nor schedules are fired over HTTP.
    for (code, status) in [
        ("by_hand", 404),
        ("permit_expiring", 404),
        ("permit_state_change", 404),
        ("other", 202),
        ("called", 202),
    ] {
        assert_eq!(post(&bench, code, &wide, "", body).await.status, status, "{code}");
    }
    // All wrong tokens are one.
    desk.sql("select sicantik_notify.api_token_create('gone', null), sicantik_notify.api_token_create('late', null, now() + interval '1 hour')").await;
    let gone = token(desk, "revoked", "null", false).await;
    let late = desk
        .text("select sicantik_notify.api_token_create('expires', null, sicantik_notify.clock() + interval '1 hour')")
        .await
        .unwrap();
    assert_eq!(post(&bench, "called", &gone, "", body).await.status, 202);
    assert_eq!(post(&bench, "called", &late, "", body).await.status, 202);
    desk.sql("select sicantik_notify.api_token_revoke('revoked')")
        .await;
    desk.sql("update sicantik_notify.api_token set expires_at = now() - interval '1 second' where name = 'expires'").await;
    let mut said = BTreeSet::new();
    for token in [&gone, &late, &narrow[..67], "snt_", "x", &narrow.to_uppercase()] {
        let answer = post(&bench, "called", token, "", body).await;
        assert_eq!(answer.status, 401, "{token}");
        said.insert(answer.body);
    }
    for header in [
        "",
        "authorization: Basic eDp4\r\n",
        "authorization: Bearer\r\n",
        "authorization: Bearer \r\n",
    ] {
        said.insert(post(&bench, "called", "", header, body).await.body);
    }
    assert_eq!(said.len(), 1, "{said:?}");
    // A domain that reaches for secrets is refused by the compiler, not by the server.
    let domain = r#"{"domain": "[('partner_id.user_ids.password', 'like', 'a')]"}"#;
    let answer = post(&bench, "called", &narrow, "", domain).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "invalid_domain"),
        "{}",
        answer.body
    );
    let domain = r#"{"domain": "[('id', '=', 1)]; drop table res_partner"}"#;
    assert_eq!(
        post(&bench, "called", &narrow, "", domain).await.code(),
        "invalid_domain"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_a_token_and_a_minute() {
    let bench = stand("api_requests_per_minute = 3\n").await;
    let desk = &bench.desk;
    let (one, two) = (
        token(desk, "one", "null", false).await,
        token(desk, "two", "null", false).await,
    );
    let body = r#"{"ids": [1]}"#;
    for _ in 0..3 {
        assert_eq!(post(&bench, "called", &one, "", body).await.status, 202);
    }
    let refused = post(&bench, "called", &one, "", body).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert_eq!(
        post(&bench, "called", &two, "", body).await.status,
        202,
        "another token has its own"
    );
    desk.sql("update sicantik_notify.api_rate set started_at = started_at - interval '61 seconds'")
        .await;
    assert_eq!(post(&bench, "called", &one, "", body).await.status, 202);
    let used = "select count(*) from sicantik_notify.v_api_token where last_used_at is not null";
    assert_eq!(desk.number(used).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_listed_and_revoked_by_people_only() {
    let bench = stand("").await;
    let desk = &bench.desk;
    let run = async |arguments: &[&str]| {
        let output = desk.office.command(arguments).output().await.unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code().unwrap(),
            out,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, made, _) = run(&[
        "token",
        "create",
        "sync",
        "--trigger",
        "called",
        "--expires",
        "2099-12-31",
    ])
    .await;
    assert_eq!(code, 0);
    let answer = post(&bench, "called", made.trim(), "", r#"{"ids": [1]}"#).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let (_, list, _) = run(&["token", "list"]).await;
    assert!(
        list.contains("sync")
            && list.contains("valid")
            && list.contains("called")
            && list.contains("2099-12-31"),
        "{list}"
    );
    assert!(!list.contains(&made.trim()[4..]), "{list}");
    for (arguments, said) in [
        (
            vec!["token", "create", "sync", "--all-triggers"],
            "there is, or was, a token named sync",
        ),
        (
            vec!["token", "create", "a b", "--all-triggers"],
            "is no name for a token",
        ),
        (
            vec!["token", "create", "x", "--trigger", "caled"],
            "did you mean called",
        ),
        (
            vec!["token", "create", "x", "--trigger", "by_hand"],
            "is of type manual, and only those of type api",
        ),
        (
            vec![
                "token",
                "create",
                "x",
                "--all-triggers",
                "--expires",
                "2001-01-01",
            ],
            "would have expired already",
        ),
        (vec!["token", "revoke", "nobody"], "there is no token 'nobody'"),
    ] {
        let (code, _, error) = run(&arguments).await;
        assert_eq!(code, 1, "{error}");
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(run(&["token", "create", "x"]).await.0, 2, "which triggers?");
    assert_eq!(run(&["token", "revoke", "sync"]).await.0, 0);
    assert!(
        run(&["token", "revoke", "sync"])
            .await
            .2
            .contains("was revoked already")
    );
    assert_eq!(
        post(&bench, "called", made.trim(), "", r#"{"ids": [1]}"#)
            .await
            .status,
        401
    );
    let (_, list, _) = run(&["token", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list[0]["state"], &list[0]["triggers"]),
        (&json!("revoked"), &json!("called"))
    );

    // The daemon compares hashes, and makes no token; viewers see no hash; operators make tokens, and see none either.
    desk.sql("create role vera login; grant sicantik_notify_viewer to vera; create role olga login; grant sicantik_notify_operator to olga").await;
    for (role, statement) in [
        (RUNTIME, "select sicantik_notify.api_token_create('x')"),
        (
            RUNTIME,
            "insert into sicantik_notify.api_token (name, token_hash) values ('x', repeat('0', 64))",
        ),
        (RUNTIME, "update sicantik_notify.api_token set triggers = null"),
        ("vera", "select * from sicantik_notify.api_token"),
        ("vera", "select * from sicantik_notify.api_request"),
        ("vera", "select sicantik_notify.api_token_create('x')"),
        ("olga", "select token_hash from sicantik_notify.api_token"),
    ] {
        let client = desk.office.connect_as(role).await.unwrap();
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{role}: {statement}"
        );
    }
    let olga = desk.office.connect_as("olga").await.unwrap();
    olga.batch_execute(
        "select sicantik_notify.api_token_create('x'); select sicantik_notify.api_token_revoke('x')",
    )
    .await
    .unwrap();
    desk.office
        .connect_as("vera")
        .await
        .unwrap()
        .batch_execute("select * from sicantik_notify.v_api_token, sicantik_notify.v_firing")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_may_send_calls_are_taken_and_the_messages_wait() {
    let bench = stand("").await;
    let desk = &bench.desk;
    let secret = token(desk, "sync", "array['called']", false).await;
    desk.sql("delete from sicantik_notify.arming").await;
    let answer = post(
        &bench,
        "called",
        &secret,
        "",
        r#"{"ids": [1], "parameters": {"why": "sync"}}"#,
    )
    .await;
    assert_eq!(answer.status, 202);
    desk.until("select count(*) = 1 from sicantik_notify.queue where state = 'pending'")
        .await;
    desk.until("select exists (select from sicantik_notify.v_problem where summary like 'does not send%')")
        .await;
    assert_eq!(desk.office.gateway.count(), 0);
}
