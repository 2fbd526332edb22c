//! docs/configuration.md says what the programme has: each key of the daemon file with its range and default, each setting, and each
//! column of the file of `apply`. With `CONFIGURATION_WRITE=1` the sections of the last are written into the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use secrecy::SecretString;
use sicantik_notifyd::config::{self, Config};
use sicantik_notifyd::db::ids::ProviderId;
use sicantik_notifyd::deliver::provider::{Account, ProviderKind};
use sicantik_notifyd::setup::shape::{Kind, Layout, Shape, Shapes};

use crate::desk::desk;
use crate::page;

const BEGIN: &str = "<!-- generated: sections -->\n";
const END: &str = "<!-- end -->";

/// Rows of the table that follows a mark, cell by cell.
fn table(mark: &str) -> Vec<Vec<String>> {
    let page = page("configuration.md");
    let (_, rest) = page
        .split_once(&format!("<!-- checked: {mark} -->"))
        .expect("the mark");
    let lines = rest
        .lines()
        .skip_while(|l| !l.starts_with('|'))
        .skip(2)
        .take_while(|l| l.starts_with('|'));
    lines
        .map(|l| {
            l.trim_matches('|')
                .split('|')
                .map(|c| c.trim().to_owned())
                .collect()
        })
        .collect()
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// serde lists what it knows in the error for what it does not know.
fn known(section: &str) -> BTreeSet<String> {
    let error = toml::from_str::<Config>(&format!("{section}no_such_key = 1\n"))
        .expect_err("refused")
        .to_string();
    let (_, known) = error.split_once("expected").expect("lists the keys");
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_of_the_daemon_file_is_there_with_its_default_and_range() {
    let mut expected = BTreeSet::new();
    for key in known("") {
        let error = toml::from_str::<Config>(&format!("[{key}]\nno_such_key = 1\n"))
            .expect_err("refused")
            .to_string();
        match error.contains("unknown field `no_such_key`") {
            true => expected.extend(known(&format!("[{key}]\n")).iter().map(|k| format!("{key}.{k}"))),
            false => assert!(expected.insert(key)),
        }
    }
    let rows = table("daemon file");
    let shown: BTreeSet<String> = rows.iter().map(|r| code(&r[0]).to_owned()).collect();
    assert_eq!(shown, expected);
    // A file of the defaults as they are shown is the default configuration.
    let mut file = String::new();
    let put = |key: &str, value: &str| match key.split_once('.') {
        Some((section, key)) => format!("{section} = {{ {key} = {value} }}\n"),
        None => format!("{key} = {value}\n"),
    };
    let mut numbers = 0;
    for row in &rows {
        let (key, unit, range, default) = (code(&row[0]), &row[1], &row[2], &row[3]);
        let value = default
            .starts_with('`')
            .then(|| code(default))
            .filter(|v| !v.contains('$') && !v.contains("database."));
        match value {
            Some(value) => {
                let one: Config = toml::from_str(&put(key, value)).unwrap_or_else(|e| panic!("{key}: {e}"));
                assert!(
                    one.same_as(&Config::default()),
                    "{key}: {value} is not the default"
                );
                let _ = writeln!(file, "{key} = {value}");
            }
            None => assert!(
                [
                    "state_dir",
                    "name",
                    "database.url",
                    "database.owner_url",
                    "database.operator_url",
                    "database.direct_url",
                    "database.ca_file",
                    "http.forward_to"
                ]
                .contains(&key),
                "{key} has a default"
            ),
        }
        if value.is_some_and(|v| v.chars().all(|c| c.is_ascii_digit())) {
            numbers += 1;
            let (low, high) = range
                .split_once('–')
                .unwrap_or_else(|| panic!("{key} has no range"));
            let (low, high): (u64, u64) = (low.parse().unwrap(), high.parse().unwrap());
            let refused = |value: u64| {
                let config: Config = toml::from_str(&put(key, &value.to_string())).unwrap();
                config
                    .check()
                    .is_err_and(|e| e.to_string().contains("must be from"))
            };
            assert!(
                refused(low - 1) && !refused(low) && !refused(high) && refused(high + 1),
                "{key}: {range}"
            );
            assert!(!unit.is_empty(), "{key} has no unit");
        }
    }
    assert!(numbers > 20, "{numbers}");
}

#[test]
fn every_variable_of_the_environment_is_there() {
    let page = page("configuration.md");
    for name in [
        config::ENV_URL,
        config::ENV_OWNER_URL,
        config::ENV_OPERATOR_URL,
        config::ENV_STATE_DIR,
        sicantik_notifyd::observe::log::ENV_LOG,
        config::CREDENTIAL_URL,
        "STATE_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
    ] {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_is_there_with_its_default_and_meaning() {
    let desk = desk().await;
    let rows = desk
        .admin
        .query(
            "select key, value, description from sicantik_notify.setting order by key collate \"C\"",
            &[],
        )
        .await
        .unwrap();
    let stored: Vec<[String; 3]> = rows.iter().map(|r| [r.get(0), r.get(1), r.get(2)]).collect();
    let shown: Vec<[String; 3]> = table("settings")
        .iter()
        .map(|r| [code(&r[0]).to_owned(), code(&r[2]).to_owned(), r[3].clone()])
        .collect();
    assert_eq!(shown, stored);
    assert!(table("settings").iter().all(|r| !r[1].is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_section_and_column_of_the_file_of_apply_is_there() {
    let desk = desk().await;
    let shapes = Shapes::load(&desk.admin).await.unwrap();
    let rows = desk
        .admin
        .query(
            "select c.relname::text, a.attname::text, coalesce(col_description(c.oid, a.attnum), ''),
                    coalesce((select min(pg_get_constraintdef(k.oid)) from pg_constraint k
                              where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum]
                                and pg_get_constraintdef(k.oid) like '%= ANY (ARRAY[%'), ''),
                    coalesce((select min(substring(pg_get_constraintdef(k.oid) from '>=? [0-9]+')) from pg_constraint k
                              where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum]), '')
             from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relnamespace = 'sicantik_notify'::regnamespace",
            &[],
        )
        .await
        .unwrap();
    let told: Told = rows
        .iter()
        .map(|r| {
            let column = Checked {
                meaning: r.get(2),
                among: r.get(3),
                above: r.get(4),
            };
            ((r.get(0), r.get(1)), column)
        })
        .collect();
    let mut text = String::from("\n");
    for shape in &shapes.0 {
        section(shape, &told, &mut text);
    }
    let page = page("configuration.md");
    let (before, rest) = page.split_once(BEGIN).expect("the mark");
    let (shown, after) = rest.split_once(END).expect("the end");
    if std::env::var_os("CONFIGURATION_WRITE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        std::fs::write(path, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
        return;
    }
    similar(shown, &text);
}

fn similar(shown: &str, text: &str) {
    for (a, b) in shown.lines().zip(text.lines()) {
        assert_eq!(a, b, "write it with CONFIGURATION_WRITE=1");
    }
    assert_eq!(shown, text, "write it with CONFIGURATION_WRITE=1");
}

/// Columns by table and name.
type Told = BTreeMap<(String, String), Checked>;

/// What the catalogue says of a column: its comment, and its checks as the server prints them.
#[derive(Clone, Default)]
struct Checked {
    meaning: String,
    among: String,
    above: String,
}

fn section(shape: &Shape, told: &Told, text: &mut String) {
    let name = shape.section.name;
    let head = match shape.section.layout {
        Layout::Rows => format!("[[{name}]]"),
        Layout::Pairs(_) | Layout::Lists => format!("[{name}]"),
    };
    let _ = writeln!(text, "### `{head}`\n\n{}.", shape.about.trim_end_matches('.'));
    match shape.section.layout {
        Layout::Pairs(column) => {
            let _ = writeln!(text, "Written `{} = \"{column}\"`, a line each.\n", shape.key[0]);
            return;
        }
        Layout::Lists => {
            let (first, last) = (shape.key[0], shape.key[shape.key.len() - 1]);
            let _ = writeln!(text, "Written `\"{first}\" = [\"{last}\", …]`, a line each.\n");
            return;
        }
        Layout::Rows => {}
    }
    let _ = writeln!(
        text,
        "\n| column | value | default | meaning |\n|---|---|---|---|"
    );
    for column in &shape.columns {
        let known = told
            .get(&(shape.section.table.to_owned(), column.name.clone()))
            .cloned()
            .unwrap_or_default();
        let allowed: Vec<&str> = known.among.split('\'').skip(1).step_by(2).collect();
        let number = match known.above.as_str() {
            "> 0" => "whole number, 1 or more",
            ">= 0" => "whole number, 0 or more",
            _ => "whole number",
        };
        let value = match (allowed.is_empty(), column.kind) {
            (false, _) => allowed
                .iter()
                .map(|a| format!("`{a}`"))
                .collect::<Vec<_>>()
                .join(", "),
            (true, Kind::Text) => "text".to_owned(),
            (true, Kind::Flag) => "true, false".to_owned(),
            (true, Kind::Integer) => number.to_owned(),
            (true, Kind::Texts) => "list of texts".to_owned(),
            (true, Kind::Json) => "table or list".to_owned(),
            (true, Kind::Interval) => "length of time: `\"5 minutes\"`".to_owned(),
            (true, Kind::Moment) => "moment with its offset".to_owned(),
            (true, Kind::Local) => "date and time, without an offset".to_owned(),
        };
        let default = match (&column.default, column.required) {
            (serde_json::Value::Null, true) => "must be given".to_owned(),
            (serde_json::Value::Null, false) => "empty".to_owned(),
            (default, _) => format!("`{default}`"),
        };
        let name = match shape.is_key(&column.name) {
            true => format!("**`{}`**", column.name),
            false => format!("`{}`", column.name),
        };
        let _ = writeln!(
            text,
            "| {name} | {value} | {default} | {} |",
            known.meaning.replace('|', "\\|")
        );
    }
    if shape.names().contains(&"credentials") {
        let _ = writeln!(
            text,
            "| `credentials` | table: name of a secret = name of a credential | empty | see below |"
        );
    }
    text.push('\n');
}

/// Every setting of an account that is shown is read, and every one that is read is shown.
#[test]
fn every_setting_and_secret_of_an_account_is_there() {
    let source = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/deliver/provider/account.rs"
    ))
    .unwrap();
    let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((&source, ""));
    let mut read: BTreeSet<String> = BTreeSet::new();
    for call in ["text(\"", "digits(\"", "number(\"", "flag(\""] {
        read.extend(
            source
                .split(call)
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .map(str::to_owned),
        );
    }
    let mut shown = BTreeSet::new();
    for row in table("accounts") {
        let kind = match code(&row[0]) {
            "meta" => ProviderKind::Meta,
            "fonnte" => ProviderKind::Fonnte,
            "watzap" => ProviderKind::Watzap,
            other => panic!("there is no provider {other}"),
        };
        let secrets: BTreeMap<String, SecretString> = row[2]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|s| (s.to_owned(), SecretString::from("s3cret")))
            .collect();
        let names: Vec<&str> = row[1]
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|n| *n != "template sync")
            .collect();
        for name in &names {
            let mut settings = serde_json::Map::new();
            settings.insert("phone_number_id".into(), "1".into());
            settings.insert((*name).into(), serde_json::json!([]));
            let mut secrets = secrets.clone();
            if *name == "number_key" {
                secrets.remove("number_key");
            }
            let error = Account::from_settings(ProviderId(1), "x", kind, &settings, &secrets);
            assert!(
                error.is_err_and(|e| e.to_string().contains(name)),
                "{kind}: {name} is not read"
            );
            shown.insert((*name).to_owned());
        }
    }
    assert_eq!(shown, read);
}
