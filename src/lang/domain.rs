//! Odoo domains.
