//! Snippets against a host of plain maps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{TimeZone, Utc};
use monty_types::MontyDate;

use super::object::{environment, records};
use super::*;
use crate::host::catalog::{Catalog, Field, FieldType, Model};
use crate::lang::domain::{Aliases, DomainError};

fn field(name: &str, ttype: FieldType, column: &str) -> (String, Field) {
    let field = Field {
        name: name.into(),
        ttype,
        relation: None,
        relation_field: None,
        relation_table: None,
        column1: None,
        column2: None,
        store: true,
        related: None,
        translate: false,
        company_dependent: false,
        column_type: Some(column.into()).filter(|c: &String| !c.is_empty()),
        selection: Vec::new(),
    };
    (name.into(), field)
}

fn catalog() -> Catalog {
    let text = |name| field(name, FieldType::Char, "character varying");
    let to = |name: &str, target: &str| {
        let (name, mut f) = field(name, FieldType::Many2one, "integer");
        f.relation = Some(target.into());
        (name, f)
    };
    let mut permit = BTreeMap::from([
        text("permit_number"),
        text("permit_type_name"),
        text("applicant_name"),
        field("expiry_date", FieldType::Date, "date"),
        to("partner_id", "res.partner"),
        text("secret_token"),
    ]);
    let (name, mut status) = field("status", FieldType::Selection, "character varying");
    status.selection = vec![("draft".into(), "Draf".into()), ("active".into(), "Aktif".into())];
    permit.insert(name, status);
    let (name, mut mobile) = field("mobile", FieldType::Char, "");
    mobile.store = false;
    permit.insert(name, mobile);
    let (name, mut lines) = field("document_ids", FieldType::One2many, "");
    lines.relation = Some("sicantik.document".into());
    lines.relation_field = Some("permit_id".into());
    permit.insert(name, lines);
    let document = BTreeMap::from([text("name"), text("state"), to("permit_id", "sicantik.permit")]);
    let partner = BTreeMap::from([text("name"), text("city"), to("parent_id", "res.partner")]);
    let model = |name: &str, fields| {
        let table = name.replace('.', "_");
        let order = Vec::new();
        let name = name.to_owned();
        (
            name.clone(),
            Arc::new(Model {
                name,
                table,
                fields,
                order,
            }),
        )
    };
    Catalog {
        models: BTreeMap::from([
            model("sicantik.permit", permit),
            model("sicantik.document", document),
            model("res.partner", partner),
        ]),
        delegations: BTreeMap::new(),
    }
}

fn aliases() -> Aliases {
    Aliases::default()
        .field("sicantik.permit", "state", "status")
        .value("sicantik.permit", "status", "approved", "active")
}

fn read(text: &str, form: Form) -> Result<Snippet, Failure> {
    let (catalog, aliases) = (catalog(), aliases());
    let model = catalog.model("sicantik.permit").cloned().unwrap();
    let scope = Scope {
        model: &model,
        catalog: &catalog,
        aliases: &aliases,
    };
    Snippet::new(text, form, &scope)
}

/// Permit 7 of partner 3 "Budi" (whose parent is 4) with documents 1 (signed) and 2 (draft); permit 8 has nothing.
struct Host(HashMap<MontyUuid, (String, Vec<i64>)>);

impl Host {
    fn records(&mut self, model: &str, ids: &[i64]) -> MontyObject {
        let (object, handles) = records(model, ids);
        self.0
            .extend(handles.into_iter().map(|h| (h.object, (model.to_owned(), h.ids))));
        object
    }

    fn value(&mut self, model: &str, id: i64, name: &str) -> MontyObject {
        let text = |t: &str| MontyObject::String(t.into());
        match (model, id, name) {
            ("sicantik.permit", 7, "permit_number") => text("503/7"),
            ("sicantik.permit", 7, "state" | "status") => text("active"),
            ("sicantik.permit", 7, "permit_type_name") => text("SIP"),
            ("sicantik.permit", 7, "expiry_date") => MontyObject::Date(MontyDate {
                year: 2026,
                month: 12,
                day: 5,
            }),
            ("sicantik.permit", 7, "partner_id") => self.records("res.partner", &[3]),
            ("sicantik.permit", _, "partner_id") => self.records("res.partner", &[]),
            ("sicantik.permit", 7, "document_ids") => self.records("sicantik.document", &[1, 2]),
            ("sicantik.permit", _, "document_ids") => self.records("sicantik.document", &[]),
            ("sicantik.document", 1, "state") => text("signed"),
            ("sicantik.document", 2, "state") => text("draft"),
            ("sicantik.document", 1, "name") => text("Izin"),
            ("sicantik.document", 2, "name") => text("Lampiran"),
            ("res.partner", 3, "name") => text("Budi"),
            ("res.partner", 3, "parent_id") => self.records("res.partner", &[4]),
            ("res.partner", 4, "name") => text("Induk"),
            ("res.partner", _, "parent_id") => self.records("res.partner", &[]),
            _ => MontyObject::Bool(false),
        }
    }

