//! Secrets of callers, compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether `given` is the secret. Digests are compared: the time tells neither where they differ nor how long the secret is.
pub fn is_secret(secret: &SecretString, given: &str) -> bool {
    let ours = Sha256::digest(secret.expose_secret().as_bytes());
    let theirs = Sha256::digest(given.as_bytes());
    ours.as_slice().ct_eq(theirs.as_slice()).into()
}

/// Whether `header` (`sha256=` and hexadecimal) signs the bytes of `body` with `key`.
pub fn is_signed(key: &SecretString, header: &str, body: &[u8]) -> bool {
    let Some(signature) = header.strip_prefix("sha256=").and_then(unhex) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256_of_the_bytes() {
        // RFC 4231, case 2.
        let key = SecretString::from("Jefe");
        let body = b"what do ya want for nothing?";
        let right = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_signed(&key, right, body));
        assert!(is_signed(
            &key,
            &format!("sha256={}", right[7..].to_uppercase()),
            body
        ));
        for (header, body) in [
            (right, b"what do ya want for nothing!".as_slice()),
            (&right[7..], body),
            (&right[..70], body),
            ("sha256=", body),
            ("", body),
            (
                "sha256=\u{e9}bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec384",
                body,
            ),
        ] {
            assert!(!is_signed(&key, header, body), "{header}");
        }
        assert!(!is_signed(&SecretString::from("jefe"), right, body));
    }

    #[test]
    fn a_secret_fits_whole_or_not_at_all() {
        let secret = SecretString::from("a long path segment");
        assert!(is_secret(&secret, "a long path segment"));
        for other in [
            "",
            "a long path segmen",
            "a long path segment ",
            "A long path segment",
        ] {
            assert!(!is_secret(&secret, other));
        }
    }
}
