//! Builds container images without a registry: one layer of given files, as a docker archive.

mod archive;
mod libraries;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use archive::Archive;

/// An image to be. What it is made of decides every byte: no times, no owners, a fixed order.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    // By path, without the leading slash.
    entries: BTreeMap<String, Entry>,
    entrypoint: Vec<String>,
    user: String,
    architecture: String,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory { mode: u32 },
    File { content: Vec<u8>, mode: u32 },
    Link { target: String },
}

impl Image {
    /// An empty image of a full name, such as `docker.io/stoq/agent:1`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            entries: BTreeMap::new(),
            entrypoint: Vec::new(),
            user: String::new(),
            architecture: architecture().to_owned(),
        }
    }

    /// Adds an empty directory.
    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        self.add(path, Entry::Directory { mode });
        self
    }

    /// Adds a file and the directories above it.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        let content = content.into();
        self.add(path, Entry::File { content, mode });
        self
    }

    /// Adds a symbolic link.
    pub fn link(mut self, path: &str, target: &str) -> Self {
        let target = target.to_owned();
        self.add(path, Entry::Link { target });
        self
    }

    /// Adds a program of this machine and, unless it is static, the libraries it loads here.
    pub fn program(mut self, path: &str, source: &Path) -> Result<Self> {
        for library in libraries::of(source)? {
            self = self.file(&library, read(Path::new(&library))?, 0o755);
        }
        Ok(self.file(path, read(source)?, 0o755))
    }

    /// The command that a container runs.
    pub fn entrypoint(mut self, command: &[&str]) -> Self {
        self.entrypoint = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The user a container runs as, root unless given.
    pub fn user(mut self, user: &str) -> Self {
        self.user = user.to_owned();
        self
    }

    /// The machine its programs are for, such as `arm64`; this machine's unless given.
    pub fn architecture(mut self, name: &str) -> Self {
        self.architecture = name.to_owned();
        self
    }

    /// Writes it as a docker archive, which containerd, docker and podman import.
    pub fn write(&self, path: &Path) -> Result<()> {
        let layer = self.layer()?;
        let config = self.config(&layer).to_string();
        let manifest = json!([{
            "Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"],
        }]);
        let mut archive = Archive::new();
        archive.file("manifest.json", manifest.to_string().as_bytes(), 0o644)?;
        archive.file("config.json", config.as_bytes(), 0o644)?;
        archive.file("layer.tar", &layer, 0o644)?;
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let mut file = BufWriter::new(file);
        file.write_all(&archive.finish()?)?;
        Ok(file.flush()?)
    }

    fn add(&mut self, path: &str, entry: Entry) {
        let path = path.trim_start_matches('/');
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for directory in above {
            let entry = Entry::Directory { mode: 0o755 };
            self.entries.entry(directory.to_owned()).or_insert(entry);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    // A directory sorts before what is in it.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::new();
        for (path, entry) in &self.entries {
            match entry {
                Entry::Directory { mode } => archive.directory(path, *mode)?,
                Entry::File { content, mode } => archive.file(path, content, *mode)?,
                Entry::Link { target } => archive.link(path, target)?,
            }
        }
        archive.finish()
    }

    fn config(&self, layer: &[u8]) -> Value {
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "User": self.user,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        })
    }
}

/// This machine's, by the name that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        let image = Image::new("docker.io/stoq/a:1").file("/etc/deep/motd", "hello", 0o644);
        image.link("/bin/sh", "busybox").entrypoint(&["/bin/sh"])
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let reordered = Image::new("docker.io/stoq/a:1").link("/bin/sh", "busybox");
        let reordered = reordered.file("/etc/deep/motd", "hello", 0o644);
        assert_eq!(image().layer().unwrap(), reordered.layer().unwrap());
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let layer = image().layer().unwrap();
        let mut archive = tar::Archive::new(layer.as_slice());
        let paths = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            entry.path().unwrap().display().to_string()
        });
        let expected = ["bin/", "bin/sh", "etc/", "etc/deep/", "etc/deep/motd"];
        assert_eq!(paths.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_layer_is_named_by_its_hash() {
        let config = image().config(b"");
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(config["rootfs"]["diff_ids"][0], empty);
    }
}
