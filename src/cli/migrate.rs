//! `migrate`

use super::{Done, Outcome, access};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not offer the guide's triggers, templates and rules
    #[arg(long)]
    no_defaults: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let endpoint = access::endpoint(config, "migrate")?;
    let report = crate::db::migrate::migrate(&endpoint, !args.no_defaults).await?;
    if report.missing_grants.is_empty() {
        // The hooks that the configuration needs, so that `hooks sql` and `hooks install` know them.
        let client = endpoint.connect().await?;
        super::hooks::plan(client).await?;
    }
    for line in report.applied {
        println!("migration   {line}");
    }
    for line in report.replaced {
        println!("replaced    {line}");
    }
    for line in report.partitions {
        println!("partition   {line}");
    }
    println!(
        "The schema sicantik_notify of {} is up to date.",
        endpoint.database()
    );
    if !report.missing_tables.is_empty() {
        println!(
            "This Odoo has no table {}: the triggers on it do nothing until its module is installed.",
            report.missing_tables.join(", ")
        );
    }
    if report.missing_grants.is_empty() {
        println!("Next: `sicantik-notifyd hooks install`, then start the daemon.");
        return Ok(Done::Well);
    }
    println!(
        "This role may not grant the following rights; let a superuser or the owner of Odoo's tables run:"
    );
    for statement in report.missing_grants {
        println!("    {statement};");
    }
    println!("Then run `sicantik-notifyd migrate` again, to see that nothing is missing.");
    Ok(Done::NeedsAttention)
}
