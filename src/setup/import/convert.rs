//! From rows of the replaced module to rows of ours: one function a table. What has to be changed is said; what cannot be a row
//! here says why, and what to do.

use serde_json::Value;

use super::candidate::{Candidate, Secret, is_code, refused, slug};
use super::domain::{is_everything, without_active};
use super::host::{
    self, ACCOUNT, BLACKLIST, CAMPAIGN, Host, PROVIDER, RULE, Row, TEMPLATE, TRIGGER, flag, link, text,
};
use super::report::Entry;
use crate::host::catalog::Catalog;
use crate::host::phone::Phone;

type Converted = Result<Candidate, Box<Entry>>;

/// What conversions look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The replaced module.
    pub host: &'a Host,
    /// The host's models.
    pub catalog: &'a Catalog,
}

/// Conditions that the module ships, without blanks. Ours of the same code are bounded, and stay.
const SHIPPED: &[(&str, &str)] = &[
    (
        "permit_expiring",
        "[('expiry_date','<=',(datetime.now()+timedelta(days=30)).strftime('%Y-%m-%d'))]",
    ),
    (
        "document_pending_reminder",
        "[('state','=','pending_signature'),('create_date','<',(datetime.now()-timedelta(hours=24)).strftime('%Y-%m-%d%H:%M:%S'))]",
    ),
];

/// Whether a trigger is as the module ships it.
pub fn is_shipped(candidate: &Candidate) -> bool {
    let words: String = candidate
        .row
        .get("condition_domain")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let shipped = SHIPPED.iter().find(|(code, _)| *code == candidate.code);
    words == shipped.map_or("", |(_, domain)| domain)
}

