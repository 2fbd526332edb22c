//! Stage 3: due messages of `queue` reach a provider and end in `log`.

pub mod dispatcher;
pub mod phone;
pub mod provider;
pub mod template;
