//! The database: ids of our rows, connections, migrations.

pub mod ids;
