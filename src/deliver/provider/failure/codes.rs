//! What single codes mean: Meta's numbers, Fonnte's reasons, Watzap's statuses.

use super::{Circuit, Class, Consequences, Fails, Fallback, HOUR, MINUTE, Mark, RetrySame};

/// Our code for a gateway whose phone is not connected.
pub(in super::super) const DISCONNECTED: &str = "disconnected";

/// What single codes of Meta do differently from their class.
pub(super) fn adjust_for_meta(code: &str, after: &mut Consequences) {
    match code {
        // May be a bad request in disguise.
        "1" | "135000" => {
            after.retry_same = RetrySame::UpTo {
                tries: 2,
                then: Class::Content,
            }
        }
        // A template is still on its way through Meta.
        "134101" | "134102" => {
            after.retry_same = RetrySame::After {
                pause: 10 * MINUTE,
                times: None,
            };
            after.circuit = Circuit::Stays;
        }
        // Recipients complained, or templates were misclassified: seconds do not help, and other roads are open.
        "131048" | "131064" => {
            after.retry_same = RetrySame::After {
                pause: 4 * HOUR,
                times: None,
            };
            after.fallback = Fallback::UnlessMarketing;
            after.circuit = Circuit::Opens(4 * HOUR);
            after.alert = true;
        }
        // Limits of an hour and of management calls: seconds do not help.
        "4" | "80007" | "80008" => {
            after.retry_same = RetrySame::After {
                pause: MINUTE,
                times: None,
            }
        }
        "130472" => after.retry_same = RetrySame::No,
        // These say something about our settings, not about the number.
        "131021" | "131030" => {
            after.mark = None;
            after.alert = true;
        }
        "132018" => after.retry_same = RetrySame::Sanitised,
        // The host that serves the file may have been slow.
        "131052" | "131053" => {
            after.retry_same = RetrySame::UpTo {
                tries: 2,
                then: Class::Content,
            }
        }
        // Every message with this template will be refused. (132008 is about one value: no mark.)
        "132000" | "132012" => after.mark = Some(Mark::Template),
        // Promotional messages only: utility messages still pass.
        "131063" => {
            after.circuit = Circuit::Stays;
            after.fallback = Fallback::UnlessMarketing;
            after.fails = Fails::WhenNoneLeft;
            after.mark = Some(Mark::Template);
        }
        // One country only.
        "130497" => {
            after.circuit = Circuit::Stays;
            after.fails = Fails::WhenNoneLeft;
        }
        "133016" => after.circuit = Circuit::Opens(HOUR),
        _ => {}
    }
}

/// "Meta: error codes" (2026-05-15), as first and last code of a range. 200 to 299 are all permissions.
#[rustfmt::skip]
const META: &[(Class, &[(i64, i64)])] = &[
    (Class::Transient, &[(1, 2), (131000, 131000), (131016, 131016), (131057, 131057), (135000, 135000)]),
    (Class::Transient, &[(134101, 134102), (133004, 133004)]),
    (Class::ThrottleProvider, &[(4, 4), (80007, 80008), (130429, 130429), (131048, 131048), (131064, 131064)]),
    (Class::ThrottleProvider, &[(132069, 132069)]),
    (Class::ThrottleRecipient, &[(131056, 131056)]),
    (Class::Wait, &[(131049, 131049), (130472, 130472)]),
    (Class::Recipient, &[(131026, 131026), (131021, 131021), (131030, 131030), (131062, 131062), (137000, 137000)]),
    (Class::OptOut, &[(131050, 131050)]),
    (Class::Template, &[(132001, 132001), (132007, 132007), (132015, 132016), (132068, 132068)]),
    (Class::Content, &[(132000, 132000), (132005, 132005), (132008, 132008), (132012, 132012), (132018, 132018)]),
    (Class::Content, &[(100, 100), (131008, 131009), (131051, 131053), (131055, 131055)]),
    (Class::Window, &[(131047, 131047)]),
    (Class::Account, &[(0, 0), (3, 3), (10, 10), (33, 33), (190, 190), (200, 299), (368, 368), (130497, 130497)]),
    (Class::Account, &[(131005, 131005), (131031, 131031), (131037, 131037), (131042, 131042), (131044, 131045)]),
    (Class::Account, &[(131063, 131063), (133000, 133003), (133005, 133010), (133015, 133016), (134011, 134011)]),
];

/// The class of a code of Meta; `None` for a code that is not listed.
pub fn meta_class(code: i64) -> Option<Class> {
    let listed = |ranges: &[(i64, i64)]| {
        ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&code))
    };
    META.iter()
        .find(|(_, ranges)| listed(ranges))
        .map(|(class, _)| *class)
}

/// Every code of Meta that is listed, for the test that none stands twice.
#[cfg(test)]
pub(super) fn listed_meta_codes() -> Vec<i64> {
    META.iter()
        .flat_map(|(_, ranges)| ranges.iter().flat_map(|(first, last)| *first..=*last))
        .collect()
}

/// "Fonnte: API send", in the order of the search: the more telling words first ("quota" before "limit").
const FONNTE: &[(&str, Class, &str)] = &[
    ("disconnected", Class::Account, DISCONNECTED),
    ("not connected", Class::Account, DISCONNECTED),
    ("token invalid", Class::Account, "token_invalid"),
    ("invalid token", Class::Account, "token_invalid"),
    ("unknown user", Class::Account, "unknown_user"),
    (
        "devices must belong to an account",
        Class::Account,
        "foreign_device",
    ),
    ("insufficient quota", Class::Account, "insufficient_quota"),
    ("target invalid", Class::Recipient, "target_invalid"),
    ("input invalid", Class::Content, "input_invalid"),
    ("json format invalid", Class::Content, "json_invalid"),
    ("url invalid", Class::Content, "url_invalid"),
    ("url unreachable", Class::Content, "url_unreachable"),
    ("file format not supported", Class::Content, "file_format"),
    ("file size must", Class::Content, "file_size"),
    ("temporary error", Class::Transient, "temporary_error"),
    ("request timeout", Class::Transient, "request_timeout"),
    ("too many", Class::ThrottleProvider, "limit"),
    ("limit", Class::ThrottleProvider, "limit"),
];

/// Class and code of a reason of Fonnte; `None` for a reason that is not listed.
pub fn fonnte_class(reason: &str) -> Option<(Class, &'static str)> {
    let reason = reason.to_lowercase();
    FONNTE
        .iter()
        .find(|(words, ..)| reason.contains(words))
        .map(|(_, class, code)| (*class, *code))
}

/// Class and code of a status of Watzap other than 200 ("Watzap: status codes"); 1005 is told apart by its text.
pub fn watzap_class(status: &str, message: &str) -> (Class, String) {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let class = match status {
        "1005" if says(&["not started", "not connected", "disconnect", "instance"]) => {
            return (Class::Account, DISCONNECTED.to_owned());
        }
        "1005"
            if says(&[
                "not registered",
                "not on whatsapp",
                "not a whatsapp",
                "invalid number",
                "number is not",
            ]) =>
        {
            Class::Recipient
        }
        "1002" | "1003" | "1004" | "3001" => Class::Account,
        "1006" => Class::Transient,
        "429" => Class::ThrottleProvider,
        _ => Class::Soft,
    };
    (class, status.to_owned())
}
