//! The three WhatsApp APIs.