impl Context<'_> {
    fn has_active(&self, model: &str) -> bool {
        let model = self.catalog.model(model);
        model.is_none_or(|m| m.fields.contains_key("active"))
    }

    /// A domain, without the one condition that never worked.
    fn domain(&self, candidate: &mut Candidate, of: &Row, column: &str, model: &str) {
        let Some(written) = text(of, column).filter(|t| !is_everything(t)) else {
            candidate.set(column, Value::Null);
            return;
        };
        let cleaned = match self.has_active(model) {
            true => None,
            false => without_active(written),
        };
        match cleaned {
            None => candidate.set(column, written),
            Some(cleaned) => {
                candidate.note(format!(
                    "{column}: the condition ('active', '=', True) was dropped: {model} has no field active"
                ));
                candidate.set(column, Some(cleaned).filter(|t| !is_everything(t)));
            }
        }
    }

    /// A trigger.
    pub fn trigger(&self, of: &Row) -> Converted {
        let written = text(of, "code").unwrap_or_default();
        let name = of.get("name").and_then(host::translated);
        let code = match is_code(written) {
            true => written.to_owned(),
            false => slug(written),
        };
        let no = |why: String, remedy: &str| Err(refused(TRIGGER, of, "trigger", written, why, remedy));
        if code.is_empty() {
            return no("it has no code".into(), "give it one in Odoo, and import again");
        }
        let model = text(of, "model_name").or_else(|| self.host.model(link(of, "model_id")?));
        let Some(model) = model.filter(|m| self.catalog.model(m).is_some()) else {
            let why = match model {
                Some(model) => format!("this host has no model {model}, or no table for it"),
                None => "its model does not exist any more".to_owned(),
            };
            return no(
                why,
                "name a model that exists in Odoo and import again, or leave it",
            );
        };
        let mut candidate = Candidate::new(TRIGGER, of, "triggers", "trigger", &code);
        if code != written {
            candidate.note(format!(
                "its code was {written:?}: letters, digits and underscores only"
            ));
        }
        candidate.set("name", name.unwrap_or_else(|| code.clone()));
        candidate.set("active", flag(of, "active"));
        candidate.number(of, "sequence", i64::from(i32::MIN), 10);
        candidate.set("model", model);
        candidate.text(of, "description");
        let kind = text(of, "trigger_type").unwrap_or_default();
        let kinds = [
            "on_create",
            "on_write",
            "on_state_change",
            "on_field_change",
            "cron",
            "manual",
            "api",
        ];
        if !kinds.contains(&kind) {
            let why = format!(
                "its trigger_type is {kind:?}, which is none of {}",
                kinds.join(", ")
            );
            return no(
                why,
                "choose one in Odoo and import again, or make the trigger here",
            );
        }
        candidate.set("trigger_type", kind);
        candidate.set("state_field", text(of, "state_field").unwrap_or("state"));
        candidate.text(of, "state_from");
        candidate.text(of, "state_to");
        let field = text(of, "field_to_watch_name")
            .or_else(|| self.host.field(link(of, "field_to_watch")?))
            .map(str::to_owned);
        match (kind, &field) {
            ("on_field_change", None) => {
                let why = "it watches a field that does not exist any more";
                return no(
                    why.into(),
                    "choose a field in Odoo and import again, or make the trigger here",
                );
            }
            ("on_field_change", Some(_)) | (_, None) => {}
            (_, Some(field)) => candidate.note(format!(
                "field_to_watch ({field}) has no meaning for {kind}: it never had"
            )),
        }
        candidate.set("field_to_watch", field.filter(|_| kind == "on_field_change"));
        if kind == "cron" {
            schedule(&mut candidate, of);
        }
        self.domain(&mut candidate, of, "condition_domain", model);
        Ok(candidate)
    }

    /// A rule of a trigger: the trigger's code here, and its model.
    pub fn rule(&self, of: &Row, code: &str, trigger: Option<(&str, &str)>) -> Converted {
        let name = of
            .get("name")
            .and_then(host::translated)
            .unwrap_or_else(|| code.to_owned());
        let no = |why: String, remedy: &str| Err(refused(RULE, of, "rule", &name, why, remedy));
        let Some((trigger, model)) = trigger else {
            return no(
                "its trigger does not exist, or could not be carried over".into(),
                "see what is said about that trigger, and import again",
            );
        };
        let key = text(of, "template_key").unwrap_or_default().to_owned();
        if !is_code(&key) {
            return no(
                format!("its template_key {key:?} cannot be a key"),
                "name a template in Odoo and import again",
            );
        }
        let mut candidate = Candidate::new(RULE, of, "rules", "rule", code);
        candidate.set("name", name.clone());
        candidate.set("active", flag(of, "active"));
        candidate.number(of, "sequence", i64::from(i32::MIN), 10);
        candidate.text(of, "description");
        candidate.set("trigger", trigger);
        candidate.set("template_key", key);
        self.domain(&mut candidate, of, "condition_domain", model);
        candidate.text(of, "condition_python");
        candidate.text(of, "context_preparation_code");
        let kinds = ["partner", "staff", "official", "custom", "field"];
        candidate.word(of, "recipient_type", &kinds, "partner");
        let recipients = candidate
            .row
            .get("recipient_type")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .unwrap_or_default();
        for (column, link_column, kind) in [
            ("staff_group", "staff_group_id", "staff"),
            ("official_group", "official_group_id", "official"),
        ] {
            let linked = link(of, link_column);
            let group = linked.and_then(|id| self.host.group(id));
            if recipients == kind && group.is_none() {
                let why = match linked {
                    Some(id) => format!("its {link_column} is {id}, and the host has no such group"),
                    None => format!("its recipients are {kind}, and it names no group: nobody was ever told"),
                };
                return no(
                    why,
                    "choose the group in Odoo and import again, or make the rule here",
                );
            }
            candidate.set(column, group.map(str::to_owned));
        }
        self.domain(&mut candidate, of, "recipient_domain", "res.partner");
        if recipients == "custom" && candidate.row.get("recipient_domain").is_some_and(Value::is_null) {
            candidate.set(
                "recipient_domain",
                text(of, "recipient_domain").map(str::to_owned),
            );
        }
        candidate.text(of, "recipient_field");
        candidate.word(
            of,
            "schedule_type",
            &["immediate", "scheduled", "batch"],
            "immediate",
        );
        candidate.number(of, "scheduled_delay", 0, 0);
        candidate.number(of, "batch_size", 1, 100);
        candidate.number(of, "batch_interval", 0, 5);
        // Booleans that nobody set are false, as Odoo reads them.
        candidate.set("rate_limit_enabled", flag(of, "rate_limit_enabled"));
        if !flag(of, "rate_limit_enabled") {
            candidate.note("it has no rate limit, as in Odoo");
        }
        candidate.number(of, "rate_limit_count", 1, 100);
        candidate.word(of, "rate_limit_period", &["minute", "hour", "day"], "hour");
        candidate.number(of, "max_retries", 0, 3);
        candidate.number(of, "retry_delay", 0, 5);
        candidate.set("respect_blacklist", flag(of, "respect_blacklist"));
        if !flag(of, "respect_blacklist") {
            candidate.doubt(
                "it does not respect the blacklist; in the old module that had no effect, here blacklisted numbers would be reached",
            );
        }
        Ok(candidate)
    }

    /// A campaign of a rule.
    pub fn campaign(&self, of: &Row, rule: Option<&str>) -> Converted {
        let name = text(of, "name").unwrap_or("campaign").to_owned();
        let no = |why: String, remedy: &str| Err(refused(CAMPAIGN, of, "campaign", &name, why, remedy));
        let state = text(of, "state").unwrap_or("draft");
        if matches!(state, "completed" | "cancelled") {
            return no(
                format!("it is {state}: history, nothing is left to send"),
                "none is needed",
            );
        }
        let Some(rule) = rule else {
            return no(
                "its rule could not be carried over".into(),
                "see what is said about that rule",
            );
        };
        let model = text(of, "target_model").unwrap_or_default();
        if self.catalog.model(model).is_none() {
            return no(
                format!("this host has no model {model:?}, or no table for it"),
                "make the campaign here",
            );
        }
        let code = match slug(&name) {
            slug if slug.bytes().any(|b| b.is_ascii_alphabetic()) => slug,
            slug => format!("campaign_{}{slug}", host::id(of)),
        };
        let mut candidate = Candidate::new(CAMPAIGN, of, "campaigns", "campaign", code);
        candidate.set("name", name);
        candidate.text(of, "description");
        candidate.set("rule", rule);
        candidate.set("target_model", model);
        self.domain(&mut candidate, of, "target_domain", model);
        if candidate.row.get("target_domain").is_some_and(Value::is_null) {
            candidate.set("target_domain", "[]");
        }
        candidate.text(of, "template_key");
        if let Some(at) = text(of, "scheduled_date") {
            // Odoo keeps UTC without saying so.
            candidate.note(format!(
                "it was to begin at {at} UTC: schedule it here once it has been looked at"
            ));
        }
        if state != "draft" {
            candidate.note(format!(
                "it was {state}; it is a draft here, because some of its messages may have been sent already"
            ));
        }
        Ok(candidate)
    }

    /// A template.
    pub fn template(&self, of: &Row) -> Converted {
        let key = text(of, "template_key").unwrap_or_default();
        let no = |why: String, remedy: &str| Err(refused(TEMPLATE, of, "template", key, why, remedy));
        if !is_code(key) {
            return no(
                "its key holds more than letters, digits and underscores".into(),
                "give it another key in Odoo, also in the rules that name it, and import again",
            );
        }
        let Some(body) = text(of, "body_preview") else {
            return no(
                "it has no text".into(),
                "write its body_preview in Odoo and import again",
            );
        };
        let mut candidate = Candidate::new(TEMPLATE, of, "templates", "template", key);
        candidate.set("name", text(of, "name").unwrap_or(key));
        candidate.set("body", body);
        candidate.set("active", flag(of, "active"));
        candidate.text(of, "description");
        let language = text(of, "language").unwrap_or("id");
        candidate.set("language", language);
        candidate.set("meta_language", language);
        candidate.set("meta_name", text(of, "meta_template_name").map(str::to_owned));
        let status = text(of, "meta_status").unwrap_or("not_configured");
        if ["configured", "approved", "rejected"].contains(&status) {
            candidate.set("meta_status", status);
        }
        let written = text(of, "parameter_list").unwrap_or("[]");
        match names(written) {
            Some(parameters) => candidate.set("parameters", parameters),
            None => {
                let found = placeholders(body);
                candidate.doubt(format!(
                    "its parameter_list is no list ({written}); the placeholders of its text are taken, in their order: {}",
                    found.join(", ")
                ));
                candidate.set("parameters", found);
            }
        }
        Ok(candidate)
    }

    /// A provider.
    pub fn provider(&self, of: &Row) -> Converted {
        let name = text(of, "name").unwrap_or_default().trim();
        let kind = text(of, "provider_type").unwrap_or_default();
        if !["meta", "fonnte", "watzap"].contains(&kind) {
            return Err(refused(
                PROVIDER,
                of,
                "provider",
                name,
                format!("its provider_type is {kind:?}"),
                "only meta, fonnte and watzap are known",
            ));
        }
        let id = host::id(of);
        let mut candidate = Candidate::new(PROVIDER, of, "providers", "provider", name);
        candidate.set("provider_type", kind);
        candidate.set("active", flag(of, "active"));
        candidate.number(of, "sequence", i64::from(i32::MIN), 10);
        let chosen = self.host.parameters.get("sicantik_whatsapp.default_provider_id");
        candidate.set("is_default", chosen.is_some_and(|c| c.trim() == id.to_string()));
        let mut settings = serde_json::Map::new();
        let secrets: Vec<(&'static str, (&'static str, i64, &'static str))> = match kind {
            "meta" => {
                let account = link(of, "meta_account_id");
                let rows = self.host.rows(ACCOUNT);
                let row = account.and_then(|id| rows.iter().find(|r| host::id(r) == id));
                match row {
                    Some(row) => {
                        for (setting, column) in
                            [("phone_number_id", "phone_uid"), ("waba_id", "account_uid")]
                        {
                            if let Some(value) = text(row, column) {
                                settings.insert(setting.into(), value.trim().into());
                            }
                        }
                    }
                    None => candidate
                        .doubt("it names no account at Meta: phone_number_id is missing in its settings"),
                }
                vec![("token", (ACCOUNT, account.unwrap_or_default(), "token"))]
            }
            "fonnte" => {
                self.base_url(
                    &mut candidate,
                    &mut settings,
                    of,
                    "fonnte_api_url",
                    "https://api.fonnte.com",
                );
                vec![("token", (PROVIDER, id, "fonnte_token"))]
            }
            _ => {
                self.base_url(
                    &mut candidate,
                    &mut settings,
                    of,
                    "watzap_base_url",
                    "https://api.watzap.id/v1",
                );
                vec![
                    ("api_key", (PROVIDER, id, "watzap_api_key")),
                    ("number_key", (PROVIDER, id, "watzap_device_id")),
                ]
            }
        };
        candidate.set("settings", Value::Object(settings));
        for (secret, from) in secrets {
            let there = self.host.has_secret(from.0, from.1, from.2);
            if !there {
                candidate.note(format!("Odoo has no {} for it", from.2));
            }
            candidate.secrets.push(Secret {
                name: secret,
                credential: format!("{}-{}", slug(name), secret).replace('_', "-"),
                from,
                there,
            });
        }
        Ok(candidate)
    }

    fn base_url(
        &self,
        candidate: &mut Candidate,
        settings: &mut serde_json::Map<String, Value>,
        of: &Row,
        column: &str,
        usual: &str,
    ) {
        let Some(written) = text(of, column) else {
            return;
        };
        let url = written.trim().trim_end_matches('/');
        let shorter = url.strip_suffix("/send").unwrap_or(url);
        if shorter != url {
            candidate.note(format!(
                "{column} was {written}: the part /send is added by the daemon"
            ));
        }
        if shorter != usual {
            settings.insert("base_url".into(), shorter.into());
        }
    }
}

