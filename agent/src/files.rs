//! `status.json` in the run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::broker::{SESSIONS, SOCKET, remove_notes};
use crate::cluster::CACHE;
use crate::status::Status;

/// A file of the run directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

const NAME: &str = "status.json";

/// Writes the status, whole or not at all; nothing if it says the same already.
pub fn write_status(run_dir: &Path, status: &Status) -> Result<(), FileError> {
    let path = run_dir.join(NAME);
    let text = serde_json::to_string_pretty(status).map_err(|error| FileError {
        path: path.clone(),
        source: error.into(),
    })?;
    if fs::read_to_string(&path).is_ok_and(|now| now == text) {
        return Ok(());
    }
    let write = || {
        fs::create_dir_all(run_dir)?;
        let new = run_dir.join(format!(".{NAME}.new"));
        fs::write(&new, &text)?;
        fs::rename(&new, &path)
    };
    write().map_err(|source| FileError {
        path: path.clone(),
        source,
    })
}

/// Reads the status that an agent left in its run directory.
pub fn read_status(run_dir: &Path) -> Result<Status, FileError> {
    let path = run_dir.join(NAME);
    let read = || {
        let text = fs::read_to_string(&path)?;
        Ok(serde_json::from_str(&text)?)
    };
    read().map_err(|source| FileError {
        path: path.clone(),
        source,
    })
}

/// Removes what an agent has left in its run directory. Returns the files.
pub fn remove_all(run_dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut removed = Vec::new();
    for path in [NAME, SOCKET, CACHE].map(|name| run_dir.join(name)) {
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(FileError { path, source }),
        }
    }
    let notes = remove_notes(run_dir).map_err(|source| FileError {
        path: run_dir.join(SESSIONS),
        source,
    })?;
    removed.extend(notes);
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    #[test]
    fn a_status_is_removed_once() {
        let directory = tempfile::tempdir().unwrap();
        let run_dir = directory.path().join("run");
        assert!(remove_all(&run_dir).unwrap().is_empty());
        write_status(&run_dir, &Status::default()).unwrap();
        let file = run_dir.join(NAME);
        assert_eq!(remove_all(&run_dir).unwrap(), slice::from_ref(&file));
        assert!(!file.exists());
    }
}