    fn known(&self, args: &[MontyObject]) -> Option<(String, Vec<i64>)> {
        match args.first() {
            Some(MontyObject::ClassInstance(instance)) => self.0.get(&instance.instance_id).cloned(),
            _ => None,
        }
    }

    fn reply(&mut self, question: &Question<'_>) -> Reply {
        let refusal = Reply::Raise(ExcType::TypeError, "no such thing".into());
        self.value_of(question).map_or(refusal, Reply::Value)
    }

    fn value_of(&mut self, question: &Question<'_>) -> Option<MontyObject> {
        let (name, args) = match question {
            Question::Attribute { object, name } => {
                let (model, ids) = self.0.get(object).cloned()?;
                return Some(match ids.first() {
                    Some(id) => self.value(&model, *id, name),
                    None if name.ends_with("_id") => self.records("res.partner", &[]),
                    None => MontyObject::Bool(false),
                });
            }
            Question::Call { name, args, .. } => (*name, *args),
        };
        match (name, args.get(1)) {
            ("_sn_records", Some(MontyObject::List(items))) => {
                let ids: Vec<i64> = items.iter().filter_map(|i| i64::try_from(i).ok()).collect();
                let (model, _) = self.known(args)?;
                Some(self.records(&model, &ids))
            }
            ("_sn_read", Some(MontyObject::String(name))) => {
                let (model, ids) = self.known(args)?;
                let values = ids.iter().map(|id| self.value(&model, *id, name));
                Some(MontyObject::List(values.collect()))
            }
            ("_sn_model", _) => match args.first() {
                Some(MontyObject::String(model)) => Some(self.records(model, &[])),
                _ => None,
            },
            ("search_count", _) => Some(MontyObject::Int(2)),
            ("search", _) => Some(self.records("sicantik.document", &[1, 2])),
            _ => None,
        }
    }
}

fn run_on(permit: i64, snippet: &Snippet) -> Result<MontyObject, Failure> {
    run_within(&Limits::default(), permit, snippet)
}

fn run_within(limits: &Limits, permit: i64, snippet: &Snippet) -> Result<MontyObject, Failure> {
    let mut host = Host(HashMap::new());
    let clock = Clock {
        now: Utc.with_ymd_and_hms(2026, 11, 22, 18, 0, 0).unwrap(),
        tz: chrono_tz::Asia::Jakarta,
    };
    let (env, _) = environment(Vec::new());
    let kwargs = MontyObject::dict(vec![(
        MontyObject::String("old_state".into()),
        MontyObject::String("draft".into()),
    )]);
    let values = vec![
        host.records("sicantik.permit", &[permit]),
        host.records("sicantik.permit", &[permit]),
        host.records("res.partner", &[3]),
        env,
        kwargs,
        MontyObject::Int(1),
        host.records("res.users", &[1]),
        MontyObject::Int(1),
        MontyObject::dict(Vec::new()),
    ];
    on_own_stack(|| {
        let mut step = snippet.start(clock, limits, values);
        loop {
            step = match step {
                Step::Done(value) => return Ok(value),
                Step::Failed(failure) => return Err(failure),
                Step::Asks(ask) => {
                    let reply = host.reply(&ask.question());
                    ask.answer(snippet, reply)
                }
            };
        }
    })
    .unwrap()
}

fn condition(text: &str) -> Result<bool, String> {
    let snippet = read(text, Form::Condition).map_err(|f| f.to_string())?;
    match run_on(7, &snippet).map_err(|f| f.to_string())? {
        MontyObject::Bool(b) => Ok(b),
        other => panic!("{other}"),
    }
}

