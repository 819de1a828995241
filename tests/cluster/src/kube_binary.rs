//! The one binary that is every part of Kubernetes, as scripts/kube.sh builds it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it is, once it has been built.
pub fn path() -> PathBuf {
    target_directory().join("kube/kube")
}

/// One part of it: `etcd`, `apiserver`, `kubectl`...
pub(crate) fn part(name: &str) -> Vec<String> {
    vec![path().display().to_string(), name.to_owned()]
}

/// `kubectl` as the user of a kubeconfig. What it remembers of the API server is kept beside that:
/// another cluster may get the same port.
pub fn kubectl(kubeconfig: &Path) -> Command {
    let mut command = Command::new(path());
    command.arg("kubectl").arg("--kubeconfig").arg(kubeconfig);
    let cache = kubeconfig.with_file_name("kubectl-cache");
    command.arg("--cache-dir").arg(cache);
    command
}

/// Cargo's, of this workspace.
pub(crate) fn target_directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = workspace.canonicalize().unwrap_or(workspace);
    workspace.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
