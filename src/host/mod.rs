//! The host: the Odoo database we are attached to.

pub mod catalog;