/// When a cron trigger runs: the module's own `number,type`, cron text, or its two columns.
fn schedule(candidate: &mut Candidate, of: &Row) {
    let types = ["minutes", "hours", "days", "weeks", "months"];
    let number = of.get("cron_interval_number").and_then(Value::as_i64);
    let of_columns = (
        number
            .filter(|n| (1..=i64::from(i32::MAX)).contains(n))
            .unwrap_or(1),
        text(of, "cron_interval_type")
            .filter(|t| types.contains(t))
            .unwrap_or("days")
            .to_owned(),
    );
    let interval = match text(of, "cron_expression").map(str::trim) {
        None => of_columns,
        Some(expression) => match pair(expression, &types) {
            Some(pair) => {
                candidate.note(format!(
                    "cron_expression was {expression:?}: it is an interval of {} {} now",
                    pair.0, pair.1
                ));
                pair
            }
            None if is_cron(expression) => {
                candidate.set("cron_expression", expression);
                return;
            }
            None => {
                candidate.doubt(format!(
                    "cron_expression was {expression:?}, which is neither `1,days` nor five fields of cron: it runs every {} {} now",
                    of_columns.0, of_columns.1
                ));
                of_columns
            }
        },
    };
    candidate.set("interval_number", interval.0);
    candidate.set("interval_type", interval.1);
}