#[test]
fn conditions_mean_what_odoo_means() {
    for (text, expected) in [
        ("record.partner_id", true),
        ("not record.partner_id", false),
        ("record.partner_id.parent_id.parent_id", false),
        ("bool(record.partner_id.parent_id.parent_id)", false),
        ("record.partner_id.parent_id.parent_id or False", false),
        ("record.partner_id.name == 'Budi'", true),
        ("record.partner_id.parent_id.parent_id.name == False", true),
        (
            "(record.partner_id.parent_id.parent_id or record.partner_id).name == 'Budi'",
            true,
        ),
        ("record.partner_id and record.partner_id.name", true),
        ("record.state == 'approved'", true),
        ("'approved' == record.state", true),
        ("record.state in ('approved', 'draft')", true),
        ("record.state != 'active'", false),
        ("record['state'] == 'active'", true),
        ("record.partner_id == recipient", true),
        ("record.partner_id != recipient", false),
        ("record in records and record.id in records.ids", true),
        ("len(records) == 1 and len(record.document_ids) == 2", true),
        ("any(d.state == 'signed' for d in record.document_ids)", true),
        ("all(d.state == 'signed' for d in record.document_ids)", false),
        (
            "[d.name for d in record.document_ids if d.state] == ['Izin', 'Lampiran']",
            true,
        ),
        ("record.document_ids.mapped('name') == ['Izin', 'Lampiran']", true),
        (
            "record.document_ids.mapped(lambda d: d.name.upper())[1] == 'LAMPIRAN'",
            true,
        ),
        (
            "record.document_ids.filtered(lambda d: d.state == 'signed').name == 'Izin'",
            true,
        ),
        (
            "len(record.document_ids.filtered(lambda d: d.state == 'x')) == 0",
            true,
        ),
        (
            "record.document_ids.sorted(key=lambda d: d.state)[0].id == 2",
            true,
        ),
        (
            "record.document_ids.sorted('state', reverse=True)[:1].id == 1",
            true,
        ),
        (
            "sorted(record.document_ids, key=lambda d: d.state)[0].name == 'Lampiran'",
            true,
        ),
        ("max(record.document_ids, key=lambda d: d.id).id == 2", true),
        (
            "record.document_ids[-1].id == 2 and record.document_ids[5:].ids == []",
            true,
        ),
        ("(record.document_ids - record.document_ids[0]).ids == [2]", true),
        (
            "(record.document_ids[0] | record.document_ids[1]) == record.document_ids",
            true,
        ),
        (
            "env['sicantik.document'].search_count([('permit_id', '=', record.id)]) > 1",
            true,
        ),
        ("kwargs.get('old_state') == 'draft'", true),
        ("record.expiry_date <= date.today() + timedelta(days=30)", true),
        (
            "record.expiry_date < context_today() + relativedelta(months=1)",
            true,
        ),
        ("(record.expiry_date - context_today()).days == 12", true),
        (
            "fields.Date.today().isoformat() == '2026-11-22' and context_today().day == 23",
            true,
        ),
        (
            "fields.Datetime.now().hour == 18 and fields.Datetime.context_timestamp(record, fields.Datetime.now()).hour == 1",
            true,
        ),
        (
            "1 + 1 == 2 and 'a' in 'abc' and [1, 2][0] == 1 and {'a': 1}['a'] == 1 and 'abc'[1:] == 'bc'",
            true,
        ),
        ("'%s/%02d' % (record.permit_number, 5) == '503/7/05'", true),
    ] {
        assert_eq!(condition(text), Ok(expected), "{text}");
    }
}

#[test]
fn the_guides_context_runs_unmodified() {
    let text = "context = {
    'partner_name': recipient.name or 'Bapak/Ibu',
    'permit_number': record.permit_number or '',
    'permit_type': record.permit_type_name or '',
    'status': record.state or '',
    'applicant_name': record.applicant_name or '',
    'expiry_date': record.expiry_date.strftime('%d-%m-%Y') if record.expiry_date else '',
}
";
    let snippet = read(text, Form::Context).unwrap();
    let shown = run_on(7, &snippet).unwrap().to_string();
    assert_eq!(
        shown,
        "{'partner_name': 'Budi', 'permit_number': '503/7', 'permit_type': 'SIP', 'status': 'active', 'applicant_name': '', \
         'expiry_date': '05-12-2026'}"
    );
    let shown = run_on(8, &snippet).unwrap().to_string();
    assert!(shown.contains("'expiry_date': ''"), "{shown}");
    let columns = |model: &str| {
        snippet.reads().fields[model]
            .iter()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        columns("sicantik.permit"),
        "applicant_name expiry_date permit_number permit_type_name status"
    );
    assert_eq!(columns("res.partner"), "name");
}

