//! `POST /{phone id}/messages`, checked in the order in which a mistake is cheapest to find.

use serde_json::{Map, Value, json};

use super::template::{Button, Header, Template, TemplateStatus, fill, places};
use super::{MetaAccount, WINDOW, refuse};
use crate::testkit::gateway::Gateway;
use crate::testkit::gateway::call::{Call, Verdict};
use crate::testkit::gateway::ledger::Draft;
use crate::testkit::gateway::numbers::is_e164_digits;

/// Keys of the message object. An unknown one is refused: at the real API it would be lost without a word.
const KNOWN_KEYS: [&str; 9] = [
    "messaging_product",
    "recipient_type",
    "to",
    "recipient",
    "type",
    "template",
    "text",
    "context",
    "biz_opaque_callback_data",
];

const BODY_LIMIT: usize = 1024;
const HEADER_LIMIT: usize = 60;
const TEXT_LIMIT: usize = 4096;
const CALLBACK_LIMIT: usize = 512;

type Checked<T> = Result<T, Verdict>;

impl MetaAccount {
    pub(super) fn judge_send(&self, call: &Call) -> Verdict {
        self.check_send(call).unwrap_or_else(|refusal| refusal)
    }

    fn check_send(&self, call: &Call) -> Checked<Verdict> {
        let message = call
            .payload
            .json()
            .and_then(Value::as_object)
            .ok_or_else(|| refuse(100, "The body must be a JSON object sent as application/json"))?;
        if message.get("messaging_product").and_then(Value::as_str) != Some("whatsapp") {
            return Err(refuse(
                100,
                "The parameter messaging_product is required and must be whatsapp",
            ));
        }
        if let Some(key) = message.keys().find(|key| !KNOWN_KEYS.contains(&key.as_str())) {
            return Err(refuse(100, &format!("Unexpected key \"{key}\" on param")));
        }
        if message
            .get("recipient_type")
            .is_some_and(|kind| kind != "individual")
        {
            return Err(refuse(100, "Param recipient_type must be one of {individual}"));
        }
        let (input, to) = recipient(message)?;
        let callback_data = callback_data(message)?;
        let kind = match message.get("type") {
            None => "text",
            Some(kind) => kind
                .as_str()
                .ok_or_else(|| refuse(100, "Param type must be a string"))?,
        };
        let mut draft = match kind {
            "template" => self.check_template(message)?,
            "text" => self.check_text(message, &to)?,
            other => {
                return Err(refuse(
                    131_051,
                    &format!("Message type {other} is not supported here"),
                ));
            }
        };
        if !self.numbers.has(&to) {
            return Err(refuse(131_026, "Message Undeliverable."));
        }
        let now = self.clock.now();
        self.with(|state| {
            // A message that either limit refuses uses up neither.
            if !state.rates.second_has_room(now) {
                return Err(refuse(
                    130_429,
                    "Message failed to send because of too many messages per second",
                ));
            }
            if !state.rates.pair_has_room(&to, now) {
                return Err(refuse(
                    131_056,
                    "Too many messages sent to this phone number in a short time",
                ));
            }
            state.rates.count_second(now);
            Ok(())
        })?;
        let id = self.fresh_wamid();
        let mut line = json!({ "id": id });
        if draft.template.is_some() {
            line["message_status"] = json!(call.meta_status);
            draft.message_status = Some(call.meta_status.to_owned());
        }
        let reply = json!({
            "messaging_product": "whatsapp",
            "contacts": [ { "input": input, "wa_id": to } ],
            "messages": [ line ],
        });
        Ok(Verdict::new(200, reply).taking(vec![Draft {
            to,
            external_id: Some(id),
            callback_data,
            ..draft
        }]))
    }

    fn check_text(&self, message: &Map<String, Value>, to: &str) -> Checked<Draft> {
        let body = message
            .get("text")
            .and_then(|text| text.get("body"))
            .and_then(Value::as_str)
            .unwrap_or("");
        if body.trim().is_empty() {
            return Err(refuse(100, "The parameter text['body'] is required"));
        }
        if body.chars().count() > TEXT_LIMIT {
            return Err(refuse(
                100,
                "Param text['body'] must be at most 4096 characters long",
            ));
        }
        let now = self.clock.now();
        let open = self.with(|state| {
            state
                .windows
                .get(to)
                .is_some_and(|opened| now.saturating_sub(*opened) < WINDOW)
        });
        if !open {
            let why = "More than 24 hours have passed since the recipient last replied to the sender number";
            return Err(refuse(131_047, why));
        }
        Ok(Draft {
            text: body.to_owned(),
            ..Draft::default()
        })
    }

