//! README's section "Install" as it stands, performed on a clean database by a DBA who is no superuser. What the section shows of the
//! output must come, in its order; `…` stands for what differs.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sicantik_notifyd::config::Config;
use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio::process::{Child, Command};

const DATABASE: &str = "sicantik_companion_standalone";
const RUNTIME: &str = "sicantik_notifyd";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"))
}

/// A fenced block: its language and its lines.
#[derive(Debug, PartialEq)]
struct Block<'a> {
    language: &'a str,
    lines: Vec<&'a str>,
}

fn blocks<'a>(page: &'a str, section: &str) -> Vec<Block<'a>> {
    let lines = page.lines().skip_while(|line| *line != section).skip(1);
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block {
                    language,
                    lines: Vec::new(),
                });
            }
            (None, Some(block)) => block.lines.push(line),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of {section} does not end");
    blocks
}

/// Commands of a console block, each with the output that is shown.
fn commands<'a>(block: &Block<'a>) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in &block.lines {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push((command, Vec::new())),
            (None, Some((_, shown))) => shown.push(line),
            (None, None) => panic!("output without a command: {line}"),
        }
    }
    all
}

/// Whether a line is as shown; `…` is any text.
fn alike(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else {
            return false;
        };
        rest = &rest[found + part.len()..];
    }
    rest.is_empty()
}

/// Whether the output is as shown; a line `…` is any number of lines.
fn same(shown: &[&str], output: &[&str]) -> bool {
    match shown.split_first() {
        None => output.is_empty(),
        Some((&"…", rest)) => (0..=output.len()).any(|skipped| same(rest, &output[skipped..])),
        Some((line, rest)) => output
            .split_first()
            .is_some_and(|(first, others)| alike(line, first.trim_end()) && same(rest, others)),
    }
}

fn trimmed<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let end = lines
        .iter()
        .rposition(|line| !line.trim().is_empty())
        .map_or(0, |at| at + 1);
    lines[..end].to_vec()
}

/// A clean database, and the machine that README speaks of.
struct Machine {
    cluster: Cluster,
    folder: tempfile::TempDir,
    /// What `export` has set.
    exported: Vec<(String, String)>,
    daemon: Option<Child>,
}

impl Machine {
    async fn new() -> Self {
        let cluster = Cluster::start().await.unwrap();
        cluster.create_database(DATABASE, None).await.unwrap();
        let admin = cluster.connect(DATABASE).await.unwrap();
        host::install(&admin, host::Profile::Odoo18_0, &host::Options::default())
            .await
            .unwrap();
        Self {
            cluster,
            folder: tempfile::tempdir().unwrap(),
            exported: Vec::new(),
            daemon: None,
        }
    }

    /// README's places are those of an office.
    fn here(&self, text: &str) -> String {
        let socket = format!(
            "host={} port={}",
            self.cluster.socket_dir().display(),
            self.cluster.port()
        );
        text.replace("host=/run/postgresql", &socket)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    fn command(&self, name: impl AsRef<std::ffi::OsStr>) -> Command {
        let path = std::env::join_paths([
            program().parent().unwrap(),
            self.cluster.bin_dir(),
            Path::new("/usr/bin"),
            Path::new("/bin"),
        ]);
        let mut command = Command::new(name);
        command
            .env_clear()
            .env("PATH", path.unwrap())
            .env("SICANTIK_NOTIFYD_STATE_DIR", self.folder.path().join("state"))
            .envs(self.exported.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// A command of the section; what it printed.
    async fn perform(&mut self, text: &str) -> String {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["export", assignment] if !assignment.contains('\'') => panic!("{text}: values are quoted"),
            ["export", ..] => {
                let (name, value) = text["export ".len()..].split_once('=').unwrap();
                let value = value
                    .strip_prefix('\'')
                    .and_then(|v| v.strip_suffix('\''))
                    .unwrap();
                let pair = (name.to_owned(), self.here(value));
                self.exported.push(pair);
                String::new()
            }
            // The package has a test of its own (packaging/check.sh).
            ["apt", "install", package] => {
                let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
                assert!(
                    makefile.contains(&format!(" {}\n", package.trim_start_matches("./"))),
                    "make deb makes no {package}"
                );
                String::new()
            }
            ["systemctl", "enable", "--now", "sicantik-notifyd"] => {
                self.start().await;
                String::new()
            }
            _ => {
                let mut command = self.command("sh");
                if words[..2] == ["sicantik-notifyd", "status"] {
                    command.env(
                        "SICANTIK_NOTIFYD_DATABASE_URL",
                        self.cluster.url_as(RUNTIME, DATABASE),
                    );
                }
                let output = command.args(["-c", text]).output().await.unwrap();
                let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "$ {text}\n{printed}{errors}");
                assert_eq!(errors, "", "$ {text}");
                printed
            }
        }
    }

    /// As the unit does it.
    async fn start(&mut self) {
        let unit = std::fs::read_to_string(root().join("systemd/sicantik-notifyd.service")).unwrap();
        assert!(
            unit.contains("ExecStart=/usr/bin/sicantik-notifyd run\n"),
            "{unit}"
        );
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let daemon = self
            .command(program())
            .args(["run", "--config"])
            .arg(self.config())
            .stderr(log)
            .spawn();
        self.daemon = Some(daemon.unwrap());
        let admin = self.cluster.connect(DATABASE).await.unwrap();
        let looking = async {
            let query =
                "select exists (select from sicantik_notify.v_instance where alive and delivering and leads)";
            while !admin.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), looking)
            .await
            .is_err()
        {
            panic!(
                "{}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap()
            );
        }
    }

