//! A tar archive in which nothing tells when or by whom it was made.

use anyhow::Result;
use tar::{Builder, EntryType, Header};

pub(super) struct Archive(Builder<Vec<u8>>);

impl Archive {
    pub(super) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        let mut header = header(EntryType::Directory, mode);
        Ok(self
            .0
            .append_data(&mut header, format!("{path}/"), [].as_slice())?)
    }

    pub(super) fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let mut header = header(EntryType::Regular, mode);
        header.set_size(u64::try_from(content.len())?);
        Ok(self.0.append_data(&mut header, path, content)?)
    }

    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(EntryType::Symlink, 0o777);
        Ok(self.0.append_link(&mut header, path, target)?)
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}
