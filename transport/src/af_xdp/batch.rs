//! Datagrams into the buffers of one call to receive: those that belong together share one.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};

use quinn::udp::RecvMeta;

use super::frame::Datagram;

/// Buffers that are being filled, from the first on.
pub(super) struct Batch<'a, 'b> {
    buffers: &'a mut [IoSliceMut<'b>],
    metas: &'a mut [RecvMeta],
    used: usize,
    /// The endpoint's own address, where a frame may still carry a front end's, from which nobody here could answer.
    local: Option<IpAddr>,
    /// Whether IPv4 sources are shown as IPv6, as a socket for both families does.
    mapped: bool,
}

impl<'a, 'b> Batch<'a, 'b> {
    pub(super) fn new(
        buffers: &'a mut [IoSliceMut<'b>],
        metas: &'a mut [RecvMeta],
        local: Option<IpAddr>,
        mapped: bool,
    ) -> Self {
        Self {
            buffers,
            metas,
            used: 0,
            local,
            mapped,
        }
    }

    /// Buffers with something in them.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Buffers with nothing in them. Any datagram finds a place while there is one.
    pub(super) fn left(&self) -> usize {
        self.buffers.len().min(self.metas.len()) - self.used
    }

    /// Adds a datagram, which `copy` puts in its place. `false`: it is longer than a buffer, or
    /// could not be copied.
    pub(super) fn push(
        &mut self,
        datagram: &Datagram,
        copy: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        let addr = self.shown(datagram.source);
        if let Some(place) = self.behind_the_last(addr, datagram) {
            let copied = copy(place);
            if copied && let Some(meta) = self.last() {
                meta.len += datagram.len;
            }
            return copied;
        }
        self.in_a_new_one(addr, datagram, copy)
    }

    fn shown(&self, source: SocketAddr) -> SocketAddr {
        match source.ip() {
            IpAddr::V4(v4) if self.mapped => {
                SocketAddr::new(v4.to_ipv6_mapped().into(), source.port())
            }
            _ => source,
        }
    }

    fn last(&mut self) -> Option<&mut RecvMeta> {
        self.metas.get_mut(self.used.checked_sub(1)?)
    }

    /// Room in the buffer in use, if the datagram goes on where the last one ended.
    fn behind_the_last(&mut self, addr: SocketAddr, datagram: &Datagram) -> Option<&mut [u8]> {
        let last = *self.last()?;
        let same = last.addr == addr && last.ecn == datagram.ecn;
        // Only the last in a buffer may be shorter than the others.
        let open = last.len.is_multiple_of(last.stride) && datagram.len <= last.stride;
        let buffer = self.buffers.get_mut(self.used - 1)?;
        let place = buffer.get_mut(last.len..last.len + datagram.len);
        place.filter(|_| same && open)
    }

    fn in_a_new_one(
        &mut self,
        addr: SocketAddr,
        datagram: &Datagram,
        copy: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        let (Some(buffer), Some(meta)) = (
            self.buffers.get_mut(self.used),
            self.metas.get_mut(self.used),
        ) else {
            return false;
        };
        let copied = buffer.get_mut(..datagram.len).is_some_and(copy);
        if copied {
            *meta = RecvMeta {
                addr,
                len: datagram.len,
                stride: datagram.len,
                ecn: datagram.ecn,
                dst_ip: self.local.or(Some(datagram.destination)),
            };
            self.used += 1;
        }
        copied
    }
}

#[cfg(test)]
mod tests;