    /// The daemon file: right as it stands, and with this machine's database.
    fn write(&self, block: &Block) {
        let text = block.lines.join("\n") + "\n";
        let config: Config = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        config.check().unwrap();
        let url = config.url().unwrap();
        assert!(
            url.contains(RUNTIME) && url.contains(DATABASE) && url.ends_with("sslmode=verify-full"),
            "{url}"
        );
        std::fs::write(
            self.config(),
            text.replace(url, &self.cluster.url_as(RUNTIME, DATABASE)),
        )
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_readme_says_about_the_installation_is_what_happens() {
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&page, "## Install");
    let mut machine = Machine::new().await;
    let admin = machine.cluster.connect(DATABASE).await.unwrap();
    let (mut performed, mut compared) = (0, 0);
    for block in &blocks {
        match block.language {
            "sql" => admin.batch_execute(&block.lines.join("\n")).await.unwrap(),
            "toml" => machine.write(block),
            "console" => {
                for (command, shown) in commands(block) {
                    let output = machine.perform(command).await;
                    performed += 1;
                    let (shown, output) = (trimmed(&shown), trimmed(&output.lines().collect::<Vec<_>>()));
                    if !shown.is_empty() {
                        compared += 1;
                        assert!(
                            same(&shown, &output),
                            "$ {command}\nREADME shows:\n{}\n\nit prints:\n{}",
                            shown.join("\n"),
                            output.join("\n")
                        );
                    }
                }
            }
            other => panic!("what is to be done with a block of {other:?}?"),
        }
    }
    assert!(
        performed >= 8 && compared >= 5,
        "the section lost its commands: {performed}, {compared}"
    );
    // The one who did all this is no superuser, and the daemon runs.
    let superuser: bool = admin
        .query_one("select rolsuper from pg_roles where rolname = 'dba'", &[])
        .await
        .unwrap()
        .get(0);
    assert!(!superuser && machine.daemon.is_some());
}

#[test]
fn a_wrong_page_is_noticed() {
    let output = ["migration   V1__a", "migration   V2__b", "done 17"];
    for right in [
        &["migration   V1__a", "…", "done …"][..],
        &["…"],
        &["migration   V1__a", "migration   V2__b", "done 17"],
    ] {
        assert!(same(right, &output), "{right:?}");
    }
    for wrong in [
        &["migration   V1__a"][..],
        &["migration   V1__a", "…", "gone …"],
        &["…", "migration   V3__c", "…"],
        &["migration   V2__b", "…"],
        &[],
    ] {
        assert!(!same(wrong, &output), "{wrong:?}");
    }
    let page = "## Install\n```console\n$ a\nx\n$ b\n```\ntext\n```sql\nselect 1\n```\n## Next\n```console\n$ c\n```\n";
    let found = blocks(page, "## Install");
    assert_eq!(found.len(), 2);
    assert_eq!(commands(&found[0]), [("a", vec!["x"]), ("b", vec![])]);
}
