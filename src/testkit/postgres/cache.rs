//! The result of `initdb`, made once for each server binary and user.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::binaries::find_binaries;
use super::owner::Owner;
use super::supervisor::Supervisor;
use super::{Builder, ClusterError, copy_folder, run};

/// Part of the cache key; raise it when the arguments of `initdb` change.
const INIT_RECIPE: &str = "1";

/// The result of `initdb`, kept between runs.
pub(super) struct Cache {
    /// `None`: the folder belongs to somebody else, so there is no cache.
    folder: Option<PathBuf>,
    bin: PathBuf,
    owner: Owner,
    key: String,
}

impl Cache {
    /// The cache that this builder's cluster came from.
    pub(super) fn of(builder: &Builder) -> Result<Self, ClusterError> {
        let bin = match &builder.bin_dir {
            Some(dir) => dir.clone(),
            None => find_binaries()?,
        };
        let bin = fs::canonicalize(&bin).map_err(ClusterError::io("find", &bin))?;
        let owner = Owner::of(builder.account.as_deref())?;
        let (_supervisor, base, _root) = Supervisor::spawn(&bin, owner)?;
        Self::new(&base, &bin, owner)
    }

    pub(super) fn new(base: &Path, bin: &Path, owner: Owner) -> Result<Self, ClusterError> {
        let server = bin.join("postgres");
        let meta = fs::metadata(&server).map_err(ClusterError::io("read", &server))?;
        let built = meta
            .modified()
            .ok()
            .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        let recipe = format!("{INIT_RECIPE} {} {} {built:?}", server.display(), meta.len());
        let digest = Sha256::digest(recipe.as_bytes());
        let key: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();

        let folder = base.join(format!("sicantik-testkit-{}", owner.uid));
        if fs::create_dir(&folder).is_ok() {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(ClusterError::io("set the mode of", &folder))?;
            owner.give(&folder)?;
        }
        // In a folder that everybody writes to, a name proves nothing: take only what is ours and closed to others.
        let ours = fs::symlink_metadata(&folder)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == owner.uid && meta.mode() & 0o077 == 0);
        Ok(Self {
            folder: ours.then_some(folder),
            bin: bin.to_owned(),
            owner,
            key,
        })
    }

    /// Puts a fresh cluster there. True: it came from the cache.
    pub(super) fn copy_into(&self, data: &Path) -> Result<bool, ClusterError> {
        let Some(folder) = &self.folder else {
            self.initdb(data)?;
            return Ok(false);
        };
        let template = folder.join(&self.key);
        for _ in 0..2 {
            let lock = self.lock_file(folder)?;
            lock.lock_shared().map_err(ClusterError::io("lock", folder))?;
            if template.join("global/pg_control").is_file() && template.join("PG_VERSION").is_file() {
                copy_folder(&template, data)?;
                return Ok(true);
            }
            drop(lock);
            self.build(folder, &template)?;
        }
        self.initdb(data)?;
        Ok(false)
    }

    fn build(&self, folder: &Path, template: &Path) -> Result<(), ClusterError> {
        let lock = self.lock_file(folder)?;
        lock.lock().map_err(ClusterError::io("lock", folder))?;
        if template.join("global/pg_control").is_file() && template.join("PG_VERSION").is_file() {
            return Ok(());
        }
        // What a killed builder left, and a template without its essentials.
        let unfinished = folder.join(format!("{}.new", self.key));
        for left in [&unfinished, &template.to_owned()] {
            let _ = fs::remove_dir_all(left);
        }
        self.initdb(&unfinished)?;
        fs::rename(&unfinished, template).map_err(ClusterError::io("rename", &unfinished))
    }

    pub(super) fn forget(&self) {
        let Some(folder) = &self.folder else { return };
        let Ok(lock) = self.lock_file(folder) else { return };
        if lock.lock().is_ok() {
            let _ = fs::remove_dir_all(folder.join(&self.key));
        }
    }

    fn lock_file(&self, folder: &Path) -> Result<File, ClusterError> {
        let path = folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.map_err(ClusterError::io("open", &path))?;
        self.owner.give(&path)?;
        Ok(file)
    }

    fn initdb(&self, data: &Path) -> Result<(), ClusterError> {
        let initdb = |ctype: &str| {
            let mut command = self.owner.command(self.bin.join("initdb"));
            command
                .args([
                    "--no-sync",
                    "--auth=trust",
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C",
                ])
                .arg(format!("--lc-ctype={ctype}"))
                .arg("-D")
                .arg(data)
                .env("LC_ALL", "C");
            run(&mut command)
        };
        // Odoo's image has C.UTF-8; a system without that locale still gets a server.
        initdb("C.UTF-8").or_else(|_| {
            let _ = fs::remove_dir_all(data);
            initdb("C")
        })
    }
}
