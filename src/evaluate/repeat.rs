//! Who was told already: a daily schedule over "expires within thirty days" tells each citizen once. A mark is written with
//! the message, in its transaction, and outlives the log.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::apply::Batch;
use super::compose::Draft;
use super::decision::Outcome;
use super::rule::{RuleError, Work};
use super::trigger::text;
use crate::db::ids::{MessageId, PartnerId};
use crate::db::statements as sql;

/// How often one recipient hears of one record (`rule.repeat_policy`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Every time.
    EveryEvent,
    /// Once.
    OncePerRecord,
    /// Once for each value of these columns.
    OncePerValue(Vec<String>),
    /// Again after so long.
    Cooldown {
        /// Minutes.
        minutes: i32,
    },
}

impl std::fmt::Display for Repeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EveryEvent => f.write_str("every_event"),
            Self::OncePerRecord => f.write_str("once_per_record"),
            Self::OncePerValue(columns) => write!(f, "once_per_value({})", columns.join(", ")),
            Self::Cooldown { minutes } => write!(f, "cooldown({minutes} minutes)"),
        }
    }
}

impl Repeat {
    /// Columns of the record that it reads.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::OncePerValue(columns) => columns,
            _ => &[],
        }
    }

    /// The value for which a record is told; `None`: it is told every time.
    fn value(&self, image: &Map<String, Value>) -> Option<String> {
        match self {
            Self::EveryEvent => None,
            Self::OncePerRecord | Self::Cooldown { .. } => Some(String::new()),
            Self::OncePerValue(columns) => {
                let values: Vec<String> = columns
                    .iter()
                    .map(|c| text(image.get(c)).unwrap_or_default())
                    .collect();
                Some(values.join(" | "))
            }
        }
    }

    /// Seconds after which a mark is over. A schedule that runs every day does so a moment earlier on some days: a tenth of
    /// the time, ten minutes at most, is forgiven.
    fn over_after(&self) -> Option<f64> {
        match self {
            Self::Cooldown { minutes } => {
                let seconds = f64::from(*minutes) * 60.0;
                Some(seconds - (seconds / 10.0).min(600.0))
            }
            _ => None,
        }
    }

    fn describe(&self, value: &str) -> String {
        match self {
            Self::OncePerValue(columns) => format!("; once for each {}, here {value:?}", columns.join(", ")),
            Self::Cooldown { minutes } => format!("; again after {minutes} minutes"),
            _ => "; once for each record".to_owned(),
        }
    }
}

/// What the marks say of a draft.
struct Mark {
    fresh: bool,
    message: Option<i64>,
    /// The change has its message already, which waits in the queue: that is for the queue to say.
    waits: bool,
    told_at: Option<DateTime<Utc>>,
    told_by: Option<i64>,
}

