//! Exit codes: the one table of them, which `--help`, the manual page and docs/operations.md print.

use std::fmt::Write as _;

/// What a code means, whatever the command.
pub(super) const CODES: [(u8, &str); 4] = [
    (0, "done, and nothing needs a person"),
    (1, "failed; the last line says why, and what to do"),
    (2, "wrong usage"),
    (
        3,
        "done, and something needs a person or is still to come (below)",
    ),
];

/// When a command ends with 3.
pub(super) const ATTENTION: &[(&str, &str)] = &[
    ("migrate", "rights are missing, which somebody else must grant"),
    ("hooks install", "a hook is not as it should be"),
    ("hooks verify", "a hook is not as it should be"),
    (
        "capture switch",
        "the slot was not read to its end, or a hook is not as it should be",
    ),
    ("status", "v_problem has a row"),
    ("doctor", "there is a finding"),
    ("explain", "the record, event or message is unknown"),
    ("check", "there are warnings (--strict)"),
    ("apply", "something would change (--dry-run)"),
    (
        "import-odoo",
        "something could not be carried over as it was, or would change (--dry-run)",
    ),
    ("send", "the message waits, or nobody would send it (--dry-run)"),
    ("provider test", "an account cannot send"),
    ("template preview", "no provider would send it"),
    ("template sync", "a template of Meta's does not fit ours"),
    ("template lint", "there is a fault"),
    ("cron run", "the run has not ended"),
    ("campaign show", "the daemon stopped it"),
    ("campaign watch", "it needs a person, or was cancelled"),
    (
        "campaign dry-run",
        "there would be no message, or it cannot be started",
    ),
    ("fire", "the run is not over in time (--wait)"),
    ("backfill", "somebody would be told (without --yes)"),
];

/// Both tables for `--help`.
pub(super) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in CODES {
        let _ = writeln!(text, "  {code}  {meaning}");
    }
    for (command, when) in ATTENTION {
        let _ = writeln!(text, "     {command:<16} {when}");
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_runbook_has_the_same_tables_and_each_command_exists() {
        let page = include_str!("../../docs/operations.md");
        for (code, meaning) in CODES {
            assert!(
                page.contains(&format!("| {code} | {meaning} |")),
                "docs/operations.md lacks {code}"
            );
        }
        for (command, when) in ATTENTION {
            let row = format!("| `{command}` | {when} |");
            assert!(page.contains(&row), "docs/operations.md lacks {row}");
            let mut known = super::super::Cli::command();
            for name in command.split(' ') {
                known = known
                    .find_subcommand(name)
                    .unwrap_or_else(|| panic!("no command {command}"))
                    .clone();
            }
        }
    }
}
