//! The directory of a run.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

use crate::run_name::RunName;
use crate::sweep;

/// A directory named after a run, removed with all inside when dropped.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes it where temporary files go.
    pub fn create(name: RunName) -> Result<Self> {
        let path = env::temp_dir().join(name.to_string());
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        sweep::remove_directory(&self.0);
    }
}
