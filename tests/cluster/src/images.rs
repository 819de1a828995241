//! The images every node has.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use stoq_lab::tool;

use crate::image::Image;
use crate::kube_binary;

/// What holds a pod's namespaces.
pub const PAUSE: &str = "docker.io/stoq/pause:1";
/// busybox, a page for its httpd in /www, and the lab's programs as `lab`.
pub const BOX: &str = "docker.io/stoq/box:1";

const BUSYBOX: &str = "/bin/busybox";

/// Writes both into a directory; their paths.
pub(crate) fn write(directory: &Path) -> Result<Vec<PathBuf>> {
    let paths = vec![directory.join("pause.tar"), directory.join("box.tar")];
    pause()?.write(&paths[0])?;
    test_box(&built("lab")?)?.write(&paths[1])?;
    Ok(paths)
}

fn pause() -> Result<Image> {
    let image = Image::new(PAUSE).program(BUSYBOX, Path::new(BUSYBOX))?;
    Ok(image.entrypoint(&[BUSYBOX, "sleep", "2147483647"]))
}

fn test_box(lab: &Path) -> Result<Image> {
    let mut image = Image::new(BOX).program(BUSYBOX, Path::new(BUSYBOX))?;
    for applet in tool::run(Command::new(BUSYBOX).arg("--list"))?.lines() {
        if applet != "busybox" {
            image = image.link(&format!("/bin/{applet}"), "busybox");
        }
    }
    Ok(image
        .program("/bin/lab", lab)?
        .file("/etc/passwd", "root:x:0:0::/:/bin/sh\n", 0o644)
        .file("/www/index.html", "hello\n", 0o644)
        .directory("/tmp", 0o1777))
}

/// A program as `cargo build --bins` has left it beside the program that runs, or a directory above it.
pub fn built(program: &str) -> Result<PathBuf> {
    let current = std::env::current_exe()?;
    let beside = current
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(program));
    let fallback = kube_binary::target_directory().join("debug").join(program);
    let mut candidates = beside.chain([fallback]);
    let found = candidates.find(|path| path.is_file());
    found.with_context(|| format!("no program {program}: cargo build --bins builds it"))
}
