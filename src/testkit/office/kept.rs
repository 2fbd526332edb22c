//! Offices as `migrate` leaves them, kept for a few seconds: many tests begin at once, and each wants one of its own. Promises: what is taken
//! is at most so old, and was made by the same program to the same plan; nothing that somebody else put there is used.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::Plan;

/// How long an office counts as new. Alarms about what has not happened for a while begin later.
const FRESH: Duration = Duration::from_secs(20);
/// After this long nobody copies it any more.
const OVER: Duration = Duration::from_secs(600);

/// Where an office of this program and plan is kept, made in these seconds.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    key: String,
}

impl Kept {
    /// `None` where nothing can be kept: then every office is made anew.
    pub(super) fn of(program: &Path, plan: &Plan) -> Option<Self> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let built = fs::metadata(program).ok()?;
        let recipe = format!(
            "{} {} {:?} {:?} {:?} {:?} {}",
            program.display(),
            built.len(),
            built.modified().ok()?,
            std::env::var_os("SICANTIK_NOTIFYD_PG_BIN"),
            plan.profile,
            plan.host,
            since_1970.as_secs() / FRESH.as_secs()
        );
        let digest = Sha256::digest(recipe.as_bytes());
        let key = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let uid = fs::metadata("/proc/self").ok()?.uid();
        let folder = std::env::temp_dir().join(format!("sicantik-offices-{uid}"));
        if fs::create_dir(&folder).is_ok() {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).ok()?;
        }
        // In a folder that everybody writes to, a name proves nothing: take only what is ours and closed to others.
        let meta = fs::symlink_metadata(&folder).ok()?;
        (meta.is_dir() && meta.uid() == uid && meta.mode() & 0o077 == 0).then_some(Self { folder, key })
    }

    /// Waits until nobody makes or copies it.
    pub(super) async fn lock(&self) -> std::io::Result<File> {
        let path = self.folder.join(format!("{}.lock", self.key));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        tokio::task::spawn_blocking(move || file.lock().map(|()| file))
            .await
            .map_err(std::io::Error::other)?
    }

    /// Its data, once they are there.
    pub(super) fn data(&self) -> Option<PathBuf> {
        let data = self.folder.join(&self.key);
        data.is_dir().then_some(data)
    }

    /// Keeps the data of a server that is stopped, and drops those that are over. Under the lock.
    pub(super) fn keep(&self, data: &Path) -> std::io::Result<()> {
        self.sweep();
        let unfinished = self.folder.join(format!("{}.new", self.key));
        let _ = fs::remove_dir_all(&unfinished);
        let copied = Command::new("cp").arg("-a").arg(data).arg(&unfinished).status()?;
        if !copied.success() {
            return Err(std::io::Error::other(format!("cp ended with {copied}")));
        }
        fs::rename(&unfinished, self.folder.join(&self.key))
    }

    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let changed = fs::symlink_metadata(entry.path()).map(|meta| meta.ctime());
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            if changed.is_ok_and(|at| now.as_secs().saturating_sub(at.unsigned_abs()) > OVER.as_secs()) {
                let _ = fs::remove_dir_all(entry.path());
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
