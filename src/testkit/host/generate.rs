//! Any amount of host data, the same for the same seed.

use chrono::NaiveDate;
use tokio_postgres::Client;

use super::{HostError, OWNER, finish, placeholders, run};

/// How many rows to add to the base data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volume {
    /// Citizens, with numbers in every notation, and some without.
    pub partners: u32,
    /// Permits, of the new partners where there are any, else of the base ones.
    pub permits: u32,
    /// Documents, of the new permits where there are any, else of the base ones.
    pub documents: u32,
    /// The day that dates are counted from; `None`: the server's day, UTC.
    pub today: Option<NaiveDate>,
}

/// Adds rows to an installed host: set-wise, in one transaction, as the host's owner.
pub async fn generate(client: &Client, volume: &Volume, seed: u32) -> Result<(), HostError> {
    let today = volume.today.map(|day| day.to_string());
    let sql = placeholders(include_str!("generate.sql"), today.as_deref())
        .replace("{partners}", &volume.partners.to_string())
        .replace("{permits}", &volume.permits.to_string())
        .replace("{documents}", &volume.documents.to_string())
        .replace("{seed}", &seed.to_string());
    client
        .batch_execute(&format!(
            "begin; set local role {OWNER}; set local search_path = public, pg_temp; set local jit = off"
        ))
        .await?;
    let done = async {
        run(client, "generate.sql", &sql).await?;
        run(client, "sequences.sql", include_str!("sequences.sql")).await
    }
    .await;
    finish(client, done).await?;
    client
        .batch_execute("analyze res_partner, sicantik_permit, sicantik_document")
        .await?;
    Ok(())
}
