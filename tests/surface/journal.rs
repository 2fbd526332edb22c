//! Where log lines go, with which fields, and what never stands in them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sicantik_notifyd::testkit::gateway::{Behaviour, Gateway, Provider};
use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::{DATABASE, RUNTIME};
use tokio::net::UnixDatagram;

use crate::harness::{Manager, PATIENCE, Process, office};

/// One entry of journald's native protocol: `KEY=value` lines, or `KEY`, eight bytes of length, value.
fn entry(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 1..];
        if let Some((key, value)) = line.split_once('=') {
            fields.insert(key.to_owned(), value.to_owned());
        } else {
            let (length, rest) = bytes.split_at(8);
            let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
            fields.insert(line, String::from_utf8_lossy(&rest[..length]).into_owned());
            bytes = &rest[length + 1..];
        }
    }
    fields
}

/// Fields that docs/operations.md names, in the first column of its table.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/operations.md")).expect("the page");
    let rows = page
        .lines()
        .skip_while(|line| *line != "| field | value |")
        .skip(2);
    rows.take_while(|line| line.starts_with("| "))
        .flat_map(|line| {
            line.split('|')
                .nth(1)
                .unwrap_or_default()
                .split('`')
                .skip(1)
                .step_by(2)
        })
        .map(str::to_owned)
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fields that the program's lines carry, as they stand in the source before each text.
fn written(folder: &Path, all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("testkit") {
                written(&path, all);
            }
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        for level in ["info", "warn", "error", "debug", "trace"] {
            for call in text.split(&format!("tracing::{level}!(")).skip(1) {
                let fields = call.split('"').next().unwrap_or_default().split(',');
                for field in fields.map(str::trim).filter(|f| !f.is_empty()) {
                    let name = field
                        .split('=')
                        .next()
                        .unwrap_or_default()
                        .trim()
                        .trim_start_matches(['%', '?']);
                    assert!(
                        name.chars().all(|c| c.is_ascii_alphabetic() || c == '_'),
                        "{}: {field}",
                        path.display()
                    );
                    all.insert(name.to_uppercase());
                }
            }
        }
    }
}

#[test]
fn the_page_names_every_field_and_no_other() {
    let mut wanted = BTreeSet::new();
    written(&root().join("src"), &mut wanted);
    assert!(wanted.len() > 30 && wanted.contains("QUEUE_ID"), "{wanted:?}");
    // Of every line, by journald's layer.
    for always in [
        "MESSAGE",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "TARGET",
        "CODE_FILE",
        "CODE_LINE",
    ] {
        wanted.insert(always.to_owned());
    }
    let documented = documented();
    let lacking: Vec<_> = wanted.difference(&documented).collect();
    let left: Vec<_> = documented.difference(&wanted).collect();
    assert!(
        lacking.is_empty() && left.is_empty(),
        "the page lacks {lacking:?}, and has {left:?}"
    );
}

