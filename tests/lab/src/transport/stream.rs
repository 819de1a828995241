//! A stream of either library.

use anyhow::Result;
use bytes::Bytes;

/// Chunks taken at a time.
const CHUNKS: usize = 32;

/// The end that sends.
pub(super) enum Sending {
    Quinn(quinn::SendStream),
    #[cfg(feature = "s2n-quic")]
    S2n(s2n_quic::stream::SendStream),
}

/// The end that receives.
pub(super) enum Receiving {
    Quinn(quinn::RecvStream),
    #[cfg(feature = "s2n-quic")]
    S2n(s2n_quic::stream::ReceiveStream),
}

impl Sending {
    /// Sends all of it, without copying where the library can.
    pub(super) async fn send(&mut self, data: Bytes) -> Result<()> {
        match self {
            Self::Quinn(stream) => stream.write_chunk(data).await?,
            #[cfg(feature = "s2n-quic")]
            Self::S2n(stream) => stream.send(data).await?,
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&mut self) -> Result<()> {
        match self {
            Self::Quinn(stream) => stream.finish()?,
            #[cfg(feature = "s2n-quic")]
            Self::S2n(stream) => stream.finish()?,
        }
        Ok(())
    }

    /// Goes before other streams of the connection, where the library knows such a thing.
    pub(super) fn hurry(&self) -> Result<()> {
        match self {
            Self::Quinn(stream) => stream.set_priority(1)?,
            #[cfg(feature = "s2n-quic")]
            Self::S2n(_) => {}
        }
        Ok(())
    }
}

impl Receiving {
    /// Takes what has come, at least something; how many bytes, `None` at the end.
    pub(super) async fn skip(&mut self) -> Result<Option<usize>> {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        match self {
            Self::Quinn(stream) => {
                let count = stream.read_chunks(&mut chunks).await?;
                Ok(count.map(|count| chunks[..count].iter().map(Bytes::len).sum()))
            }
            #[cfg(feature = "s2n-quic")]
            Self::S2n(stream) => {
                let (count, open) = stream.receive_vectored(&mut chunks).await?;
                let bytes = chunks[..count].iter().map(Bytes::len).sum();
                Ok((bytes > 0 || open).then_some(bytes))
            }
        }
    }

    /// Fills `to`; `false` at an end before its first byte.
    pub(super) async fn fill(&mut self, to: &mut [u8]) -> Result<bool> {
        let mut at = 0;
        while at < to.len() {
            let read = match self {
                Self::Quinn(stream) => stream.read(&mut to[at..]).await?.unwrap_or(0),
                #[cfg(feature = "s2n-quic")]
                Self::S2n(stream) => tokio::io::AsyncReadExt::read(stream, &mut to[at..]).await?,
            };
            if read == 0 {
                anyhow::ensure!(at == 0, "the stream ended after {at} bytes");
                return Ok(false);
            }
            at += read;
        }
        Ok(true)
    }

    /// All that comes, to the end.
    pub(super) async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut byte = [0];
        while self.fill(&mut byte).await? {
            all.extend(byte);
        }
        Ok(all)
    }
}
