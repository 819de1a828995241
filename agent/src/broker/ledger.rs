//! What pods were granted, for the next agent: a pod that comes back to its session is not believed about
//! how large that is, and not every kernel tells.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use stoq_ebpf::broker::{Granted, Message, decode, encode};

/// Its directory in the run directory.
pub const SESSIONS: &str = "sessions";

/// A file for each session, named as its endpoint, with what was said to the pod.
#[derive(Debug)]
pub(super) struct Ledger(PathBuf);

impl Ledger {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self(run_dir.join(SESSIONS))
    }

    /// Notes a session. Without the note its pod asks anew after a restart of the agent.
    pub(super) fn note(&self, endpoint: SocketAddr, granted: Granted) {
        let write = || {
            fs::create_dir_all(&self.0)?;
            fs::write(self.file(endpoint), encode(&Message::Granted(granted)))
        };
        if let Err(error) = write() {
            tracing::warn!(%endpoint, "note its session: {error}");
        }
    }

    /// Strikes a session that is over.
    pub(super) fn strike(&self, endpoint: SocketAddr) {
        // One that stays names a session that no pod can come back to.
        let _ = fs::remove_file(self.file(endpoint));
    }

    /// What an earlier agent has granted for these endpoints; all else is struck.
    pub(super) fn take_over(&self, endpoints: &[SocketAddr]) -> Vec<(SocketAddr, Granted)> {
        let files = endpoints.iter().map(|endpoint| self.file(*endpoint));
        let files: Vec<_> = files.collect();
        for file in self.all().filter(|file| !files.contains(file)) {
            let _ = fs::remove_file(file);
        }
        let read = |file: &PathBuf| match decode(&fs::read(file).ok()?) {
            Ok(Message::Granted(granted)) => Some(granted),
            // Half a note is none.
            _ => None,
        };
        let both = endpoints.iter().zip(&files);
        both.filter_map(|(endpoint, file)| Some((*endpoint, read(file)?)))
            .collect()
    }

    fn file(&self, endpoint: SocketAddr) -> PathBuf {
        self.0.join(endpoint.to_string())
    }

    fn all(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path()))
    }
}

/// Removes all notes. Returns their directory, if there were any.
pub fn remove_notes(run_dir: &Path) -> io::Result<Option<PathBuf>> {
    let directory = run_dir.join(SESSIONS);
    match fs::remove_dir_all(&directory) {
        Ok(()) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use stoq_ebpf::af_xdp::{Geometry, Rings};

    use super::*;

    fn granted(session: u64) -> Granted {
        Granted {
            session,
            geometry: Geometry::new(128, 4096).unwrap(),
            rings: Rings {
                fill: 128,
                receive: 128,
            },
        }
    }

    #[test]
    fn the_next_agent_knows_what_was_granted_and_is_not_over() {
        let run_dir = tempfile::tempdir().unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (v4, v6, over) = (at("10.0.0.1:1"), at("[fd00::1]:1"), at("10.0.0.1:2"));
        let ledger = Ledger::new(run_dir.path());
        assert_eq!(ledger.take_over(&[v4]), []);
        for (endpoint, session) in [(v4, 1), (v6, 2), (over, 3), (v4, 4)] {
            ledger.note(endpoint, granted(session));
        }
        ledger.strike(over);
        let next = Ledger::new(run_dir.path());
        let known = [(v4, granted(4)), (v6, granted(2))];
        assert_eq!(next.take_over(&[v4, v6, over]), known);
        let file = next.file(v4);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(next.take_over(&[v4]), [], "half a note");
        assert_eq!(next.take_over(&[v6]), [], "nobody had asked for it");
        assert!(remove_notes(run_dir.path()).unwrap().is_some());
        assert!(remove_notes(run_dir.path()).unwrap().is_none());
    }
}
