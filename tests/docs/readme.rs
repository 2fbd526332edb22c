//! What README and runbook tell people to type works: as an operator, on a fresh installation.

use sicantik_notifyd::testkit::office::{OPERATOR, Office, Plan};

use crate::desk::program;

/// The SQL of a section, statement by statement.
fn statements(section: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, rest) = readme
        .split_once(&format!("\n## {section}\n"))
        .expect("the section");
    let (section, _) = rest.split_once("\n## ").expect("a section after it");
    sql(section)
}

/// The fenced SQL of a text, statement by statement.
fn sql(text: &str) -> Vec<String> {
    let blocks = text
        .split("```sql\n")
        .skip(1)
        .filter_map(|b| b.split("```").next());
    let mut all = Vec::new();
    for block in blocks {
        let mut statement = String::new();
        for line in block.lines() {
            let code = line.split(" -- ").next().unwrap_or_default().trim_end();
            statement.push_str(code);
            statement.push('\n');
            if code.ends_with(';') {
                all.push(std::mem::take(&mut statement));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_of_the_readme_runs_as_an_operator() {
    let plan = Plan {
        providers: false,
        ..Plan::default()
    };
    let office = Office::open(program(), &plan).await.unwrap();
    let operator = office.connect_as(OPERATOR).await.unwrap();
    let mut run = 0;
    for section in ["First rule", "Time, campaigns, and other programmes"] {
        for statement in statements(section) {
            let result = operator.simple_query(&statement).await;
            match statement.contains("'call_in'") {
                // The one trigger that the README only speaks of.
                true => assert!(result.is_err_and(|e| e.to_string().contains("db error"))),
                false => drop(
                    result.unwrap_or_else(|e| panic!("{statement}\n{}", sicantik_notifyd::db::describe(&e))),
                ),
            }
            run += 1;
        }
    }
    assert!(run >= 9, "{run}");
    let checked = office.run(&["check", "rule", "tell_applicant"]).await.unwrap();
    assert!(checked.contains("1 checked: 0 errors, 0 warnings"), "{checked}");
    // Its text can be made: the code sets all that the template asks for.
    operator
        .batch_execute(
            "update sicantik_notify.rule set condition_python = null where code = 'tell_applicant'",
        )
        .await
        .unwrap();
    let output = office
        .command(&["simulate", "--rule", "tell_applicant", "--ids", "1"])
        .env("fonnte_token", "a-token-of-the-device")
        .output()
        .await
        .unwrap();
    let simulated = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        simulated.contains("Izin Anda nomor SIP/0001/2025 (Surat Izin Praktik Dokter) telah selesai diproses dengan status Aktif"),
        "{simulated}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbooks_questions_are_answered_to_viewers_too() {
    let office = Office::open(program(), &Plan::default()).await.unwrap();
    let admin = office.admin().await.unwrap();
    admin
        .batch_execute("create role vera login in role sicantik_notify_viewer")
        .await
        .unwrap();
    let page = crate::page("operations.md");
    let (_, rest) = page.split_once("\n## Questions").expect("the section");
    let questions = sql(rest.split("\n## ").next().unwrap_or_default());
    assert!(questions.len() >= 4, "{questions:?}");
    for role in ["vera", OPERATOR] {
        let client = office.connect_as(role).await.unwrap();
        for question in &questions {
            let result = client.simple_query(question).await;
            result.unwrap_or_else(|e| panic!("{role}: {question}\n{}", sicantik_notifyd::db::describe(&e)));
        }
    }
}