impl Batch<'_> {
    /// Leaves out those who were told already, and marks the others. One statement a rule.
    pub(super) async fn unrepeated<'s, 'c>(
        &mut self,
        work: Work<'_>,
        drafts: Vec<Draft<'s, 'c>>,
    ) -> Result<Vec<Draft<'s, 'c>>, RuleError> {
        let repeat = &work.plan.repeat;
        if *repeat == Repeat::EveryEvent || drafts.is_empty() {
            return Ok(drafts);
        }
        let value = |draft: &Draft<'_, '_>| repeat.value(&draft.case.image).unwrap_or_default();
        let mut seen = HashSet::new();
        let (mut firsts, mut values) = (Vec::new(), Vec::new());
        for draft in drafts {
            let value = value(&draft);
            let key = (draft.message.phone.clone(), draft.message.record, value.clone());
            if seen.insert(key) {
                firsts.push(draft);
                values.push(value);
            } else {
                let told = "an earlier change of the same record, evaluated with this one, tells it";
                self.repeated(work, &draft, format!("{told}{}", repeat.describe(&value)));
            }
        }
        let marks = match self.rehearsal {
            None => self.mark(work, &firsts, &values).await?,
            Some(_) => self.look(work, &firsts, &values).await?,
        };
        let mut kept = Vec::new();
        for ((mut draft, value), mark) in firsts.into_iter().zip(values).zip(marks) {
            if mark.fresh || mark.waits {
                draft.message.id = mark.message.map(MessageId);
                kept.push(draft);
            } else {
                let told = self.told(&mark);
                self.repeated(work, &draft, format!("{told}{}", repeat.describe(&value)));
            }
        }
        Ok(kept)
    }

    /// Who of those would not be told again (of which record, at which number), and why. Marks nothing.
    pub(super) async fn told_before(
        &self,
        work: Work<'_>,
        drafts: &[Draft<'_, '_>],
    ) -> Result<Vec<(i64, String, Option<PartnerId>, String)>, RuleError> {
        let repeat = &work.plan.repeat;
        let mut before = Vec::new();
        for of_record in drafts.chunk_by(|a, b| a.message.record == b.message.record) {
            let Some(first) = of_record.first() else { continue };
            let Some(value) = repeat.value(&first.case.image) else {
                break;
            };
            let phones: Vec<&str> = of_record.iter().map(|d| d.message.phone.as_str()).collect();
            let (rule, over) = (work.rule.id.0, repeat.over_after());
            let about = &first.message;
            let asked: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
                &[&rule, &over, &about.record.0, &about.model, &value, &phones];
            for row in self.tx.query(sql::REPEAT_TOLD.sql, asked).await? {
                let phone: &str = row.get("phone");
                let partner = of_record.iter().find(|d| d.message.phone == phone);
                let mark = Mark {
                    fresh: false,
                    message: None,
                    waits: false,
                    told_at: row.get("told_at"),
                    told_by: row.get("told_by"),
                };
                let told = format!("{}{}", self.told(&mark), repeat.describe(&value));
                before.push((
                    about.record.0,
                    phone.to_owned(),
                    partner.and_then(|d| d.message.partner),
                    told,
                ));
            }
        }
        Ok(before)
    }

    fn repeated(&mut self, work: Work<'_>, draft: &Draft<'_, '_>, reason: String) {
        let decision = work.decide(Outcome::Repeated, draft.case.change, reason);
        self.decisions.push(decision.partner(draft.message.partner));
    }

    fn told(&self, mark: &Mark) -> String {
        let zone = self.configuration.office.timezone;
        let when = mark.told_at.map_or_else(
            || "just now".to_owned(),
            |at| at.with_timezone(&zone).format("on %d-%m-%Y %H:%M").to_string(),
        );
        match mark.told_by {
            Some(message) => format!("told {when} by message {message}"),
            None => format!("told {when}"),
        }
    }

    /// What [`Self::mark`] would find; marks nothing but in the memory of the rehearsal.
    async fn look(
        &mut self,
        work: Work<'_>,
        drafts: &[Draft<'_, '_>],
        values: &[String],
    ) -> Result<Vec<Mark>, RuleError> {
        let phones: Vec<&str> = drafts.iter().map(|d| d.message.phone.as_str()).collect();
        let records: Vec<i64> = drafts.iter().map(|d| d.message.record.0).collect();
        let models: Vec<&str> = drafts.iter().map(|d| d.message.model.as_str()).collect();
        let over = work.plan.repeat.over_after();
        let asked: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&work.rule.id.0, &over, &phones, &records, &models, &values];
        let rows = self.tx.query(sql::REPEAT_LOOK.sql, asked).await?;
        let mut marks = Vec::new();
        for ((row, draft), value) in rows.iter().zip(drafts).zip(values) {
            let mut told_at: Option<DateTime<Utc>> = row.get("told_at");
            let mut told_by: Option<i64> = row.get("told_by");
            if let Some(rehearsal) = &mut self.rehearsal
                && !told_at.is_some_and(|at| rehearsal.counts(at))
            {
                (told_at, told_by) = (rehearsal.told(work.rule.id, draft, value, over), None);
            }
            marks.push(Mark {
                fresh: told_at.is_none(),
                message: None,
                waits: false,
                told_at,
                told_by,
            });
        }
        Ok(marks)
    }

    async fn mark(
        &self,
        work: Work<'_>,
        drafts: &[Draft<'_, '_>],
        values: &[String],
    ) -> Result<Vec<Mark>, RuleError> {
        let phones: Vec<&str> = drafts.iter().map(|d| d.message.phone.as_str()).collect();
        let records: Vec<i64> = drafts.iter().map(|d| d.message.record.0).collect();
        let models: Vec<&str> = drafts.iter().map(|d| d.message.model.as_str()).collect();
        let xacts: Vec<&str> = drafts.iter().map(|d| d.case.change.xact.as_str()).collect();
        let digested: Vec<bool> = drafts.iter().map(|d| d.is_digested(work)).collect();
        let rows = self
            .tx
            .query(
                sql::REPEAT_MARK.sql,
                &[
                    &work.rule.id.0,
                    &work.plan.repeat.over_after(),
                    &phones,
                    &records,
                    &models,
                    &values,
                    &xacts,
                    &digested,
                ],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| Mark {
                fresh: row.get("fresh"),
                message: row.get("message_id"),
                waits: row.get("waits"),
                told_at: row.get("told_at"),
                told_by: row.get("told_by"),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_forgives_ten_minutes_and_an_hour_six() {
        let over = |minutes| Repeat::Cooldown { minutes }.over_after();
        assert_eq!(over(1440), Some(86_400.0 - 600.0));
        assert_eq!(over(60), Some(3600.0 - 360.0));
        assert_eq!(Repeat::OncePerRecord.over_after(), None);
    }

    #[test]
    fn the_value_is_that_of_all_columns_and_nothing_is_a_value() {
        let image = serde_json::json!({"a": "2026-12-01", "b": null, "c": 3});
        let image = image.as_object().cloned().unwrap_or_default();
        let of = |columns: &[&str]| {
            let columns = columns.iter().map(|c| (*c).to_owned()).collect();
            Repeat::OncePerValue(columns).value(&image)
        };
        assert_eq!(of(&["a"]).as_deref(), Some("2026-12-01"));
        assert_eq!(of(&["a", "b", "c"]).as_deref(), Some("2026-12-01 |  | 3"));
        assert_eq!(of(&["b"]).as_deref(), Some(""));
        assert_eq!(Repeat::EveryEvent.value(&image), None);
    }
}
