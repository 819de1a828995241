//! The server's side of a connection: eight bytes ask for a size, a body may follow, and when it
//! is there that many bytes come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use quinn::{Connection, Incoming, RecvStream, SendStream};
use tokio::task::JoinSet;

use super::observe::Observed;

const CHUNK: usize = 64 << 10;
static ZEROES: [u8; CHUNK] = [0; CHUNK];

/// What the server counts itself.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) observed: Arc<Observed>,
    pub(super) accepted: AtomicU64,
    pub(super) established: AtomicU64,
    pub(super) answered: AtomicU64,
}

impl Served {
    /// Takes one connection from its first packet to its end.
    pub(super) async fn connection(self: Arc<Self>, incoming: Incoming) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let Ok(connection) = incoming.await else {
            return;
        };
        self.established.fetch_add(1, Ordering::Relaxed);
        let following = self.observed.clone().follow(connection.clone());
        tokio::join!(following, self.answer(&connection));
    }

    async fn answer(&self, connection: &Connection) {
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                stream = connection.accept_bi() => match stream {
                    Ok((send, receive)) => drop(streams.spawn(respond(send, receive))),
                    Err(_) => return,
                },
                Some(Ok(Ok(()))) = streams.join_next() => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

async fn respond(mut send: SendStream, mut receive: RecvStream) -> Result<()> {
    let mut wanted = [0; 8];
    receive.read_exact(&mut wanted).await?;
    while receive.read_chunk(usize::MAX, true).await?.is_some() {}
    let mut left = u64::from_be_bytes(wanted);
    while left > 0 {
        let now = left.min(CHUNK as u64);
        send.write_all(&ZEROES[..now as usize]).await?;
        left -= now;
    }
    send.finish()?;
    Ok(())
}
