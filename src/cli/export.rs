//! `export`: the configuration as a file.

use tokio_postgres::IsolationLevel;

use super::{Done, Outcome, access};
use crate::config::Config;
use crate::setup::export;
use crate::setup::shape::Shapes;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these sections, such as triggers,rules
    #[arg(long, value_name = "SECTIONS", value_delimiter = ',')]
    only: Vec<String>,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut client = access::connect(config, "export").await?;
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    tx.batch_execute(
        "set local timezone = 'UTC'; set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'",
    )
    .await?;
    let shapes = Shapes::load(&tx).await?;
    let text = export::text(&tx, &shapes.only(&args.only)?).await?;
    tx.commit().await?;
    print!("{text}");
    Ok(Done::Well)
}