/// The layer's socket has a fixed place, so the daemon runs where that place is ours: a mount namespace. Needs the right to
/// make one (root, or user namespaces).
#[tokio::test(flavor = "multi_thread")]
async fn journald_gets_fields_in_its_native_protocol() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    let run = office.folder().join("run");
    std::fs::create_dir_all(run.join("systemd/journal")).expect("a folder");
    let socket = UnixDatagram::bind(run.join("systemd/journal/socket")).expect("a socket");

    let mut probe = tokio::process::Command::new("unshare");
    probe
        .args(["--mount", "--map-root-user", "--", "mount", "--bind"])
        .arg(&run)
        .arg("/run");
    if !probe.output().await.is_ok_and(|o| o.status.success()) {
        println!("no mount namespace to be had here: the fields were not looked at");
        return;
    }
    // systemd names device and inode of the stream; ours is the log file, known only once it stands.
    let script = "mount --bind \"$0\" /run && JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"";
    let manager = Manager::new();
    let mut command = tokio::process::Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "--", "sh", "-c", script])
        .arg(&run)
        .arg(crate::harness::program())
        .arg("run")
        .env(
            "SICANTIK_NOTIFYD_DATABASE_URL",
            office.cluster.url_as(RUNTIME, DATABASE),
        )
        .env("SICANTIK_NOTIFYD_STATE_DIR", office.folder().join("state"))
        .env("NOTIFY_SOCKET", manager.path());
    let daemon = Process::start(office.folder(), command);
    manager.until("READY=1", &daemon).await;
    crate::wake::approve_and_wait(&office, &admin).await;

    let mut entries = Vec::new();
    let mut buffer = vec![0; 65536];
    let (mut enqueued, mut sent) = (None, None);
    while enqueued.is_none() || sent.is_none() {
        let size = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer))
            .await
            .unwrap_or_else(|_| panic!("not logged: {entries:#?}"))
            .expect("an entry");
        let fields = entry(&buffer[..size]);
        if fields.contains_key("TRIGGER") {
            enqueued = Some(fields.clone());
        }
        if fields.contains_key("PROVIDER") {
            sent = Some(fields.clone());
        }
        entries.push(fields);
    }
    let known = documented();
    for name in entries.iter().flat_map(BTreeMap::keys) {
        assert!(
            known.contains(name),
            "{name} is sent to the journal and not in docs/operations.md"
        );
    }
    let (enqueued, sent) = (enqueued.unwrap_or_default(), sent.unwrap_or_default());
    assert_eq!(enqueued["RULE"], "notify_permit_approved");
    assert_eq!(enqueued["TRIGGER"], "permit_state_change");
    assert_eq!(enqueued["RECORD_ID"], ids::PERMIT_DRAFT.to_string());
    assert!(enqueued["EVENT_ID"].parse::<i64>().is_ok());
    assert_eq!(enqueued["PRIORITY"], "5");
    assert_eq!(enqueued["SYSLOG_IDENTIFIER"], "sicantik-notifyd");
    assert_eq!(
        sent["QUEUE_ID"], enqueued["QUEUE_ID"],
        "one id from rule to provider"
    );
    assert!(["meta", "fonnte", "watzap"].contains(&sent["PROVIDER"].as_str()));
    assert_eq!(daemon.log(), "", "nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inherited_journal_stream_does_not_hide_the_log() {
    let office = office().await;
    let manager = Manager::new();
    // Of a stream that is not ours: what a shell in a unit hands to its children.
    let other = std::fs::metadata("/dev/null").expect("exists");
    let stream = format!("{}:{}", other.dev(), other.ino());
    let environment = [("NOTIFY_SOCKET", manager.path()), ("JOURNAL_STREAM", &stream)];
    let daemon = Process::daemon(&office, "", &environment);
    manager.until("READY=1", &daemon).await;
    daemon.logged("Running on sicantik").await;
    assert!(
        !daemon.log().contains('\u{1b}'),
        "no colours in a file:\n{}",
        daemon.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_whole_number_is_ever_logged() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    // Answers that quote what they got, and every way to fail.
    let quoting = format!(
        "{{\"error\":{{\"message\":\"bad {}\",\"code\":190}}}}",
        Gateway::META_TOKEN
    );
    office
        .gateway
        .script(Provider::Meta)
        .push(Behaviour::http(401, &quoting))
        .push(Behaviour::CutAfterAccept)
        .push(Behaviour::Garbage);
    office
        .gateway
        .script(Provider::Fonnte)
        .push(Behaviour::fonnte_reason(&format!(
            "token {} invalid",
            Gateway::FONNTE_TOKEN
        )));
    admin
        .batch_execute("update public.res_partner set whatsapp_opt_in = true")
        .await
        .expect("all opted in");
    let file = office.folder().join("secret.toml");
    let url = office.cluster.url_as(RUNTIME, DATABASE) + " password=hunter2hunter2";
    std::fs::write(&file, format!("[database]\nurl = \"{url}\"\n")).expect("a file");
    let manager = Manager::new();
    let mut command = office.command(&["run", "--config", file.to_str().expect("a name")]);
    command
        .env("SICANTIK_NOTIFYD_DATABASE_URL", &url)
        .env("SICANTIK_NOTIFYD_LOG", "trace")
        .env("NOTIFY_SOCKET", manager.path());
    let mut daemon = Process::start(office.folder(), command);
    manager.until("READY=1", &daemon).await;
    crate::wake::approve_and_wait(&office, &admin).await;
    admin
        .batch_execute("update public.sicantik_permit set status = 'draft'; update public.sicantik_permit set status = 'active'")
        .await
        .expect("writes");
    office
        .until(
            &admin,
            "select not exists (select from sicantik_notify.event) and (select count(distinct phone) >= 3 from sicantik_notify.log) \
             and not exists (select from sicantik_notify.queue where state = 'processing' or (state = 'pending' and ready))",
        )
        .await
        .unwrap_or_else(|e| panic!("{e}\n{}", daemon.log()));
    daemon.signal("TERM").await;
    assert!(daemon.ended().await.success());

    let log = daemon.log();
    let mut secrets = vec![
        Gateway::META_TOKEN.to_owned(),
        Gateway::FONNTE_TOKEN.to_owned(),
        Gateway::WATZAP_API_KEY.to_owned(),
        Gateway::WATZAP_NUMBER_KEY.to_owned(),
        "hunter2hunter2".to_owned(),
        std::fs::read_to_string(office.folder().join("state/arming")).expect("the secret"),
    ];
    for row in admin
        .query(
            "select phone from sicantik_notify.queue union select phone from sicantik_notify.log",
            &[],
        )
        .await
        .expect("numbers")
    {
        // Without country code: so every notation is found.
        let phone: String = row.get(0);
        secrets.push(phone.trim_start_matches("+62").to_owned());
    }
    assert!(secrets.len() >= 9, "many numbers: {}", secrets.len());
    for secret in secrets {
        for line in log.lines() {
            assert!(!line.contains(&secret), "{secret} in the log:\n{line}");
        }
    }
    assert!(
        log.contains("****") || log.contains("***"),
        "masked numbers are there:\n{log}"
    );
}
