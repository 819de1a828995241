//! What is to be done about the kubelet next. No effects.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

/// A registered plugin that no kubelet follows for so long has been forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3);

/// One file, told from those that were at its path before. Numbers of inodes come again, times do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for File {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What there is in the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The kubelet's socket.
    pub(super) kubelet: Option<File>,
    /// The plugin's.
    pub(super) plugin: Option<File>,
    /// Whether a kubelet follows the devices.
    pub(super) followed: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// The plugin's socket, as long as it is served.
    pub(super) serving: Option<File>,
    /// The kubelet's, where the plugin is registered, and how long ago that or the last follower was.
    pub(super) registered: Option<(File, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the plugin's socket, and serve there.
    Serve,
    /// Tell the kubelet with this socket.
    Register(File),
    /// Wait for something to change.
    Wait,
}

/// A kubelet that starts removes every socket, and makes its own anew.
pub(super) fn step(seen: &Seen, done: &Done) -> Step {
    let Some(kubelet) = seen.kubelet else {
        return Step::Wait;
    };
    if done.serving.is_none() || done.serving != seen.plugin {
        return Step::Serve;
    }
    match done.registered {
        Some((at, since)) if at == kubelet && (seen.followed || since < FORGOTTEN) => Step::Wait,
        _ => Step::Register(kubelet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn file(inode: u64) -> Option<File> {
        Some(File {
            device: 1,
            inode,
            changed: (0, 0),
        })
    }

    #[test]
    fn the_kubelet_is_told_whenever_it_may_not_know() {
        let kubelet = file(1).unwrap();
        let next = file(2).unwrap();
        let registered = |at, since| Some((at, Duration::from_secs(since)));
        for (case, seen, done, expected) in [
            ("no kubelet", (None, None, false), (None, None), Step::Wait),
            (
                "a kubelet",
                (file(1), None, false),
                (None, None),
                Step::Serve,
            ),
            (
                "what an earlier agent has left",
                (file(1), file(9), false),
                (None, None),
                Step::Serve,
            ),
            (
                "served",
                (file(1), file(9), false),
                (file(9), None),
                Step::Register(kubelet),
            ),
            (
                "registered",
                (file(1), file(9), false),
                (file(9), registered(kubelet, 1)),
                Step::Wait,
            ),
            (
                "followed",
                (file(1), file(9), true),
                (file(9), registered(kubelet, 60)),
                Step::Wait,
            ),
            (
                "forgotten",
                (file(1), file(9), false),
                (file(9), registered(kubelet, 3)),
                Step::Register(kubelet),
            ),
            (
                "the kubelet has gone",
                (None, None, false),
                (file(9), registered(kubelet, 1)),
                Step::Wait,
            ),
            (
                "it is back, and has removed the plugin's socket",
                (file(2), None, false),
                (file(9), registered(kubelet, 1)),
                Step::Serve,
            ),
            (
                "it is back, and has not",
                (file(2), file(9), false),
                (file(9), registered(kubelet, 1)),
                Step::Register(next),
            ),
            (
                "somebody has put another socket there",
                (file(1), file(8), true),
                (file(9), registered(kubelet, 60)),
                Step::Serve,
            ),
        ] {
            let (kubelet, plugin, followed) = seen;
            let seen = Seen {
                kubelet,
                plugin,
                followed,
            };
            let (serving, registered) = done;
            let done = Done {
                serving,
                registered,
            };
            assert_eq!(step(&seen, &done), expected, "{case}");
        }
    }
}
