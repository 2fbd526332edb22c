//! `arm`

use super::{Done, Outcome, access};
use crate::config::Config;
use crate::host::permit::{Arming, arm, ask};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not ask for the database's name
    #[arg(long)]
    yes: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let endpoint = access::endpoint(config, "arm")?;
    let client = endpoint.connect().await?;
    crate::db::migrate::check_version(&client).await?;
    let arming = Arming::load_or_create(&config.state_dir)?;
    let before = ask(&client, &arming).await?;
    if before.allowed {
        println!("Armed already.");
        return Ok(Done::Well);
    }
    println!("Now: {}.", before.reason);
    if !args.yes {
        eprint!(
            "Messages that wait in {} will be sent from this machine. If another machine serves the same citizens, they \
             get them twice. Type the database's name to go on: ",
            endpoint.database()
        );
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if answer.trim() != endpoint.database() {
            return Err(format!(
                "not armed: the name does not match; type {} to go on, or give --yes",
                endpoint.database()
            )
            .into());
        }
    }
    let label = gethostname::gethostname().to_string_lossy().into_owned();
    arm(&client, &arming, &label, true).await?;
    let after = ask(&client, &arming).await?;
    if !after.allowed {
        return Err(format!("armed, but the daemon still may not send: {}", after.reason).into());
    }
    println!(
        "Armed: the daemon of this machine sends from {}.",
        endpoint.database()
    );
    Ok(Done::Well)
}
