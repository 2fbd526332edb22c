//! A second server that follows the first by streaming replication, asynchronously: what failovers are made of.

use std::path::Path;
use std::time::{Duration, Instant};

use super::owner::Owner;
use super::{Cluster, ClusterError, START_LIMIT, blocking, run};

/// A base backup of a running server, ready to follow it.
pub(super) fn base_backup(owner: Owner, bin: &Path, primary: &str, data: &Path) -> Result<(), ClusterError> {
    run(owner
        .command(bin.join("pg_basebackup"))
        .args([
            "--checkpoint=fast",
            "--wal-method=stream",
            "--no-sync",
            "--dbname",
        ])
        .arg(primary)
        .arg("--pgdata")
        .arg(data))?;
    let signal = data.join("standby.signal");
    std::fs::write(&signal, "").map_err(ClusterError::io("write", &signal))?;
    owner.give(&signal)
}

impl Cluster {
    /// A standby of this server: a base backup that follows it.
    pub async fn standby(&self) -> Result<Self, ClusterError> {
        let mut builder = self.builder.clone();
        builder.files.clear();
        builder.data_from = None;
        builder.bin_dir = Some(self.bin.clone());
        builder.follows = Some(self.replication_url());
        let mut standby = blocking(move || Self::prepare(builder)).await?;
        standby.launch().await?;
        Ok(standby)
    }

    /// Waits until this standby shows everything that the primary has committed so far.
    pub async fn catch_up(&self, primary: &Self) -> Result<(), ClusterError> {
        let there = primary.connect("postgres").await?;
        let position: String = there
            .query_one("select pg_current_wal_lsn()::text", &[])
            .await?
            .get(0);
        let query = format!("select coalesce(pg_last_wal_replay_lsn() >= '{position}'::pg_lsn, false)");
        self.wait_for(&query).await
    }

    /// Cuts this standby off from its primary: what it has is all it will ever have.
    pub async fn cut_off(&self) -> Result<(), ClusterError> {
        let here = self.connect("postgres").await?;
        here.batch_execute("alter system set primary_conninfo = ''")
            .await?;
        here.batch_execute("select pg_reload_conf()").await?;
        self.wait_for("select not exists (select from pg_stat_wal_receiver)")
            .await
    }

    /// Makes this standby a primary, on a timeline of its own.
    pub async fn promote(&self) -> Result<(), ClusterError> {
        let here = self.connect("postgres").await?;
        here.batch_execute("select pg_promote(false)").await?;
        self.wait_for("select not pg_is_in_recovery()").await
    }

    async fn wait_for(&self, query: &str) -> Result<(), ClusterError> {
        let client = self.connect("postgres").await?;
        let began = Instant::now();
        while !client.query_one(query, &[]).await?.get::<_, bool>(0) {
            if began.elapsed() > START_LIMIT {
                return Err(ClusterError::Start { log: self.log_tail() });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}
