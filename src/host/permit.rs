//! P13, a copy never sends: the arming secret in the daemon's state directory, and the question whether this database and
//! this machine belong together.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

/// File in the state directory.
const FILE: &str = "arming";

/// What stands in the way of arming.
#[derive(Debug, thiserror::Error)]
pub enum PermitError {
    /// The state directory cannot be used.
    #[error("the state directory cannot be used: {path}: {source}")]
    StateDir {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The server refused.
    #[error("arming failed: {}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
}

/// The SHA-256 of this machine's arming secret. The secret itself never leaves the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arming {
    hash: String,
}

impl Arming {
    /// The hash, which claims name.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Reads the secret of this machine, if it has one.
    ///
    /// # Errors
    /// [`PermitError::StateDir`].
    pub fn load(state_dir: &Path) -> Result<Option<Self>, PermitError> {
        let path = state_dir.join(FILE);
        match std::fs::read(&path) {
            Ok(secret) => Ok(Some(secret).filter(|s| !s.is_empty()).map(|s| Self::of(&s))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PermitError::StateDir { path, source }),
        }
    }

    /// Reads the secret of this machine, and makes one where there is none. A fresh secret opens nothing until the
    /// database knows its hash.
    ///
    /// # Errors
    /// [`PermitError::StateDir`].
    pub fn load_or_create(state_dir: &Path) -> Result<Self, PermitError> {
        if let Some(found) = Self::load(state_dir)? {
            return Ok(found);
        }
        let path = state_dir.join(FILE);
        let fail = |source| PermitError::StateDir {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(state_dir).map_err(fail)?;
        let secret = crate::db::migrate::hex(&rand::random::<[u8; 32]>());
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        file.write_all(secret.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(fail)?;
        Ok(Self::of(secret.as_bytes()))
    }

    fn of(secret: &[u8]) -> Self {
        Self {
            hash: crate::db::migrate::hex(&Sha256::digest(secret)),
        }
    }
}

/// Whether this daemon may send from this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// May it?
    pub allowed: bool,
    /// Why not, for people.
    pub reason: String,
}

/// Asks the database.
///
/// # Errors
/// The server's.
pub async fn ask(client: &Client, arming: &Arming) -> Result<Permit, tokio_postgres::Error> {
    let row = client
        .query_one(
            "select allowed, reason from sicantik_notify.delivery_permit($1)",
            &[&arming.hash()],
        )
        .await?;
    Ok(Permit {
        allowed: row.get(0),
        reason: row.get(1),
    })
}

/// Arms this machine. Without `rebind` that works only for the first daemon of a new installation.
///
/// # Errors
/// [`PermitError::Server`].
pub async fn arm(client: &Client, arming: &Arming, label: &str, rebind: bool) -> Result<bool, PermitError> {
    Ok(client
        .query_one(
            "select sicantik_notify.arm($1, $2, $3)",
            &[&arming.hash(), &label, &rebind],
        )
        .await?
        .get(0))
}
