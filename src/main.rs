//! The `sicantik-notifyd` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sicantik_notifyd::cli::main()
}
