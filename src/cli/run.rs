//! `run`

use super::{Done, Outcome};
use crate::config::{Config, ConfigError};

pub(super) async fn execute(config: Config, reread: impl Fn() -> Result<Config, ConfigError>) -> Outcome {
    Box::pin(crate::daemon::run(config, reread)).await?;
    Ok(Done::Well)
}
