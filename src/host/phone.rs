//! Telephone numbers: what a person typed into a contact becomes one E.164 number, or a reason why not.
//!
//! Owns the only way to make a [`Phone`]. Promises: a `Phone` is an Indonesian mobile number or a foreign number that
//! the numbering plan of its country allows; a digit is never invented and never dropped from the middle of a number,
//! because a wrong number hands a citizen's data to a stranger. Does not decide whether a number has WhatsApp, and does
//! not reject fillers such as `081111111111`: that is configuration.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A normalised E.164 number (`+6281234567890`).
///
/// It has no `Display`, and its `Debug` is [`masked`](Phone::masked), so that no log line can print a whole number by
/// accident. Serde reads and writes the E.164 string.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Phone(String);

/// Why a field holds no number that a message may go to. The text never repeats the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PhoneError {
    /// The field is empty, or holds no digit.
    #[error("there is no number in the field: fill in the contact's mobile number")]
    Missing,
    /// Fewer digits than any mobile number has.
    #[error("the number is too short: an Indonesian mobile number has 9 to 12 digits after +62")]
    TooShort,
    /// More digits than the numbering plan, or E.164, allows.
    #[error(
        "the number is too long: an Indonesian mobile number has 9 to 12 digits after +62, any number at most 15"
    )]
    TooLong,
    /// An Indonesian number that is not a mobile one (landline, 80x, 84x).
    #[error(
        "the number is not an Indonesian mobile number (08… without 080 and 084): landlines have no WhatsApp"
    )]
    NotMobile,
    /// `+6262812…`: the country code stands there twice.
    #[error("the number carries the country code 62 twice: correct it in the contact")]
    DoubledCountryCode,
    /// Digits that begin neither with 0, 8, 62 nor with a plus sign.
    #[error("the number has no country code: write it as 08… or with a leading +")]
    NoCountryCode,
    /// `00812…`: an international number of +81, or an Indonesian one with one zero too many.
    #[error("00 before 8… can be read in two ways: write the number as 08… or with a leading +")]
    AmbiguousPrefix,
    /// A foreign number that its country's numbering plan does not know.
    #[error("the foreign number is not valid in its country: check country code and length")]
    InvalidForeign,
}

impl Phone {
    /// The number in a field that a person filled in.
    ///
    /// Noise (blanks, brackets, dots, dashes, invisible marks) is dropped; `00` stands for `+`; `0…`, `8…`, `62…` and
    /// `620…` are Indonesian; another `+cc` is kept as it is. Of several numbers the first valid one counts. Letters
    /// always end a number, a slash does so unless only the joined parts make one (`0812/3456/7890`).
    pub fn parse(raw: &str) -> Result<Phone, PhoneError> {
        let mut first_error = None;
        for piece in raw.split(is_hard_separator).flat_map(split_before_plus) {
            match read_piece(piece) {
                Ok(phone) => return Ok(phone),
                Err(PhoneError::Missing) => {}
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(PhoneError::Missing))
    }

    /// `+6281234567890`.
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// `6281234567890`, as the providers want it.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// True for a number of Indonesia.
    pub fn is_indonesian(&self) -> bool {
        self.0.starts_with("+62")
    }

    /// `+62812****001`: enough to recognise a number in a log, not enough to call it.
    pub fn masked(&self) -> String {
        let tail = self.0.len() - 3;
        let head = tail.saturating_sub(4).clamp(2, 6);
        format!("{}****{}", &self.0[..head], &self.0[tail..])
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.masked())
    }
}

impl TryFrom<String> for Phone {
    type Error = PhoneError;

    fn try_from(raw: String) -> Result<Self, PhoneError> {
        Phone::parse(&raw)
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> String {
        phone.0
    }
}

impl std::str::FromStr for Phone {
    type Err = PhoneError;

    fn from_str(raw: &str) -> Result<Self, PhoneError> {
        Phone::parse(raw)
    }
}

/// Letters separate, and so do digits of other scripts: dropping one of them would make another person's number.
fn is_hard_separator(c: char) -> bool {
    matches!(c, ',' | ';' | '|' | '&' | '\n' | '\r') || (!c.is_ascii_digit() && c.is_alphanumeric())
}

/// A plus sign begins a number.
fn split_before_plus(piece: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(piece);
    std::iter::from_fn(move || {
        let text = rest?;
        let cut = text
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '+')
            .map(|(at, _)| at);
        rest = cut.map(|at| &text[at..]);
        Some(cut.map_or(text, |at| &text[..at]))
    })
}

