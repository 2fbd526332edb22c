//! Where the server's programs are.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BIN_VARIABLE, ClusterError, LOCAL_FOLDER};

/// The folder that holds `initdb` and `postgres`, and beside them `psql`, `pg_dump`, `pg_basebackup`.
///
/// Searched: [`BIN_VARIABLE`], then `PATH` (links followed to the real folder), then the newest
/// `/usr/lib/postgresql/*/bin`, then [`LOCAL_FOLDER`] in the project and the folders above the current one.
pub fn find_binaries() -> Result<PathBuf, ClusterError> {
    let mut looked = Vec::new();

    if let Some(dir) = std::env::var_os(BIN_VARIABLE).filter(|v| !v.is_empty()) {
        let dir = PathBuf::from(dir);
        looked.push(format!("{BIN_VARIABLE}={}", dir.display()));
        // Set and wrong is a mistake to report, not to paper over with another server.
        return real_bin_dir(&dir).ok_or(ClusterError::NoBinaries { looked });
    }
    looked.push(format!("{BIN_VARIABLE} (not set)"));

    looked.push("PATH".to_owned());
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).find_map(|dir| real_bin_dir(&dir)) {
        return Ok(found);
    }

    let mut versions = vec![PathBuf::from("/usr/lib/postgresql")];
    let project = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = std::env::current_dir().ok();
    versions.extend(project.iter().map(|dir| dir.join(LOCAL_FOLDER)));
    versions.extend(
        here.iter()
            .flat_map(|dir| dir.ancestors())
            .map(|dir| dir.join(LOCAL_FOLDER)),
    );
    for folder in versions {
        let found = newest_version(&folder);
        looked.push(format!("{}/*/bin", folder.display()));
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(ClusterError::NoBinaries { looked })
}

/// The folder itself, or the one its `initdb` links to: the one that also holds the companions.
pub(super) fn real_bin_dir(dir: &Path) -> Option<PathBuf> {
    let complete = |dir: &Path| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    if dir.as_os_str().is_empty() || !complete(dir) {
        return None;
    }
    let target = fs::canonicalize(dir.join("postgres")).ok()?;
    match target.parent() {
        Some(real) if complete(real) => Some(real.to_owned()),
        _ => fs::canonicalize(dir).ok(),
    }
}

fn newest_version(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version = entry
                .file_name()
                .to_str()?
                .split('.')
                .next()?
                .parse()
                .unwrap_or(0);
            Some((version, real_bin_dir(&entry.path().join("bin"))?))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, dir)| dir)
}
