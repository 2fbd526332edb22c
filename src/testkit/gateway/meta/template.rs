//! A template as Meta approved it, and what a message made from it says.

use serde_json::{Value, json};

use crate::testkit::gateway::call::marks;

/// `status` of a template; only [`TemplateStatus::Approved`] can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemplateStatus {
    /// May be sent.
    #[default]
    Approved,
    /// Not yet looked at: a send answers 132001.
    Pending,
    /// Refused: a send answers 132001.
    Rejected,
    /// Low quality, for a while: 132015.
    Paused,
    /// For good: 132016.
    Disabled,
}

impl TemplateStatus {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "APPROVED",
            Self::Pending => "PENDING",
            Self::Rejected => "REJECTED",
            Self::Paused => "PAUSED",
            Self::Disabled => "DISABLED",
        }
    }
}

/// `category` of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Category {
    /// Tied to the user's own request.
    #[default]
    Utility,
    /// Anything promotional.
    Marketing,
    /// Codes.
    Authentication,
}

impl Category {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utility => "UTILITY",
            Self::Marketing => "MARKETING",
            Self::Authentication => "AUTHENTICATION",
        }
    }
}

/// The head of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// A line of text, with at most one place.
    Text(String),
    /// A document given by each message.
    Document,
    /// An image given by each message.
    Image,
}

/// A button of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Button {
    /// Opens `url`; with `{{1}}` at its end each message gives the rest.
    Url {
        /// What the button says.
        text: String,
        /// Where it leads.
        url: String,
    },
    /// Sends a payload back; a message may but need not give it.
    QuickReply {
        /// What the button says.
        text: String,
    },
}

/// One approved (or not) translation of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Name, shared by its translations.
    pub name: String,
    /// Language code, matched exactly.
    pub language: String,
    /// Whether it may be sent.
    pub status: TemplateStatus,
    /// What it is for.
    pub category: Category,
    /// True if its places have names (`{{partner_name}}`), false for `{{1}}`, `{{2}}`.
    pub named: bool,
    /// Head, if any.
    pub header: Option<Header>,
    /// Body.
    pub body: String,
    /// Last line, if any.
    pub footer: Option<String>,
    /// Buttons in order.
    pub buttons: Vec<Button>,
}

impl Template {
    /// An approved utility template; its places are named if any of them is not a number.
    pub fn new(name: &str, language: &str, body: &str) -> Self {
        let named = places(body).iter().any(|place| place.parse::<u32>().is_err());
        Self {
            name: name.to_owned(),
            language: language.to_owned(),
            status: TemplateStatus::Approved,
            category: Category::Utility,
            named,
            header: None,
            body: body.to_owned(),
            footer: None,
            buttons: Vec::new(),
        }
    }

    /// With another status.
    #[must_use]
    pub fn with_status(self, status: TemplateStatus) -> Self {
        Self { status, ..self }
    }

    /// With another category.
    #[must_use]
    pub fn with_category(self, category: Category) -> Self {
        Self { category, ..self }
    }

    /// With a head.
    #[must_use]
    pub fn with_header(self, header: Header) -> Self {
        Self {
            header: Some(header),
            ..self
        }
    }

    /// With a further button.
    #[must_use]
    pub fn with_button(mut self, button: Button) -> Self {
        self.buttons.push(button);
        self
    }

    /// With a last line.
    #[must_use]
    pub fn with_footer(self, footer: &str) -> Self {
        Self {
            footer: Some(footer.to_owned()),
            ..self
        }
    }

    /// The body's places: names in order of first appearance, or `1`, `2`, … in numeric order.
    pub fn placeholders(&self) -> Vec<String> {
        let mut places = places(&self.body);
        if !self.named {
            places.sort_by_key(|place| place.parse::<u32>().unwrap_or(u32::MAX));
        }
        places
    }

    /// The body with values put in; `values` are pairs of place and value.
    pub(crate) fn render(&self, values: &[(String, String)]) -> String {
        fill(&self.body, values)
    }

    /// One row of the listing.
    pub(crate) fn to_row(&self, id: u64) -> Value {
        let mut components = Vec::new();
        match &self.header {
            Some(Header::Text(text)) => {
                components.push(json!({ "type": "HEADER", "format": "TEXT", "text": text }))
            }
            Some(Header::Document) => components.push(json!({ "type": "HEADER", "format": "DOCUMENT" })),
            Some(Header::Image) => components.push(json!({ "type": "HEADER", "format": "IMAGE" })),
            None => {}
        }
        components.push(json!({ "type": "BODY", "text": self.body }));
        if let Some(footer) = &self.footer {
            components.push(json!({ "type": "FOOTER", "text": footer }));
        }
        if !self.buttons.is_empty() {
            let buttons: Vec<Value> = self
                .buttons
                .iter()
                .map(|button| match button {
                    Button::Url { text, url } => json!({ "type": "URL", "text": text, "url": url }),
                    Button::QuickReply { text } => json!({ "type": "QUICK_REPLY", "text": text }),
                })
                .collect();
            components.push(json!({ "type": "BUTTONS", "buttons": buttons }));
        }
        json!({
            "id": id.to_string(),
            "name": self.name,
            "language": self.language,
            "status": self.status.as_str(),
            "category": self.category.as_str(),
            "parameter_format": if self.named { "NAMED" } else { "POSITIONAL" },
            "components": components,
            "quality_score": { "score": "GREEN", "date": 1_795_000_000 },
            "rejected_reason": "NONE",
        })
    }
}

/// The different places of a text, in order of appearance.
pub(crate) fn places(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, name) in marks(text, "{{", "}}") {
        if let Some(name) = name
            && !found.iter().any(|known| known == name)
        {
            found.push(name.to_owned());
        }
    }
    found
}

/// In one pass, so that a value which looks like a place stays as it is.
pub(crate) fn fill(text: &str, values: &[(String, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    for (before, name) in marks(text, "{{", "}}") {
        filled.push_str(before);
        if let Some(name) = name {
            filled.push_str(
                values
                    .iter()
                    .find(|(place, _)| place == name)
                    .map_or("", |(_, value)| value.as_str()),
            );
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_looks_like_a_place_is_left_alone() {
        let template = Template::new("n", "id", "{{2}} {{1}} {{2}}");
        assert_eq!(template.placeholders(), ["1", "2"]);
        let values = [
            ("1".to_owned(), "{{2}}".to_owned()),
            ("2".to_owned(), "b".to_owned()),
        ];
        assert_eq!(template.render(&values), "b {{2}} b");
    }

    #[test]
    fn names_make_a_named_template() {
        let template = Template::new("n", "id", "{{b}} {{a}}");
        assert!(template.named);
        assert_eq!(template.placeholders(), ["b", "a"]);
    }
}
