//! Performs a chapter in an office of its own: SQL as an operator or as Odoo, commands with the binary, files through `apply`. What the
//! page shows is waited for, since a reader looks again too; what only reads is repeated, everything else is done once. At the end
//! every message that reached a provider must have been named.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sicantik_notifyd::config;
use sicantik_notifyd::testkit::gateway::{Accepted, Behaviour, Provider};
use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::office::{DATABASE, Daemon, OPERATOR, Office, Plan, RUNTIME};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::desk::{PATIENCE, QUICK, program};
use crate::output;
use crate::page::{Chapter, Shown, Step, What, Who};

const LISTENS: &str = "[http]\nenabled = true\nlisten = \"127.0.0.1:0\"\n";
const WEBHOOK_SECRET: &str = "rahasia-webhook-fonnte";

/// What a chapter needs.
pub struct Walk {
    office: Office,
    daemon: Option<Daemon>,
    operator: Client,
    odoo: Client,
    admin: Client,
    offset: String,
    /// The second in which somebody last wrote to us.
    answered: Option<u64>,
    /// Deliveries that the page has named, by their place in the ledger.
    named: Vec<bool>,
    /// Outputs to be written into the page, by the lines they replace.
    written: Vec<(usize, usize, String)>,
}

/// Whether outputs are written into the page instead of compared: for its author.
pub fn writes() -> bool {
    std::env::var_os("PANDUAN_TULIS").is_some()
}