/// `1,days`, as the module's help text has it; blanks and the singular are forgiven.
fn pair(expression: &str, types: &[&str]) -> Option<(i64, String)> {
    let (number, kind) = expression.split_once(',')?;
    let number: i64 = number
        .trim()
        .parse()
        .ok()
        .filter(|n| (1..=i64::from(i32::MAX)).contains(n))?;
    let kind = kind.trim().to_lowercase();
    let plural = format!("{kind}s");
    let kind = [kind, plural].into_iter().find(|k| types.contains(&k.as_str()))?;
    Some((number, kind))
}

/// Five fields of what cron fields are made of.
fn is_cron(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let field = |f: &&str| {
        f.chars()
            .all(|c| c.is_ascii_alphanumeric() || "*/,-#?".contains(c))
            && f.chars()
                .any(|c| c.is_ascii_digit() || c == '*' || c == '?' || c.is_ascii_alphabetic())
    };
    fields.len() == 5
        && fields.iter().all(field)
        && fields[..3]
            .iter()
            .all(|f| !f.chars().any(|c| c.is_ascii_alphabetic()))
}

/// A JSON list of names, or one as Python prints it.
fn names(written: &str) -> Option<Vec<String>> {
    let list = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
    let names = list(written).or_else(|| list(&written.replace('\'', "\"")))?;
    names.iter().all(|name| is_code(name)).then_some(names)
}

