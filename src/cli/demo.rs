//! `demo`

use super::{Done, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Keep the server running until Enter is pressed
    #[arg(long)]
    keep: bool,
}

pub(super) async fn execute(_args: Args) -> Outcome {
    Ok(Done::Well)
}
