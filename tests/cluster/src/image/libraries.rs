//! The shared libraries a program needs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Their paths on this machine, the loader's among them; none for a static program.
pub(super) fn of(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    let is_static =
        said.contains("statically linked") || words.contains("not a dynamic executable");
    if is_static {
        return Ok(Vec::new());
    }
    if !output.status.success() || said.contains("not found") {
        bail!("ldd {}: {said}{words}", program.display());
    }
    Ok(said.lines().filter_map(path).map(str::to_owned).collect())
}

/// `name => /path (address)` or `/path (address)`; the kernel's own has no path.
fn path(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_where_the_line_says() {
        let cases = [
            ("\tlinux-vdso.so.1 (0x00007f18f488c000)", None),
            (
                "\tlibc.so.6 => /lib/libc.so.6 (0x00007f)",
                Some("/lib/libc.so.6"),
            ),
            (
                "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)",
                Some("/lib64/ld-linux-x86-64.so.2"),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(path(line), expected, "{line}");
        }
    }

    #[test]
    fn this_test_needs_a_loader() {
        let libraries = of(&std::env::current_exe().unwrap()).unwrap();
        assert!(
            libraries.iter().any(|path| path.contains("ld-linux")),
            "{libraries:?}"
        );
    }
}