#[test]
fn statements_with_loops_functions_and_exceptions() {
    let text = "
names = []
for document in record.document_ids:
    if document.state == 'signed':
        names.append(document.name)
    elif not document.state:
        continue
    else:
        names += [document.name.lower()]

def title(person):
    while person.parent_id:
        person = person.parent_id
    return person.name

try:
    number = int(record.permit_number)
except ValueError as error:
    number = 0
context = {'names': ', '.join(names), 'head': title(record.partner_id), 'number': number}
context['count'] = len(names)
context['count'] += 40
context['count'] *= 2
day = record.expiry_date
day += relativedelta(months=1)
context['day'] = day.isoformat()
";
    let snippet = read(text, Form::Context).unwrap();
    let shown = run_on(7, &snippet).unwrap().to_string();
    assert_eq!(
        shown,
        "{'names': 'Izin, lampiran', 'head': 'Induk', 'number': 0, 'count': 84, 'day': '2027-01-05'}"
    );
}

#[test]
fn what_cannot_work_is_said_when_it_is_read() {
    let said = |text: &str, form| {
        let failure = read(text, form)
            .err()
            .unwrap_or_else(|| panic!("{text} is accepted"));
        let at = text
            .get(failure.start..failure.end)
            .unwrap_or_default()
            .to_owned();
        (at, failure.message)
    };
    for (text, place, message) in [
        (
            "record.colour == 'red'",
            "colour",
            "sicantik.permit has no field colour; it has",
        ),
        (
            "record.partner_id.citty",
            "citty",
            "res.partner has no field citty; it has",
        ),
        (
            "record.mobile",
            "mobile",
            "mobile of sicantik.permit is computed when read",
        ),
        ("record.secret_token", "secret_token", "secret"),
        ("record.write({'status': 'draft'})", "record.write", "read-only"),
        ("env['no.such']", "'no.such'", "the host has no model no.such"),
        ("env.cr.execute('select 1')", "cr", "env has no cr here"),
        ("record.__class__", "__class__", "not allowed"),
        ("__import__('os').system('id')", "__import__", "not allowed"),
        ("(lambda: record.colour)()", "colour", "no field colour"),
        (
            "[d.colour for d in record.document_ids]",
            "colour",
            "sicantik.document has no field colour",
        ),
        (
            "record.document_ids.mapped('permit_id.colour')",
            "'permit_id.colour'",
            "no field colour",
        ),
        (
            "env['sicantik.document'].search([('colour', '=', 1)])",
            "'colour'",
            "no field colour",
        ),
        ("open('/etc/passwd')", "open", "not a name"),
        ("eval('1')", "eval", "not a name"),
        ("getattr(record, 'x')", "getattr", "not a name"),
    ] {
        let (at, said) = said(text, Form::Condition);
        assert!(at == place && said.contains(message), "{text}: {at:?}: {said}");
    }
    for (text, message) in [
        ("import os\ncontext = {}", "nothing can be imported"),
        ("class A:\n    pass\ncontext = {}", "not allowed"),
        ("record.status = 'x'\ncontext = {}", "read-only"),
        ("with record:\n    context = {}", "not allowed"),
        ("x = 1", "never sets `context`"),
        ("context = {", "expected"),
        ("async def f():\n    pass\ncontext = {}", "not allowed"),
        ("global x\ncontext = {}", "not allowed"),
    ] {
        let (_, said) = said(text, Form::Context);
        assert!(said.contains(message), "{text}: {said}");
    }
}

