//! The host: the Odoo database we are attached to. We only ever read it.

pub mod catalog;
pub mod grants;
pub mod permit;
pub mod phone;
pub mod record;
pub mod search;
pub mod user;
