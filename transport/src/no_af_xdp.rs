//! What stands for `af_xdp` in a build without the feature `ebpf`: nothing comes that way.

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::RecvMeta;

use crate::metrics::AfXdpCounts;
use crate::{Backend, Error, TransportConfig};

#[derive(Clone, Debug)]
pub(crate) struct Sockets;

#[derive(Debug)]
pub(crate) struct Asking;

impl Asking {
    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    pub(crate) async fn switch(&self, _: bool) {}
}

impl Sockets {
    pub(crate) fn ask(_: &TransportConfig, _: SocketAddr) -> Result<(Self, Arc<Asking>), Error> {
        Ok((Self, Arc::new(Asking)))
    }

    pub(crate) fn receive(&self, _: &mut [IoSliceMut<'_>], _: &mut [RecvMeta]) -> usize {
        0
    }

    pub(crate) fn poll_receive(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<usize> {
        Poll::Pending
    }

    pub(crate) fn backend(&self) -> Backend {
        let reason = "built without the feature ebpf".to_owned();
        Backend::Udp { reason }
    }

    pub(crate) fn counts(&self) -> AfXdpCounts {
        AfXdpCounts::default()
    }
}
