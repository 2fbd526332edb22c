//! `sicantik-notifyd domain`, as a process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sicantik_notifyd::testkit::host::{Options, Profile, install};
use sicantik_notifyd::testkit::postgres::Cluster;

async fn host() -> (Cluster, String) {
    let cluster = Cluster::start().await.unwrap();
    cluster.create_database("office", None).await.unwrap();
    let client = cluster.connect("office").await.unwrap();
    install(&client, Profile::Odoo18_0, &Options::default())
        .await
        .unwrap();
    let url = cluster.url("office");
    (cluster, url)
}

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd")));
    command.args(["--database-url", url, "domain"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(url: &str, arguments: &[&str]) -> (bool, String) {
    let output = command(url, arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn answers(url: &str, arguments: &[&str], questions: &[Value]) -> Vec<Value> {
    let mut child = command(url, &[&["--jsonl"], arguments].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = questions.iter().map(|q| format!("{q}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_domain() {
    let (_cluster, url) = host().await;
    let (ok, text) = run(
        &url,
        &["--model", "sicantik.permit", "[('status', '=', 'draft')]"],
    );
    assert!(
        ok && text.contains("t.\"status\" = $1::text") && text.contains("$1 = \"draft\""),
        "{text}"
    );
    assert!(text.contains("2 records"), "{text}");
    let ids = |arguments: &[&str]| {
        run(&url, arguments)
            .1
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        ids(&[
            "--model",
            "sicantik.permit",
            "--ids",
            "[('status', '=', 'draft')]"
        ]),
        "6 15"
    );
    assert_eq!(
        ids(&[
            "--model",
            "res.partner",
            "--ids",
            "[('name', '=', 'Gita Permata')]"
        ]),
        ""
    );
    let archived = &[
        "--model",
        "res.partner",
        "--ids",
        "--no-active-test",
        "[('name', '=', 'Gita Permata')]",
    ];
    assert_eq!(ids(archived), "17");
    let user = &[
        "--model",
        "res.partner",
        "--ids",
        "--uid",
        "6",
        "[('id', '=', user.partner_id.id)]",
    ];
    assert_eq!(ids(user), "6");
    let (ok, text) = run(&url, &["--model", "sicantik.permit", "[('satus', '=', 1)]"]);
    assert!(
        !ok && text.contains("sicantik.permit has no `satus`") && text.contains("^^^^^^^"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines() {
    let (_cluster, url) = host().await;
    let clock = [
        "--now",
        "2026-12-22 18:30:00",
        "--tz",
        "Asia/Jakarta",
        "--uid",
        "6",
        "--company",
        "1",
        "--lang",
        "en_US",
    ];
    let cases = [
        (json!({"domain": "[('id','in',[3,1])]"}), json!([1, 3])),
        (
            json!({"domain": "[('id','in',ids)]", "vars": {"ids": [2]}}),
            json!([2]),
        ),
        (
            json!({"domain": "[('id','=',1)] if str(context_today()) == '2026-12-23' else []"}),
            json!([1]),
        ),
        (
            json!({"domain": "[('id','=',1)] if str(date.today()) == '2026-12-22' else []"}),
            json!([1]),
        ),
        (
            json!({"model": "res.partner", "domain": "[('id','=',17)]"}),
            json!([]),
        ),
        (
            json!({"model": "res.partner", "domain": "[('id','=',17)]", "active_test": false}),
            json!([17]),
        ),
        (json!({"domain": "[('id','=',1)"}), json!("syntax")),
        (json!({"domain": "  "}), json!("syntax")),
        (json!({"domain": "[('id','=',env)]"}), json!("name")),
        (json!({"domain": "[('id','=',true)]"}), json!("name")),
        (json!({"domain": "[('id','=','x')]"}), json!("type")),
        (
            json!({"domain": "[('expiry_date','=','2026-1x-99')]"}),
            json!("type"),
        ),
        (json!({"domain": "['|']"}), json!("domain")),
        (json!({"domain": "[('state','=','x')]"}), json!("field")),
        (json!({"domain": "[('status','=',10**10**10)]"}), json!("limit")),
        (json!({"model": "no.model", "domain": "[]"}), json!("field")),
        (json!({"domain": "[]", "lang": "xx_YY"}), json!("name")),
    ];
    let questions: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(at, (case, _))| {
            let mut case = case.clone();
            case["id"] = json!(at);
            if case.get("model").is_none() {
                case["model"] = json!("sicantik.permit");
            }
            case
        })
        .collect();
    for (at, (answer, (case, wanted))) in answers(&url, &clock, &questions).iter().zip(&cases).enumerate() {
        assert_eq!(answer["id"], json!(at));
        let found = if wanted.is_array() {
            &answer["ids"]
        } else {
            &answer["error"]["kind"]
        };
        assert_eq!(found, wanted, "{case}: {answer}");
    }
}

/// Held against the host, it answers as the host does, also where `check` refuses.
#[tokio::test(flavor = "multi_thread")]
async fn lines_answer_as_the_host_does() {
    let (_cluster, url) = host().await;
    let all: Vec<i64> = (1..=20).collect();
    let cases = [
        ("sicantik.permit", "[('mobile','!=',False)]", json!(all)),
        ("sicantik.permit", "['!',('mobile','!=',False)]", json!(all)),
        ("sicantik.permit", "[('mobile','in',[])]", json!([])),
        (
            "sicantik.permit",
            "[('message_partner_ids','=',3)]",
            json!("field"),
        ),
        (
            "res.partner",
            "[('self.name','=','x'),('id','=',10)]",
            json!([10]),
        ),
        (
            "res.partner",
            "[('self.nothing','=','x'),('id','=',10)]",
            json!("field"),
        ),
        // There are no parents, but that is seen only where there is somebody.
        ("res.partner", "[('country_id','child_of','Nowhere')]", json!([])),
        (
            "res.partner",
            "[('country_id','child_of','Indonesia')]",
            json!("field"),
        ),
        (
            "res.partner",
            "['|',('id','=',10),('country_id','child_of','Indonesia')]",
            json!("field"),
        ),
        // A date is read before anything is searched, whatever stands beside it.
        (
            "sicantik.permit",
            "[('status','=','zzz'),('expiry_date','<','12-2026-99')]",
            json!("type"),
        ),
        (
            "sicantik.permit",
            "['|',('id','>',0),('create_date','<','2026-11-23 0')]",
            json!("type"),
        ),
        (
            "sicantik.permit",
            "[('id','=',1),('expiry_date','<','infinity')]",
            json!([1]),
        ),
    ];
    let questions: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(at, (model, domain, _))| json!({"id": at, "model": model, "domain": domain}))
        .collect();
    for (answer, (_, domain, wanted)) in answers(&url, &[], &questions).iter().zip(&cases) {
        let found = if wanted.is_array() {
            &answer["ids"]
        } else {
            &answer["error"]["kind"]
        };
        assert_eq!(found, wanted, "{domain}: {answer}");
    }
    let (ok, text) = run(&url, &["--model", "sicantik.permit", "[('mobile','!=',False)]"]);
    assert!(!ok && text.contains("it has no column"), "{text}");
}

/// Whatever a line is, the next one is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_line_harms_no_other() {
    let (_cluster, url) = host().await;
    let good = r#"{"id":"good","model":"sicantik.permit","domain":"[('id','=',1)]"}"#;
    let wrong: Vec<Vec<u8>> = [
        "no json",
        "{}",
        "[]",
        r#"{"id":7}"#,
        r#"{"id":7,"model":5,"domain":"[]"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":["id"]}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[]","lang":"xx_YY"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[('expiry_date','<','2026-02-3x')]"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[('expiry_date','<','2026-13-45 99')]"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[('id','=',1/0)]"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[x for x in range(10**12)]"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[('id','in',[0]*10**9)]"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[('notes','=','a\\u0000')]"}"#,
        r#"{"id":7,"model":"sicantik.permit","domain":"[('notes','=','\ud800')]"}"#,
    ]
    .iter()
    .map(|line| line.as_bytes().to_vec())
    .chain([b"{\"id\":7,\"model\":\"\xff\xfe\",\"domain\":\"[]\"}".to_vec()])
    .collect();
    let mut child = command(&url, &["--jsonl"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in &wrong {
        let both = [line.as_slice(), b"\n", good.as_bytes(), b"\n\n"].concat();
        input.write_all(&both).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2 * wrong.len());
    for (pair, line) in lines.chunks(2).zip(&wrong) {
        let line = String::from_utf8_lossy(line);
        let kind = pair[0]["error"]["kind"].as_str().unwrap_or_default();
        let known = ["syntax", "name", "type", "domain", "field", "limit"].contains(&kind);
        assert!(known, "{line}: {}", pair[0]);
        assert!(
            !pair[0]["error"]["message"]
                .as_str()
                .unwrap_or_default()
                .is_empty(),
            "{line}"
        );
        assert_eq!(pair[1], json!({"id": "good", "ids": [1]}), "after {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lines_take_seconds() {
    let (_cluster, url) = host().await;
    let questions: Vec<Value> = (0..1000)
        .map(|at| {
            let domain = match at % 4 {
                0 => "[('expiry_date','<',(context_today() - relativedelta(months=1)).strftime('%Y-%m-%d'))]",
                1 => "[('partner_id.category_id.name','ilike','x')]",
                2 => "[('partner_id','child_of',18)]",
                _ => "[('status','in',['active','draft']),'|',('notes','=',False),('days_until_expiry','<',30)]",
            };
            json!({"id": at, "model": "sicantik.permit", "domain": domain})
        })
        .collect();
    let began = Instant::now();
    let answers = answers(&url, &[], &questions);
    eprintln!("1000 lines in {:?}", began.elapsed());
    assert_eq!(answers.len(), 1000);
    assert!(
        answers.iter().all(|answer| answer["ids"].is_array()),
        "{:?}",
        answers[0]
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}
