//! The texts of a directory's YAML files.

use std::{
    collections::BTreeMap,
    fs::{self, DirEntry, File},
    io::{self, ErrorKind, Read},
    path::Path,
};

/// Text of each file, or why it cannot be read, by file name.
pub type Files = BTreeMap<String, Result<String, String>>;

/// Far more than the pods of a node; a larger file would cost the agent its memory.
const MAX_BYTES: u64 = 16 << 20;

/// Reads every `*.yaml` and `*.yml` that is not hidden. Links are followed.
pub(super) fn read_directory(path: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if let Some((name, Some(text))) = is_ours(&entry).map(|name| (name, read_entry(&entry))) {
            files.insert(name, text.map_err(|error| error.to_string()));
        }
    }
    Ok(files)
}

/// Editors keep their temporary files hidden or under another extension.
fn is_ours(entry: &DirEntry) -> Option<String> {
    let name = entry.file_name().to_string_lossy().into_owned();
    let ours = !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"));
    ours.then_some(name)
}

/// `None` for a file that went away since it was listed.
fn read_entry(entry: &DirEntry) -> Option<io::Result<String>> {
    let path = entry.path();
    match read_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            None
        }
        text => Some(text),
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("larger than 16 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_visible_yaml_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "a.yaml",
            "b.yml",
            ".a.yaml.swp",
            ".hidden.yaml",
            "a.yaml~",
            "#a.yaml#",
            "notes.txt",
            "c.yaml.tmp",
        ] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        symlink("a.yaml", directory.path().join("link.yaml")).unwrap();
        let files = read_directory(directory.path()).unwrap();
        let read: Vec<_> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_deref().unwrap()))
            .collect();
        assert_eq!(
            read,
            [
                ("a.yaml", "a.yaml"),
                ("b.yml", "b.yml"),
                ("link.yaml", "a.yaml")
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_says_why_and_stops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name| directory.path().join(name);
        fs::write(at("good.yaml"), "good").unwrap();
        fs::write(at("latin.yaml"), [0xe9]).unwrap();
        fs::create_dir(at("dir.yaml")).unwrap();
        symlink("nowhere", at("dangling.yaml")).unwrap();
        File::create(at("huge.yaml"))
            .unwrap()
            .set_len(MAX_BYTES + 1)
            .unwrap();
        let files = read_directory(directory.path()).unwrap();
        for (name, why) in [
            ("latin.yaml", "UTF-8"),
            ("dir.yaml", "not a regular file"),
            ("dangling.yaml", "No such file"),
            ("huge.yaml", "larger than 16 MiB"),
        ] {
            let reason = files[name].as_ref().unwrap_err();
            assert!(reason.contains(why), "{name}: {reason}");
        }
        assert_eq!(files["good.yaml"].as_deref(), Ok("good"));
    }
}
