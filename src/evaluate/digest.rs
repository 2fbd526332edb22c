//! Records of one run of a schedule become one message for each recipient (`rule.group_by`): they wait as digests until no
//! event of the run is left, then a flush turns them into messages.
//!
//! Nothing is lost or doubled, whichever of two evaluators is quicker: a digest is committed with the deletion of its event,
//! so whoever sees that no event of a run is left sees all its digests; deleting and enqueuing them is one transaction, and
//! only one flush runs at a time. The run of an evaluator that dies is flushed by the next round of any other.

use serde_json::{Map, Value};
use tokio_postgres::{Row, Transaction};

use super::compose::Draft;
use super::decision::{self, Decision, RunRecord};
use crate::db::ids::{EventId, MessageId, PartnerId, RecordId, RuleId, TriggerId};
use crate::db::prepared::Prepared;
use crate::db::statements as sql;
use crate::queue::enqueue::{Intake, NewMessage, Terms, enqueue_from, run_series};

/// Runs that one flush takes at most.
const RUNS: i64 = 20;
/// Lines of a list at most.
pub const LINES: usize = 20;

/// Keeps drafts for the flush of their run, in one statement.
pub(super) async fn store(
    tx: &Transaction<'_>,
    rule: RuleId,
    trigger: TriggerId,
    drafts: &[Draft<'_, '_>],
) -> Result<(), tokio_postgres::Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    let messages: Vec<&NewMessage> = drafts.iter().map(|d| &d.message).collect();
    let text = |get: fn(&NewMessage) -> &str| messages.iter().map(|m| get(m)).collect::<Vec<&str>>();
    let number = |get: fn(&NewMessage) -> i64| messages.iter().map(|m| get(m)).collect::<Vec<i64>>();
    let xacts: Vec<&str> = drafts.iter().map(|d| d.case.change.xact.as_str()).collect();
    let partners: Vec<Option<i64>> = messages.iter().map(|m| m.partner.map(|p| p.0)).collect();
    let contexts: Vec<Value> = messages
        .iter()
        .map(|m| Value::Object(m.context.clone()))
        .collect();
    let times: Vec<_> = messages.iter().map(|m| m.changed_at).collect();
    tx.execute(
        sql::DIGEST_STORE.sql,
        &[
            &rule.0,
            &trigger.0,
            &xacts,
            &text(|m| &m.phone),
            &number(|m| m.event.0),
            &number(|m| m.record.0),
            &text(|m| &m.model),
            &partners,
            &text(|m| &m.partner_name),
            &contexts,
            &times,
        ],
    )
    .await?;
    Ok(())
}

/// Turns the digests of runs that are over into messages, a transaction for each rule. Returns how many messages that makes.
///
/// # Errors
/// The server's; then the digests of that rule are where they were.
pub async fn flush(client: &mut deadpool_postgres::Client) -> Result<usize, tokio_postgres::Error> {
    let mut flushed = 0;
    loop {
        match flush_next(client).await? {
            0 => return Ok(flushed),
            messages => flushed += messages,
        }
    }
}

