//! Tells when something in a directory changes.

use std::path::{Path, PathBuf};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Without inotify, or while the directory is away, it tells nothing.
pub(super) struct Watcher {
    path: PathBuf,
    watcher: Option<RecommendedWatcher>,
    woken: mpsc::Receiver<()>,
}

impl Watcher {
    pub(super) fn new(path: &Path) -> Self {
        let (wakes, woken) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_: notify::Result<notify::Event>| {
            // Full means that a wake-up is waiting already.
            let _ = wakes.try_send(());
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "a kubelet is seen late: no inotify"))
            .ok();
        let path = path.to_owned();
        Self {
            path,
            watcher,
            woken,
        }
    }

    /// Follows the path to whatever directory it leads to by now.
    pub(super) fn arm(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            let _ = watcher.unwatch(&self.path);
            let _ = watcher.watch(&self.path, RecursiveMode::NonRecursive);
        }
    }

    /// Until something changes.
    pub(super) async fn changed(&mut self) {
        if self.woken.recv().await.is_none() {
            std::future::pending().await
        }
    }
}