/// `{{name}}` in a text, each once.
fn placeholders(body: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for part in body.split("{{").skip(1) {
        let name = part.split("}}").next().unwrap_or_default().trim();
        if is_code(name) && part.contains("}}") && !found.iter().any(|f| f == name) {
            found.push(name.to_owned());
        }
    }
    found
}

/// The blacklist as one list of numbers: each once, with its oldest reason.
pub fn blacklist(rows: &[Row]) -> (Vec<Candidate>, Vec<Entry>) {
    let (mut candidates, mut refusals): (Vec<Candidate>, Vec<Entry>) = (Vec::new(), Vec::new());
    let mut rows: Vec<&Row> = rows.iter().collect();
    let age = |row: &Row| text(row, "create_date").unwrap_or("9999").to_owned();
    rows.sort_by_key(|row| (age(row), host::id(row)));
    for row in rows.into_iter().filter(|row| flag(row, "active")) {
        let written = text(row, "phone_number").unwrap_or_default();
        match Phone::parse(written) {
            Err(error) => refusals.push(*refused(
                BLACKLIST,
                row,
                "blacklisted number",
                hidden(written),
                format!("this is no number that a message could go to: {error}"),
                "find out which number is meant, and add it: select sicantik_notify.blacklist_add('…')",
            )),
            Ok(phone) => {
                let mut candidate =
                    Candidate::new(BLACKLIST, row, "blacklist", "blacklisted number", phone.as_e164());
                candidate.set("reason", text(row, "reason").unwrap_or("taken over from Odoo"));
                candidate.set("active", true);
                candidate.set("source", "import");
                match candidates.iter_mut().find(|c| c.code == candidate.code) {
                    Some(first) => first.note(format!(
                        "{} is the same number in another notation; the oldest reason is kept",
                        candidate.label()
                    )),
                    None => candidates.push(candidate),
                }
            }
        }
    }
    (candidates, refusals)
}

/// A text in which a number may stand, for a report.
pub fn hidden(text: &str) -> String {
    let count = text.chars().count();
    let keep = |at: usize| at < 4 || at + 2 >= count;
    text.chars()
        .enumerate()
        .map(|(at, c)| if c.is_ascii_digit() && !keep(at) { '*' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_own_notation_of_a_schedule() {
        let types = ["minutes", "hours", "days", "weeks", "months"];
        let pair = |text| pair(text, &types);
        assert_eq!(pair("1,days"), Some((1, "days".into())));
        assert_eq!(pair(" 30 , Minute "), Some((30, "minutes".into())));
        for wrong in [
            "0,days",
            "-1,days",
            "x,days",
            "1,years",
            "1 days",
            "days",
            "99999999999,days",
        ] {
            assert_eq!(pair(wrong), None, "{wrong}");
        }
        for cron in ["0 7 * * *", "*/5 8-16 * * 1-5", "0 7 1 JAN MON"] {
            assert!(is_cron(cron), "{cron}");
        }
        for wrong in [
            "every day at seven o'clock",
            "0 7 * *",
            "1,days",
            "setiap hari jam 7 pagi",
            "0 7 * * * *",
        ] {
            assert!(!is_cron(wrong), "{wrong}");
        }
    }

    #[test]
    fn parameter_lists_and_numbers() {
        assert_eq!(names("[\"a\", \"b\"]"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(names("['a']"), Some(vec!["a".into()]));
        assert_eq!(names("a, b"), None);
        assert_eq!(placeholders("x {{a}} {{ b }} {{a}} {{c"), ["a", "b"]);
        assert_eq!(hidden("0812-98765432"), "0812-******32");
    }
}