    fn check_template(&self, message: &Map<String, Value>) -> Checked<Draft> {
        let asked = message
            .get("template")
            .and_then(Value::as_object)
            .ok_or_else(|| refuse(100, "The parameter template is required"))?;
        if let Some(key) = asked
            .keys()
            .find(|key| !["name", "language", "components"].contains(&key.as_str()))
        {
            return Err(refuse(
                100,
                &format!("Unexpected key \"{key}\" on param \"template\""),
            ));
        }
        let name = text_of(asked.get("name"))
            .ok_or_else(|| refuse(100, "The parameter template['name'] is required"))?;
        let language = text_of(asked.get("language").and_then(|language| language.get("code")))
            .ok_or_else(|| refuse(100, "The parameter template['language']['code'] is required"))?;
        let template = self.with(|state| {
            state
                .templates
                .iter()
                .find(|known| known.name == name && known.language == language)
                .cloned()
        });
        let absent = || {
            refuse(
                132_001,
                &format!("template name ({name}) does not exist in {language}"),
            )
        };
        let template = template.ok_or_else(absent)?;
        match template.status {
            TemplateStatus::Approved => {}
            TemplateStatus::Pending | TemplateStatus::Rejected => return Err(absent()),
            TemplateStatus::Paused => return Err(refuse(132_015, "Template is paused due to low quality")),
            TemplateStatus::Disabled => {
                return Err(refuse(132_016, "Template is disabled due to low quality"));
            }
        }
        let components = Components::read(asked.get("components"))?;
        check_header(&template, components.header)?;
        let values = check_body(&template, components.body)?;
        check_buttons(&template, &components.buttons)?;
        let text = template.render(&values);
        if text.chars().count() > BODY_LIMIT {
            return Err(refuse(132_005, "Translated text too long"));
        }
        Ok(Draft {
            template: Some(template.name),
            language: Some(template.language),
            params: values.into_iter().map(|(_, value)| value).collect(),
            text,
            ..Draft::default()
        })
    }
}

/// The recipient as written and as digits.
fn recipient(message: &Map<String, Value>) -> Checked<(String, String)> {
    let Some(to) = message.get("to") else {
        return Err(match message.get("recipient") {
            Some(_) => refuse(
                131_062,
                "Business-scoped user ids are not supported for this message",
            ),
            None => refuse(100, "The parameter to is required."),
        });
    };
    let input = to
        .as_str()
        .ok_or_else(|| refuse(100, "Param to must be a string"))?;
    let digits = input.strip_prefix('+').unwrap_or(input);
    if !is_e164_digits(digits) {
        return Err(refuse(
            131_009,
            &format!("{input} is not a phone number with its country code"),
        ));
    }
    if digits == Gateway::META_NUMBER {
        return Err(refuse(131_021, "Recipient cannot be sender"));
    }
    Ok((input.to_owned(), digits.to_owned()))
}

fn callback_data(message: &Map<String, Value>) -> Checked<Option<String>> {
    match message.get("biz_opaque_callback_data") {
        None => Ok(None),
        Some(Value::String(data)) if data.chars().count() <= CALLBACK_LIMIT => Ok(Some(data.clone())),
        Some(_) => Err(refuse(
            100,
            "Param biz_opaque_callback_data must be a string of at most 512 characters",
        )),
    }
}

/// The components of a message, by kind.
#[derive(Default)]
struct Components<'m> {
    header: Option<&'m [Value]>,
    body: Option<&'m [Value]>,
    /// Place, `sub_type` and parameters.
    buttons: Vec<(usize, &'m str, &'m [Value])>,
}

impl<'m> Components<'m> {
    fn read(given: Option<&'m Value>) -> Checked<Self> {
        let Some(given) = given else {
            return Ok(Self::default());
        };
        let list = given
            .as_array()
            .ok_or_else(|| refuse(100, "Param template['components'] must be an array"))?;
        let mut components = Self::default();
        for component in list {
            let parameters = match component.get("parameters") {
                None => &[],
                Some(parameters) => parameters
                    .as_array()
                    .map(Vec::as_slice)
                    .ok_or_else(|| refuse(100, "Param parameters must be an array"))?,
            };
            // Lower case only: the listing's HEADER, BODY, BUTTONS is another vocabulary.
            let twice = match component.get("type").and_then(Value::as_str) {
                Some("header") => components.header.replace(parameters).is_some(),
                Some("body") => components.body.replace(parameters).is_some(),
                Some("button") => {
                    let place = match component.get("index") {
                        Some(Value::String(place)) => place.parse().ok(),
                        Some(place) => place.as_u64().and_then(|place| usize::try_from(place).ok()),
                        None => None,
                    };
                    let place = place.ok_or_else(|| refuse(100, "A button needs its index"))?;
                    let kind = component.get("sub_type").and_then(Value::as_str);
                    let kind = kind.ok_or_else(|| refuse(100, "A button needs its sub_type"))?;
                    let known = components.buttons.iter().any(|(other, ..)| *other == place);
                    components.buttons.push((place, kind, parameters));
                    known
                }
                other => {
                    let why = format!(
                        "Component type {} is not one of header, body, button",
                        other.unwrap_or("(none)")
                    );
                    return Err(refuse(100, &why));
                }
            };
            if twice {
                return Err(refuse(100, "A component is given twice"));
            }
        }
        Ok(components)
    }
}

