//! Telephone numbers as the gateway compares them, and which of them have WhatsApp.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The digits of a number with its country code: `+62 812-1`, `0812 1` and `628121` are one number.
///
/// A leading `0` is taken as Indonesian, as Fonnte's default `countryCode` does.
pub fn digits(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix('0') {
        Some(rest) if !number.trim_start().starts_with('+') => format!("62{rest}"),
        _ => digits,
    }
}

/// True when `number` is 7 to 15 digits that begin with a country code, as a provider wants it.
pub(crate) fn is_e164_digits(number: &str) -> bool {
    (7..=15).contains(&number.len())
        && !number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Who is on WhatsApp: everybody, except the numbers taken off.
#[derive(Debug, Default)]
pub struct Directory {
    absent: Mutex<HashSet<String>>,
}

impl Directory {
    /// This number has no WhatsApp: Meta answers 131026, Watzap 1005, and Fonnte accepts and never delivers.
    pub fn remove(&self, number: &str) {
        self.absent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(digits(number));
    }

    /// This number has WhatsApp (again).
    pub fn restore(&self, number: &str) {
        self.absent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&digits(number));
    }

    /// True unless the number was taken off.
    pub fn has(&self, number: &str) -> bool {
        !self
            .absent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&digits(number))
    }
}
