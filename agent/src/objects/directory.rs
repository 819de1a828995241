//! Keeps the [`Objects`] of a directory current.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Fault, Files, Objects, Problem, files::read_directory, merge};

/// A burst of events is answered by one read, this long after the first of them.
const SETTLE: Duration = Duration::from_millis(50);
/// What no event tells (a link's target changed, the directory came back) is seen this late at most.
const REREAD: Duration = Duration::from_secs(5);

/// Why a directory cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct DirectoryError {
    /// The directory.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

/// A directory, watched until dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    objects: watch::Receiver<Arc<Objects>>,
    _reader: JoinSet<()>,
}

impl Directory {
    /// Reads the directory and keeps watching, in a task of the current runtime. A directory that
    /// cannot be read now is an error; one that cannot be read later is a [`Problem`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        let path = path.into();
        let (wakes, woken) = mpsc::channel(1);
        // Armed before the first read, so that nothing falls between.
        let mut watcher = watcher(wakes);
        arm(&mut watcher, &path);
        let files = read_directory(&path).map_err(|source| DirectoryError {
            path: path.clone(),
            source,
        })?;
        let first = merge(&Objects::default(), &files);
        let (published, objects) = watch::channel(Arc::new(first));
        let reader = Reader {
            path: path.clone(),
            watcher,
            woken,
            files: Ok(files),
            published,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(reader.run());
        Ok(Self {
            path,
            objects,
            _reader: tasks,
        })
    }

    /// The latest objects; from here on [`Directory::changed`] waits for newer ones.
    pub fn objects(&mut self) -> Arc<Objects> {
        self.objects.borrow_and_update().clone()
    }

    /// Waits until there are newer objects or problems than [`Directory::objects`] last gave. An
    /// error means that the reader is gone for good.
    pub async fn changed(&mut self) -> Result<(), DirectoryError> {
        self.objects.changed().await.map_err(|_| DirectoryError {
            path: self.path.clone(),
            source: io::Error::other("no longer watched"),
        })
    }
}

struct Reader {
    path: PathBuf,
    watcher: Option<RecommendedWatcher>,
    woken: mpsc::Receiver<()>,
    /// What was read last: the same again needs no parsing.
    files: Result<Files, String>,
    published: watch::Sender<Arc<Objects>>,
}

impl Reader {
    async fn run(mut self) {
        let mut due = Instant::now() + REREAD;
        loop {
            tokio::select! {
                Some(()) = self.woken.recv() => due = due.min(Instant::now() + SETTLE),
                () = sleep_until(due) => {
                    arm(&mut self.watcher, &self.path);
                    self.read().await;
                    due = Instant::now() + REREAD;
                }
            }
        }
    }

    async fn read(&mut self) {
        let path = self.path.clone();
        let files = tokio::task::spawn_blocking(move || read_directory(&path)).await;
        let files = files.map_err(io::Error::other).and_then(|files| files);
        let files = files.map_err(|error| error.to_string());
        if files == self.files {
            return;
        }
        self.files = files;
        let previous = self.published.borrow().clone();
        let fresh = self.objects(&previous);
        if fresh != *previous {
            self.published.send_replace(Arc::new(fresh));
        }
    }

    fn objects(&self, previous: &Objects) -> Objects {
        match &self.files {
            Ok(files) => merge(previous, files),
            Err(reason) => all_kept(previous, &self.path, reason),
        }
    }
}

/// Everything stays in force.
fn all_kept(previous: &Objects, path: &Path, reason: &str) -> Objects {
    let problem = Problem {
        file: path.display().to_string(),
        fault: Fault::Unreadable(reason.to_owned()),
        in_force: previous.sources.keys().cloned().collect(),
    };
    Objects {
        problems: vec![problem],
        ..previous.clone()
    }
}

/// Without one (the user's inotify instances are used up) the directory is still read every
/// [`REREAD`].
fn watcher(wakes: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_complete(&event.kind)) {
            // Full means that a wake-up is waiting already.
            let _ = wakes.try_send(());
        }
    });
    watcher
        .inspect_err(|error| tracing::warn!(%error, "changes are seen late: no inotify"))
        .ok()
}

/// Follows the path to whatever directory it leads to by now.
fn arm(watcher: &mut Option<RecommendedWatcher>, path: &Path) {
    if let Some(watcher) = watcher {
        let _ = watcher.unwatch(path);
        // A directory that is away is watched again when it is back.
        let _ = watcher.watch(path, RecursiveMode::NonRecursive);
    }
}

/// Whether the event ends a change. A file made or written into is complete when it is closed;
/// reading makes events too.
fn is_complete(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => *kind == AccessKind::Close(AccessMode::Write),
        EventKind::Create(kind) => *kind != CreateKind::File,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Data(_)),
        _ => true,
    }
}
