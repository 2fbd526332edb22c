//! `run`

use super::{Done, Outcome};
use crate::config::Config;

pub(super) async fn execute(config: Config) -> Outcome {
    crate::daemon::run(config).await?;
    Ok(Done::Well)
}
