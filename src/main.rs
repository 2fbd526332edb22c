//! The `sicantik-notifyd` binary.

fn main() {}