/// The parts between slashes, else the whole without them, else the parts between blanks that begin like a number.
fn read_piece(piece: &str) -> Result<Phone, PhoneError> {
    if piece.contains('/')
        && let Some(phone) = piece.split('/').find_map(|part| read_one(part).ok())
    {
        return Ok(phone);
    }
    read_one(piece).or_else(|error| {
        let alone = |part: &&str| part.starts_with(['0', '+']) || part.starts_with("62");
        piece
            .split_whitespace()
            .filter(alone)
            .find_map(|part| read_one(part).ok())
            .ok_or(error)
    })
}

fn read_one(text: &str) -> Result<Phone, PhoneError> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return Err(PhoneError::Missing);
    }
    let plus = text.chars().find(|c| c.is_ascii_digit() || *c == '+') == Some('+');
    if let Some(national) = digits.strip_prefix("00") {
        return match national {
            _ if national.starts_with("62") => indonesian(&national[2..]),
            _ if check_mobile(national).is_ok() => Err(PhoneError::AmbiguousPrefix),
            _ => foreign(national),
        };
    }
    match digits.as_bytes() {
        // No country code begins with 0: the plus of "+0812…" is a slip.
        [b'0', ..] => indonesian(&digits[1..]),
        [b'6', b'2', ..] => indonesian(&digits[2..]),
        _ if plus => foreign(&digits),
        [b'8', ..] => indonesian(&digits),
        _ => Err(PhoneError::NoCountryCode),
    }
}

/// Takes what follows +62, perhaps with the trunk 0 kept by mistake.
fn indonesian(national: &str) -> Result<Phone, PhoneError> {
    let national = national.strip_prefix('0').unwrap_or(national);
    // Only a mobile number behind the second 62 is a doubled code: 0628 is the area code of Karo.
    if let Some(rest) = national.strip_prefix("62")
        && check_mobile(rest.strip_prefix('0').unwrap_or(rest)).is_ok()
    {
        return Err(PhoneError::DoubledCountryCode);
    }
    check_mobile(national).map(|()| Phone(format!("+62{national}")))
}

/// Indonesian mobile: `8[1-35-9]` and 7 to 10 more digits (libphonenumber metadata).
fn check_mobile(national: &str) -> Result<(), PhoneError> {
    match national.as_bytes() {
        [b'8', b'1'..=b'3' | b'5'..=b'9', ..] => match national.len() {
            ..9 => Err(PhoneError::TooShort),
            9..=12 => Ok(()),
            _ => Err(PhoneError::TooLong),
        },
        [] | [_] => Err(PhoneError::TooShort),
        _ => Err(PhoneError::NotMobile),
    }
}