/// What is to be written into the page, and what went wrong.
pub async fn perform(chapter: &Chapter) -> (Vec<(usize, usize, String)>, Option<String>) {
    let mut walk = Walk::begin(chapter).await;
    for step in &chapter.steps {
        if let Err(why) = walk.step(step).await {
            let log = walk.daemon.as_ref().map(Daemon::log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            let told: String = tail.iter().rev().fold(String::new(), |mut all, line| {
                let _ = writeln!(all, "  {line}");
                all
            });
            let arrived = walk.arrived();
            let failed = format!(
                "docs/panduan.md line {}: {why}\n\narrived:\n{arrived}\ndaemon:\n{told}",
                step.line
            );
            return (walk.written, Some(failed));
        }
    }
    // Nobody was told anything that the page does not speak of.
    walk.settled().await;
    walk.named.resize(walk.office.gateway.count(), false);
    let unnamed = walk.named.contains(&false);
    let failed = unnamed.then(|| {
        format!(
            "{}: messages that the page does not name:\n{}",
            chapter.title,
            walk.arrived()
        )
    });
    (walk.written, failed)
}

impl Walk {
    async fn begin(chapter: &Chapter) -> Self {
        let first = chapter.steps.iter().find_map(|s| match &s.what {
            What::Remark(r) if r.starts_with("kantor") => Some(r.as_str()),
            _ => None,
        });
        let mut plan = Plan::default();
        let replaces = first.is_some_and(|r| r.contains("modul-lama"));
        (plan.host.replaced_module, plan.providers) = (replaces, !replaces);
        let office = Office::open(program(), &plan).await.unwrap();
        let admin = office.admin().await.unwrap();
        admin
            .batch_execute(&format!(
                "insert into sicantik_notify.provider_secret (provider_id, name, value)
                 select id, 'webhook_secret', '{WEBHOOK_SECRET}' from sicantik_notify.provider where provider_type = 'fonnte';
                 alter database {DATABASE} set timezone = 'Asia/Jakarta'"
            ))
            .await
            .unwrap();
        let (operator, odoo) = (
            connect(&office, OPERATOR).await,
            connect(&office, host::OWNER).await,
        );
        let mut walk = Self {
            office,
            daemon: None,
            operator,
            odoo,
            admin,
            offset: String::from("0"),
            answered: None,
            named: Vec::new(),
            written: Vec::new(),
        };
        walk.start().await;
        walk
    }

    async fn start(&mut self) {
        self.daemon = Some(self.office.daemon(&format!("{QUICK}{LISTENS}")).await.unwrap());
        self.office
            .until(
                &self.admin,
                "select exists (select from sicantik_notify.instance i where i.delivering and i.heartbeat_at > sicantik_notify.clock() - interval '5 seconds')
                    and exists (select from sicantik_notify.v_instance where leads)",
            )
            .await
            .unwrap();
    }

    async fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal("TERM").await.unwrap();
            daemon.wait().await.unwrap();
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.what {
            What::Remark(remark) => self.remark(remark).await,
            What::Config(text) => {
                let file = self.office.folder().join("config.toml");
                std::fs::write(&file, text).map_err(|e| e.to_string())?;
                config::Config::load(Some(&file))
                    .map(drop)
                    .map_err(|e| e.to_string())
            }
            _ => match &step.shown {
                Some(shown) if repeatable(&step.what) => self.until_shown(step, shown).await,
                Some(shown) => {
                    let found = self.act(&step.what).await;
                    self.compare(shown, found.unwrap_or_else(|e| e))
                }
                None => self.act(&step.what).await.map(drop),
            },
        }
    }

    async fn until_shown(&mut self, step: &Step, shown: &Shown) -> Result<(), String> {
        let begun = Instant::now();
        let patience = if writes() {
            Duration::from_secs(4)
        } else {
            PATIENCE
        };
        loop {
            let found = self.act(&step.what).await.unwrap_or_else(|e| e);
            if output::is_as_shown(&shown.lines, &found) {
                return Ok(());
            }
            if begun.elapsed() > patience {
                return self.compare(shown, found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn compare(&mut self, shown: &Shown, found: String) -> Result<(), String> {
        if output::is_as_shown(&shown.lines, &found) {
            return Ok(());
        }
        if writes() {
            self.written.push((
                shown.from,
                shown.from + shown.lines.len(),
                found.trim_end().to_owned(),
            ));
            return Ok(());
        }
        Err(format!(
            "the page shows\n{}\nbut it is\n{found}",
            shown.lines.join("\n")
        ))
    }

    /// What it prints; as an error, what it prints where it fails.
    async fn act(&mut self, what: &What) -> Result<String, String> {
        match what {
            What::Sql(who, text) => self.sql(*who, text).await,
            What::Apply(text) => {
                std::fs::write(self.office.folder().join("berkas.toml"), text).map_err(|e| e.to_string())?;
                self.shell("sicantik-notifyd apply -f berkas.toml").await
            }
            What::Command(command) => self.shell(command).await,
            What::Config(_) | What::Remark(_) => Ok(String::new()),
        }
    }

    async fn sql(&mut self, who: Who, text: &str) -> Result<String, String> {
        let client = match who {
            Who::Operator => &self.operator,
            Who::Odoo => {
                self.published().await;
                &self.odoo
            }
            Who::Dba => &self.admin,
        };
        let mut shown = String::new();
        for statement in statements(text) {
            match client.simple_query(&statement).await {
                Ok(messages) => shown.push_str(&tables(&messages)),
                Err(error) => return Err(shown + &refusal(&error)),
            }
        }
        Ok(shown)
    }

    /// As whoever installed the daemon and its PATH: everything with an operator's connection, but what only a DBA may do.
    async fn shell(&self, command: &str) -> Result<String, String> {
        let path = format!(
            "{}:{}",
            Path::new(program()).parent().unwrap().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let dba = ["migrate", "hooks ", "import-odoo", "uninstall", "arm"];
        let owner = match dba
            .iter()
            .any(|c| command.contains(&format!("sicantik-notifyd {c}")))
        {
            true => self.office.cluster.url(DATABASE),
            false => self.office.cluster.url_as(OPERATOR, DATABASE),
        };
        let mut child = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(self.office.folder())
            .env("PATH", path)
            .env("USER", "siti")
            .env(config::ENV_URL, self.office.cluster.url_as(RUNTIME, DATABASE))
            .env(config::ENV_OWNER_URL, owner)
            .env(
                config::ENV_OPERATOR_URL,
                self.office.cluster.url_as(OPERATOR, DATABASE),
            )
            .env(config::ENV_STATE_DIR, self.office.folder().join("state"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| e.to_string())?;
        if let Some(mut input) = child.stdin.take() {
            input.shutdown().await.map_err(|e| e.to_string())?;
        }
        let output = child.wait_with_output().await.map_err(|e| e.to_string())?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0 | 3) => Ok(said),
            _ => Err(said),
        }
    }

    /// Waits until hooks look for what is configured, as a reader does who needs a second to change over to Odoo.
    async fn published(&self) {
        self.office
            .until(
                &self.admin,
                "select not exists (select from sicantik_notify.v_trigger t where t.active and t.trigger_type like 'on\\_%'
                                      and t.published_at is null and to_regclass('public.' || replace(t.model, '.', '_')) is not null)
                    and not exists (select from sicantik_notify.hook_findings())",
            )
            .await
            .unwrap();
    }

    async fn settled(&self) {
        self.office
            .until(&self.admin, "select not exists (select from sicantik_notify.event) and not exists (select from sicantik_notify.queue where state = 'processing' or ready)")
            .await
            .unwrap();
    }

    async fn remark(&mut self, remark: &str) -> Result<(), String> {
        let words: Vec<&str> = remark.split_whitespace().collect();
        match words[..] {
            ["kantor", ..] => {}
            ["daemon", "berhenti"] => self.stop().await,
            ["daemon", "jalan"] => self.start().await,
            ["waktu", ..] => self.later(&words[1..].join(" ")).await,
            ["jam", clock] => self.at(clock).await,
            ["fonnte", "putus"] => self.office.gateway.fonnte().set_connected(false),
            ["fonnte", "sambung"] => self.office.gateway.fonnte().set_connected(true),
            ["fonnte", "sibuk"] => {
                self.office
                    .gateway
                    .script(Provider::Fonnte)
                    .push(Behaviour::http(503, "busy"));
            }
            ["fonnte", "tolak", number, ..] => {
                let reason = Behaviour::fonnte_reason(&words[3..].join(" "));
                self.office
                    .gateway
                    .script(Provider::Fonnte)
                    .when_to(number, reason);
            }
            ["meta", "galat", code] => {
                let code = code.parse().map_err(|_| "a code is a number".to_owned())?;
                self.office
                    .gateway
                    .script(Provider::Meta)
                    .push(Behaviour::meta_error(code, "Business eligibility payment issue"));
            }
            ["balas", number, ..] => {
                // Two messages of one second would be one: Fonnte names them by it.
                while self.answered == Some(second()) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                self.answered = Some(second());
                let address = self.listens().await?;
                let url = format!("http://{address}/webhook/fonnte/{WEBHOOK_SECRET}");
                let webhooks = self.office.gateway.fonnte_webhooks(&url);
                let status = webhooks
                    .send_inbound(number, &words[2..].join(" "))
                    .await
                    .map_err(|e| e.to_string())?;
                if status != 200 {
                    return Err(format!("the listener answered {status}"));
                }
            }
            // What Fonnte tells of the newest message that it took.
            ["fonnte", "kabar", state] => {
                let accepted = self.office.gateway.accepted();
                let newest = accepted.iter().rev().find(|m| m.provider == Provider::Fonnte);
                let id = newest
                    .and_then(|m| m.external_id.clone())
                    .ok_or("Fonnte took nothing")?;
                let url = format!("http://{}/webhook/fonnte/{WEBHOOK_SECRET}", self.listens().await?);
                let told = self
                    .office
                    .gateway
                    .fonnte_webhooks(&url)
                    .send_status(&id, "3EB0A1", "sent")
                    .await;
                told.map_err(|e| e.to_string())?;
                let told = self
                    .office
                    .gateway
                    .fonnte_webhooks(&url)
                    .send_state("3EB0A1", state)
                    .await;
                told.map_err(|e| e.to_string())?;
            }
            ["tiba", n, "pesan", ref through @ ..] => {
                let n: usize = n.parse().map_err(|_| "how many is a number".to_owned())?;
                for _ in 0..n {
                    self.arrives(|m| through.first().is_none_or(|p| m.provider == provider(p)))
                        .await?;
                }
            }
            ["tiba", through, number, ..] => {
                let text = words[3..].join(" ");
                self.arrives(|m| {
                    m.provider == provider(through) && m.to == number && evened(&m.text).contains(&text)
                })
                .await?;
            }
            _ => return Err(format!("the test does not know the remark {remark:?}")),
        }
        Ok(())
    }

    /// Waits for a message that was not named yet, and names it.
    async fn arrives(&mut self, is_it: impl Fn(&Accepted) -> bool) -> Result<(), String> {
        let begun = Instant::now();
        let patience = if writes() {
            Duration::from_secs(6)
        } else {
            PATIENCE
        };
        loop {
            let accepted = self.office.gateway.accepted();
            self.named.resize(accepted.len(), false);
            let found = accepted
                .iter()
                .zip(&self.named)
                .position(|(m, named)| !named && is_it(m));
            match found {
                Some(at) => {
                    self.named[at] = true;
                    return Ok(());
                }
                None if begun.elapsed() > patience => {
                    let queue = self.sql(Who::Dba, "select id, state, rule, waiting_for, error from sicantik_notify.v_queue order by id").await;
                    return Err(format!("it did not arrive\n{}", queue.unwrap_or_default()));
                }
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn arrived(&self) -> String {
        let mut text = String::new();
        for (index, m) in self.office.gateway.accepted().iter().enumerate() {
            let named = self.named.get(index).is_some_and(|n| *n);
            let _ = writeln!(
                text,
                "  {} {:?} {}: {}",
                if named { "named" } else { "     " },
                m.provider,
                m.to,
                evened(&m.text)
            );
        }
        text
    }

    /// The reader waits: the clock of everything that decides goes on.
    async fn later(&mut self, by: &str) {
        self.stop().await;
        self.offset = format!("{} {by}", self.offset);
        let offset: String = self
            .admin
            .query_one(&format!("select ({})::text", sum(&self.offset)), &[])
            .await
            .unwrap()
            .get(0);
        self.admin
            .batch_execute(&format!(
                "alter database {DATABASE} set sicantik_notify.clock_offset = '{offset}'"
            ))
            .await
            .unwrap();
        self.admin = self.office.admin().await.unwrap();
        self.operator = connect(&self.office, OPERATOR).await;
        self.odoo = connect(&self.office, host::OWNER).await;
        self.start().await;
    }

    /// The reader comes back at a time of the office's day.
    async fn at(&mut self, clock: &str) {
        let seconds: String = self
            .admin
            .query_one(
                "select extract(epoch from d.day + $1::text::time - d.now
                                + case when d.day + $1::text::time > d.now then interval '0' else interval '1 day' end)::text
                 from (select date_trunc('day', x.now) as day, x.now
                       from (select sicantik_notify.clock() at time zone 'Asia/Jakarta' as now) x) d",
                &[&clock],
            )
            .await
            .unwrap()
            .get(0);
        self.later(&format!("{seconds} seconds")).await;
    }

    async fn listens(&self) -> Result<String, String> {
        let begun = Instant::now();
        loop {
            let log = self.daemon.as_ref().map(Daemon::log).unwrap_or_default();
            if let Some((_, rest)) = log.rsplit_once("Listening for webhooks on http://") {
                let address: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
                    .collect();
                return Ok(address.trim_end_matches(['.', ':']).to_owned());
            }
            if begun.elapsed() > PATIENCE {
                return Err("the daemon does not listen".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// One by one, as psql sends them: each line that ends with a semicolon ends a statement.
fn statements(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        let code = line.split(" -- ").next().unwrap_or_default().trim_end();
        if let Some(last) = all.last_mut() {
            last.push_str(code);
            last.push('\n');
        }
        if code.ends_with(';') {
            all.push(String::new());
        }
    }
    all.retain(|s| !s.trim().is_empty());
    all
}

fn refusal(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => match said.hint() {
            Some(hint) => format!("ERROR:  {}\nHINT:  {hint}", said.message()),
            None => format!("ERROR:  {}", said.message()),
        },
        None => error.to_string(),
    }
}

fn tables(messages: &[SimpleQueryMessage]) -> String {
    let mut text = String::new();
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(described) => {
                columns = described.iter().map(|c| c.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            }
            SimpleQueryMessage::CommandComplete(_) if !columns.is_empty() => {
                text.push_str(&output::table(&columns, &rows));
                text.push_str("\n\n");
                columns.clear();
                rows.clear();
            }
            _ => {}
        }
    }
    text
}

async fn connect(office: &Office, role: &str) -> Client {
    office.connect_as(role).await.unwrap()
}

/// "0 5 minutes 1 day" as a sum of intervals.
fn sum(offsets: &str) -> String {
    let words: Vec<&str> = offsets.split_whitespace().skip(1).collect();
    let parts: Vec<String> = words
        .chunks(2)
        .map(|pair| format!("interval '{}'", pair.join(" ")))
        .collect();
    parts.join(" + ")
}

fn second() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| d.as_secs())
}

fn provider(name: &str) -> Provider {
    match name {
        "meta" => Provider::Meta,
        "fonnte" => Provider::Fonnte,
        "watzap" => Provider::Watzap,
        other => panic!("there is no provider {other}"),
    }
}

fn evened(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether doing it twice is as good as doing it once.
fn repeatable(what: &What) -> bool {
    const LOOKS: &[&str] = &[
        "status",
        "check",
        "explain",
        "queue list",
        "cron list",
        "cron log",
        "campaign list",
        "campaign show",
        "campaign watch",
        "campaign dry-run",
        "blacklist list",
        "provider test",
        "template list",
        "template preview",
        "template lint",
        "domain",
        "simulate",
        "doctor",
        "export",
        "hooks verify",
        "token list",
    ];
    match what {
        What::Sql(_, text) => {
            // A function of ours in a select does something; a view of ours does not.
            let acts = text.split("sicantik_notify.").skip(1).any(|rest| {
                rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                    .starts_with('(')
            });
            text.trim_start().to_lowercase().starts_with("select") && !acts
        }
        What::Command(command) => {
            command.contains("--dry-run")
                || LOOKS
                    .iter()
                    .any(|look| command.starts_with(&format!("sicantik-notifyd {look}")))
        }
        _ => false,
    }
}