fn check_header(template: &Template, given: Option<&[Value]>) -> Checked<()> {
    let given = given.unwrap_or(&[]);
    let wanted = match &template.header {
        None => 0,
        Some(Header::Text(text)) => places(text).len(),
        Some(Header::Document | Header::Image) => 1,
    };
    count(wanted, given.len(), "header")?;
    let (Some(header), Some(parameter)) = (&template.header, given.first()) else {
        return Ok(());
    };
    match header {
        Header::Text(text) => {
            let value = text_value(parameter)?;
            let values: Vec<(String, String)> = places(text)
                .into_iter()
                .map(|place| (place, value.clone()))
                .collect();
            if fill(text, &values).chars().count() > HEADER_LIMIT {
                return Err(refuse(132_005, "Translated header too long"));
            }
            Ok(())
        }
        Header::Document => media(parameter, "document"),
        Header::Image => media(parameter, "image"),
    }
}

/// The body's places with their values, in the order sent.
fn check_body(template: &Template, given: Option<&[Value]>) -> Checked<Vec<(String, String)>> {
    let given = given.unwrap_or(&[]);
    let wanted = template.placeholders();
    count(wanted.len(), given.len(), "body")?;
    let mut values: Vec<(String, String)> = Vec::with_capacity(given.len());
    for (parameter, position) in given.iter().zip(&wanted) {
        let name = parameter.get("parameter_name").and_then(Value::as_str);
        let place = match (template.named, name) {
            (false, None) => position.clone(),
            (false, Some(_)) => return Err(refuse(132_012, "This template's parameters have no names")),
            (true, None) => return Err(refuse(100, "Parameter name is missing or empty")),
            (true, Some(name)) if !wanted.iter().any(|known| known == name) => {
                return Err(refuse(
                    132_012,
                    &format!("Parameter {name} is not in the template"),
                ));
            }
            (true, Some(name)) if values.iter().any(|(known, _)| known == name) => {
                return Err(refuse(132_012, &format!("Parameter {name} is given twice")));
            }
            (true, Some(name)) => name.to_owned(),
        };
        values.push((place, text_value(parameter)?));
    }
    Ok(values)
}

fn check_buttons(template: &Template, given: &[(usize, &str, &[Value])]) -> Checked<()> {
    for (place, kind, parameters) in given {
        match (template.buttons.get(*place), *kind) {
            (Some(Button::Url { url, .. }), "url") if !places(url).is_empty() => {
                count(1, parameters.len(), "button")?;
                if let Some(parameter) = parameters.first() {
                    text_value(parameter)?;
                }
            }
            (Some(Button::QuickReply { .. }), "quick_reply") => count(1, parameters.len(), "button")?,
            _ => {
                return Err(refuse(
                    132_000,
                    &format!("Button at index {place} takes no {kind} parameter"),
                ));
            }
        }
    }
    for (place, button) in template.buttons.iter().enumerate() {
        let dynamic = matches!(button, Button::Url { url, .. } if !places(url).is_empty());
        if dynamic && !given.iter().any(|(index, ..)| *index == place) {
            return Err(refuse(
                131_008,
                &format!("Button at index {place} of type Url requires a parameter"),
            ));
        }
    }
    Ok(())
}

fn count(wanted: usize, given: usize, part: &str) -> Checked<()> {
    if wanted == given {
        return Ok(());
    }
    let why = format!(
        "{part}: number of localizable_params ({given}) does not match the expected number of params ({wanted})"
    );
    Err(refuse(132_000, &why))
}

fn media(parameter: &Value, kind: &str) -> Checked<()> {
    if parameter.get("type").and_then(Value::as_str) != Some(kind) {
        return Err(refuse(
            132_012,
            &format!("header: Format mismatch, expected {}", kind.to_uppercase()),
        ));
    }
    let object = parameter.get(kind);
    let source = object.and_then(|object| text_of(object.get("link")).or(text_of(object.get("id"))));
    source
        .map(|_| ())
        .ok_or_else(|| refuse(131_008, &format!("{kind}: link or id is required")))
}

fn text_value(parameter: &Value) -> Checked<String> {
    if parameter.get("type").and_then(Value::as_str) != Some("text") {
        return Err(refuse(132_012, "Format mismatch, expected TEXT"));
    }
    let text = match parameter.get("text") {
        Some(Value::String(text)) => text,
        Some(Value::Null) | None => {
            return Err(refuse(131_008, "Parameter of type text is missing text value"));
        }
        Some(_) => return Err(refuse(100, "Param text must be a string")),
    };
    if text.trim().is_empty() {
        return Err(refuse(131_008, "Parameter of type text is missing text value"));
    }
    if text.contains(['\n', '\r', '\t']) || text.contains("     ") {
        return Err(refuse(
            132_018,
            "Param text cannot have new-line/tab characters or more than 4 consecutive spaces",
        ));
    }
    Ok(text.clone())
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty())
}