fn foreign(digits: &str) -> Result<Phone, PhoneError> {
    if digits.len() > 15 {
        return Err(PhoneError::TooLong);
    }
    let e164 = format!("+{digits}");
    let parsed = phonenumber::parse(None, &e164).map_err(|_| PhoneError::InvalidForeign)?;
    // The library drops a trunk prefix ("+44 07…"); its own E.164 form is then the one that can be called.
    let normal = parsed.format().mode(phonenumber::Mode::E164).to_string();
    if parsed.is_valid() {
        Ok(Phone(normal))
    } else {
        Err(PhoneError::InvalidForeign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PhoneError::*;

    #[test]
    fn numbers_as_people_write_them() {
        let table = [
            ("081234567890", "+6281234567890"),
            ("0812-3456-7890", "+6281234567890"),
            ("0812.3456.7890", "+6281234567890"),
            ("0812/3456/7890", "+6281234567890"),
            ("(0812) 3456 7890", "+6281234567890"),
            ("81234567890", "+6281234567890"),
            ("6281234567890", "+6281234567890"),
            ("+6281234567890", "+6281234567890"),
            ("+62 (0) 812-3456-7890", "+6281234567890"),
            ("62081234567890", "+6281234567890"),
            ("006281234567890", "+6281234567890"),
            ("+081234567890", "+6281234567890"),
            ("(+62) 81234567890", "+6281234567890"),
            ("\u{202a}+62 812\u{a0}3456\u{a0}7890\u{202c}", "+6281234567890"),
            ("HP: 0812 3456 7890 (Budi)", "+6281234567890"),
            ("081234567890/081398765432", "+6281234567890"),
            ("0628-20123 / 081234567890", "+6281234567890"),
            ("12, 081234567890; 081398765432", "+6281234567890"),
            ("081234567890 081398765432", "+6281234567890"),
            ("081234567890 atau 081398765432", "+6281234567890"),
            ("+6281234567890+6281398765432", "+6281234567890"),
            ("6281234567890@s.whatsapp.net", "+6281234567890"),
            // 9 and 12 digits after +62, and a filler: valid in form.
            ("0812345678", "+62812345678"),
            ("0812345678901", "+62812345678901"),
            ("081111111111", "+6281111111111"),
            // Foreign numbers stay foreign, +82 too, which looks like an Indonesian 082….
            ("+1 650-253-0000", "+16502530000"),
            ("001 650 253 0000", "+16502530000"),
            ("+60123456789", "+60123456789"),
            ("+6581234567", "+6581234567"),
            ("+82 10-1234-5678", "+821012345678"),
        ];
        for (raw, expected) in table {
            assert_eq!(
                Phone::parse(raw).map(String::from),
                Ok(expected.to_owned()),
                "{raw}"
            );
        }
    }

    #[test]
    fn what_is_no_number_says_why() {
        let table = [
            ("", Missing),
            (" - ", Missing),
            ("tidak ada", Missing),
            ("0812345", TooShort),
            ("0", TooShort),
            ("08123456789012", TooLong),
            ("081234567890123", TooLong),
            ("0628-20123", NotMobile),
            ("+62 628 20123", NotMobile),
            ("021 5550123", NotMobile),
            ("0801234567890", NotMobile),
            ("08412345678", NotMobile),
            ("+626281234567890", DoubledCountryCode),
            ("6262081234567890", DoubledCountryCode),
            ("06281234567890", DoubledCountryCode),
            ("14155550123", NoCountryCode),
            ("60123456789", NoCountryCode),
            ("00812345678901", AmbiguousPrefix),
            ("+1234", InvalidForeign),
            ("+999123456789", InvalidForeign),
            ("+1234567890123456", TooLong),
            // A digit of another script, or a letter for a digit, must not vanish.
            ("0812٣4567890", TooShort),
            ("0812l34567890", TooShort),
        ];
        for (raw, expected) in table {
            assert_eq!(Phone::parse(raw), Err(expected), "{raw}");
        }
    }

    #[test]
    fn logs_see_a_masked_number() {
        let phone = Phone::parse("081234567001").unwrap();
        assert_eq!(phone.masked(), "+62812****001");
        assert_eq!(format!("{phone:?}"), "Phone(+62812****001)");
        assert_eq!(phone.digits(), "6281234567001");
        assert!(phone.is_indonesian());
        assert!(!Phone::parse("+6581234567").unwrap().masked().contains("81234"));
    }

    #[test]
    fn serde_is_the_e164_string() {
        let phone = Phone::parse("0812 3456 7890").unwrap();
        let json = serde_json::to_string(&phone).unwrap();
        assert_eq!(json, "\"+6281234567890\"");
        assert_eq!(serde_json::from_str::<Phone>(&json).unwrap(), phone);
        assert!(serde_json::from_str::<Phone>("\"123\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_number_or_an_error(raw in "\\PC{0,40}") {
            if let Ok(phone) = Phone::parse(&raw) {
                proptest::prop_assert!(phone.as_e164().starts_with('+') && phone.digits().len() <= 15);
                proptest::prop_assert_eq!(Phone::parse(phone.as_e164()), Ok(phone));
            }
        }

        #[test]
        fn digits_with_noise_never_panic(raw in "[0-9+/ .,()-]{0,45}") {
            if let Ok(phone) = Phone::parse(&raw) {
                proptest::prop_assert_eq!(Phone::parse(phone.as_e164()), Ok(phone));
            }
        }

        #[test]
        fn every_mobile_number_is_kept(national in "8[1-35-9][0-9]{7,10}") {
            let parsed = Phone::parse(&format!("0{national}")).map(String::from);
            proptest::prop_assert_eq!(parsed, Ok(format!("+62{national}")));
        }
    }
}
