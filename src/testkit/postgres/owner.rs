//! Whom a server and its files belong to.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::ClusterError;

/// Whom the server and its files belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Set when we are root and have to step down.
    pub(super) drop_to: Option<(u32, u32)>,
}

impl Owner {
    pub(super) fn of(account: Option<&str>) -> Result<Self, ClusterError> {
        // Who we are, without libc: a file that we create belongs to us.
        let probe = tempfile::tempfile().and_then(|file| file.metadata());
        let me = probe.map_err(ClusterError::io("create a file in", &std::env::temp_dir()))?;
        if me.uid() != 0 {
            return Ok(Self {
                uid: me.uid(),
                gid: me.gid(),
                drop_to: None,
            });
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let wanted: &[&str] = match &account {
            Some(name) => &[name],
            None => &["postgres", "nobody"],
        };
        let found = wanted.iter().find_map(|name| {
            passwd.lines().find_map(|line| {
                let mut parts = line.split(':');
                let matches = parts.next() == Some(name);
                let (uid, gid) = (parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?);
                (matches && uid != 0).then_some((uid, gid))
            })
        });
        let (uid, gid) = found.ok_or_else(|| ClusterError::NoAccount(wanted.join(" or ")))?;
        Ok(Self {
            uid,
            gid,
            drop_to: Some((uid, gid)),
        })
    }

    pub(super) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.drop_to {
            command.uid(uid).gid(gid);
        }
        // Ours may be closed to that user, and initdb complains about that.
        command.current_dir("/");
        command
    }

    pub(super) fn give(self, path: &Path) -> Result<(), ClusterError> {
        match self.drop_to {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(ClusterError::io("change the owner of", path))
            }
            None => Ok(()),
        }
    }
}