#[test]
fn p12_limits_end_what_does_not_end_by_itself() {
    for (text, kind, message) in [
        (
            "while True:\n    pass\ncontext = {}",
            FailureKind::Limit,
            "longer than",
        ),
        (
            "x = ['a']\nwhile True:\n    x = x + x\ncontext = {}",
            FailureKind::Limit,
            "",
        ),
        ("x = 'a' * 10 ** 10\ncontext = {}", FailureKind::Limit, ""),
        (
            "def f(n):\n    return f(n + 1)\nf(0)\ncontext = {}",
            FailureKind::Limit,
            "recursion",
        ),
        (
            "while True:\n    record.permit_number\ncontext = {}",
            FailureKind::Limit,
            "",
        ),
        (
            "try:\n    while True:\n        pass\nexcept BaseException:\n    pass\ncontext = {}",
            FailureKind::Limit,
            "longer",
        ),
        ("record._sn_each\ncontext = {}", FailureKind::Name, "not allowed"),
        ("context = 9 ** 9 ** 9", FailureKind::Limit, ""),
        (
            "x = 9 ** 99\nwhile True:\n    x *= x\ncontext = {}",
            FailureKind::Limit,
            "too large",
        ),
        (
            "x = 3\nwhile True:\n    x **= 9\ncontext = {}",
            FailureKind::Limit,
            "too large",
        ),
        ("x = 1\nx <<= 10 ** 9\ncontext = {}", FailureKind::Limit, ""),
        (
            "x = [0]\nfor n in range(6):\n    x = [x] * 100\ncontext = {'a': x}",
            FailureKind::Limit,
            "",
        ),
        (
            "x = [0]\nfor n in range(6):\n    x = [x] * 100\nrecord.browse(x)\ncontext = {}",
            FailureKind::Limit,
            "",
        ),
        (
            "x = [0]\nfor n in range(6):\n    x = [x] * 100\nenv[x]\ncontext = {}",
            FailureKind::Limit,
            "",
        ),
        (
            "x = [0]\nfor n in range(6):\n    x = [x] * 100\nrecord.search(*[x], **{'order': x})\ncontext = {}",
            FailureKind::Limit,
            "",
        ),
        (
            "raise ValueError('a' * 10 ** 7)\ncontext = {}",
            FailureKind::Value,
            "aaa",
        ),
    ] {
        let failure = match read(text, Form::Context) {
            Err(failure) => failure,
            Ok(snippet) => run_on(7, &snippet).expect_err(text),
        };
        assert_eq!(failure.kind, kind, "{text}: {failure}");
        assert!(failure.message.contains(message), "{text}: {failure}");
    }
    // Many small things are too much memory as well as one large one. No clock is to be quicker here.
    let limits = Limits {
        duration: Duration::from_secs(60),
        ..Limits::default()
    };
    let hoard = read(
        "x = []\nwhile True:\n    x.append('a' * 500000)\ncontext = {}",
        Form::Context,
    )
    .unwrap();
    let failure = run_within(&limits, 7, &hoard).unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Limit, "it makes something too large")
    );
}

mod noise {
    use proptest::prelude::*;

    use super::*;

    /// Words of which people and attackers make code.
    const WORDS: &[&str] = &[
        "record",
        "records",
        "recipient",
        "env",
        "kwargs",
        "context",
        "user",
        "uid",
        ".",
        ".",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "=",
        "==",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "|",
        "&",
        "<",
        "in ",
        " not ",
        " and ",
        " or ",
        " if ",
        " else ",
        "for x ",
        "lambda r: ",
        "x",
        "r",
        "1",
        "0",
        "10**9",
        "'a'",
        "'state'",
        "\"x\"",
        "f'{record.name}'",
        "partner_id",
        "name",
        "status",
        "document_ids",
        "mapped",
        "filtered",
        "sorted",
        "search",
        "len",
        "any",
        "sorted(",
        "relativedelta(days=1)",
        "datetime",
        "fields.Date.today()",
        "context_today()",
        "\n",
        "\n    ",
        "if ",
        "while ",
        "def f(x):",
        "return ",
        "try:",
        "except:",
        "é",
        "_sn_each",
        "__class__",
        "\\",
        "#",
        "None",
        "True",
        ";",
        "@",
        "->",
        ":=",
        "*",
        "...",
        "\u{202e}",
        "ѕtate",
    ];

    fn code() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(WORDS), 0..24).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

        /// Whatever is typed is accepted or refused with a place in the text; what is accepted ends.
        #[test]
        fn p12_noise_is_refused_or_ends(text in code()) {
            for form in [Form::Condition, Form::Context] {
                let text = match form {
                    Form::Context => format!("context = {{}}\n{text}"),
                    _ => text.clone(),
                };
                match read(&text, form) {
                    Err(failure) => {
                        prop_assert!(failure.start <= failure.end && failure.end <= text.len().max(failure.start), "{failure:?}");
                        DomainError::from(failure).diagnostic(&text);
                    }
                    Ok(snippet) => drop(run_on(7, &snippet)),
                }
            }
        }
    }
}