async fn flush_next(client: &mut deadpool_postgres::Client) -> Result<usize, tokio_postgres::Error> {
    let waiting = "select exists (select from sicantik_notify.digest)";
    let waiting = client.prepare_cached(waiting).await?;
    if !client.query_one(&waiting, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let prepared = Prepared::of(client);
    let tx = client.transaction().await?;
    let lock = "select pg_try_advisory_xact_lock(hashtextextended('sicantik_notify.digest', 0))";
    if !tx.query_one(lock, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let rows = tx.query(sql::DIGEST_TAKE.sql, &[&RUNS, &(LINES as i64)]).await?;
    let mut decisions = Vec::new();
    for rows in rows.chunk_by(in_one_series) {
        decisions.extend(flush_rule(&tx, &prepared, rows).await?);
    }
    decision::store(&tx, &prepared, &decisions).await?;
    tx.commit().await?;
    decision::announce(&decisions);
    Ok(rows.len())
}

/// Batch rules have a series of slots for each run.
fn in_one_series(a: &Row, b: &Row) -> bool {
    let rule = |row: &Row| row.get::<_, i64>("rule_id");
    let run = |row: &Row| {
        row.get::<_, bool>("batched")
            .then(|| row.get::<_, String>("xact"))
    };
    rule(a) == rule(b) && run(a) == run(b)
}

async fn flush_rule(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    rows: &[Row],
) -> Result<Vec<Decision>, tokio_postgres::Error> {
    let Some(first) = rows.first() else {
        return Ok(Vec::new());
    };
    let template: &str = first.get("template_key");
    let terms = Terms {
        rule: RuleId(first.get("rule_id")),
        trigger: first.get::<_, Option<i64>>("trigger_id").map(TriggerId),
        priority: first.get("priority"),
        delay_minutes: first.get("delay"),
        template_key: template,
    };
    let batched: bool = first.get("batched");
    let series = if batched {
        run_series(first.get("xact"))
    } else {
        String::new()
    };
    let intake = Intake {
        series: &series,
        ..Intake::default()
    };
    let messages: Vec<NewMessage> = rows.iter().map(message).collect();
    let ids = enqueue_from(tx, prepared, &terms, intake, &messages).await?;
    let mut decisions = Vec::new();
    let mut told = Told::default();
    for (row, id) in rows.iter().zip(ids) {
        // Never refused: what is of a run is of no one change.
        let Some(id) = id else { continue };
        decisions.extend(decide(row, id, template));
        told.add(row, id);
    }
    told.name(tx, terms.rule).await?;
    Ok(decisions)
}

fn message(row: &Row) -> NewMessage {
    let records: Vec<i64> = row.get("records");
    let events: Vec<i64> = row.get("events");
    let contexts: Value = row.get("contexts");
    let contexts: Vec<&Map<String, Value>> = contexts
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .collect();
    NewMessage {
        id: None,
        event: EventId(events.first().copied().unwrap_or_default()),
        xact: None,
        model: row.get("model"),
        record: RecordId(records.first().copied().unwrap_or_default()),
        partner: row.get::<_, Option<i64>>("partner_id").map(PartnerId),
        partner_name: row.get("partner_name"),
        phone: row.get("phone"),
        context: context(&contexts, &records),
        changed_at: row.get("changed_at"),
        held: None,
    }
}

/// The first record's values, with the count and the list of all.
pub fn context(contexts: &[&Map<String, Value>], records: &[i64]) -> Map<String, Value> {
    let mut context = contexts.first().copied().cloned().unwrap_or_default();
    let mut lines: Vec<String> = contexts
        .iter()
        .take(LINES)
        .zip(records)
        .enumerate()
        .map(|(at, (context, record))| format!("{}. {}", at + 1, line(context, *record)))
        .collect();
    if records.len() > lines.len() {
        lines.push(format!("… dan {} lainnya", records.len() - lines.len()));
    }
    context.insert("jumlah".into(), records.len().into());
    context.insert("daftar".into(), lines.join("\n").into());
    context
}

/// Number – type – applicant, as far as they are known.
fn line(context: &Map<String, Value>, record: i64) -> String {
    let value = |key: &str| context.get(key).and_then(Value::as_str).filter(|v| !v.is_empty());
    let number = ["permit_number", "registration_id", "document_number"]
        .iter()
        .find_map(|key| value(key))
        .map_or_else(|| format!("#{record}"), str::to_owned);
    let rest = ["permit_type", "applicant_name"]
        .iter()
        .filter_map(|key| value(key));
    let parts: Vec<&str> = std::iter::once(number.as_str()).chain(rest).collect();
    parts.join(" – ")
}

/// One decision a record, so that each leads to its message.
fn decide(row: &Row, id: MessageId, template: &str) -> Vec<Decision> {
    let (records, events): (Vec<i64>, Vec<i64>) = (row.get("records"), row.get("events"));
    let rule: &str = row.get("rule_code");
    let partner = row.get::<_, Option<i64>>("partner_id").map(PartnerId);
    let reason = format!(
        "template {template}, one message for {} records of the run",
        records.len()
    );
    let record = |(record, event): (&i64, &i64)| {
        let of = RunRecord {
            event: *event,
            xact: row.get("xact"),
            model: row.get("model"),
            record: *record,
            trigger: row.get("trigger_code"),
        };
        Decision::of_run(of, reason.clone())
            .rule(rule)
            .partner(partner)
            .message(id)
    };
    records.iter().zip(&events).map(record).collect()
}

/// Records whose marks get the id of their message.
#[derive(Default)]
struct Told {
    phones: Vec<String>,
    records: Vec<i64>,
    models: Vec<String>,
    messages: Vec<i64>,
}

impl Told {
    fn add(&mut self, row: &Row, id: MessageId) {
        for record in row.get::<_, Vec<i64>>("records") {
            self.phones.push(row.get("phone"));
            self.records.push(record);
            self.models.push(row.get("model"));
            self.messages.push(id.0);
        }
    }

    async fn name(&self, tx: &Transaction<'_>, rule: RuleId) -> Result<(), tokio_postgres::Error> {
        tx.execute(
            sql::REPEAT_NAME.sql,
            &[&rule.0, &self.phones, &self.records, &self.models, &self.messages],
        )
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_list_names_what_is_known_and_counts_the_rest() {
        let permit = of(
            json!({"permit_number": "503/1", "permit_type": "IMB", "applicant_name": "Budi", "jumlah": 1}),
        );
        let document = of(
            json!({"permit_number": "", "registration_id": "", "document_number": "DOC/1", "permit_type": "IMB"}),
        );
        let bare = of(json!({}));
        let made = context(&[&permit, &document, &bare], &[7, 8, 9]);
        assert_eq!(made["jumlah"], 3);
        assert_eq!(made["permit_number"], "503/1");
        assert_eq!(made["daftar"], "1. 503/1 – IMB – Budi\n2. DOC/1 – IMB\n3. #9");
        let many: Vec<&Map<String, Value>> = vec![&permit; LINES];
        let records: Vec<i64> = (1..=25).collect();
        let made = context(&many, &records);
        assert_eq!(made["jumlah"], 25);
        let list = made["daftar"].as_str().unwrap_or_default();
        assert_eq!(list.lines().count(), LINES + 1);
        assert!(
            list.ends_with("20. 503/1 – IMB – Budi\n… dan 5 lainnya"),
            "{list}"
        );
    }
}
