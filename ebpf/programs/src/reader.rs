//! [`Bytes`] over the kernel's two packet contexts.

use core::arch::asm;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len};
use aya_ebpf::programs::{TcContext, XdpContext};
use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::parse::{self, Parsed};
use stoq_ebpf_abi::quic::{census, long_header, step};

use crate::account::hide;
use crate::stage;
use crate::work::Work;

/// Farthest offset that is read. The verifier wants a bound below 65,535 for
/// an offset added to a packet pointer.
const FARTHEST: usize = 0x7fff;

/// The part of a frame that is at hand.
#[derive(Clone, Copy)]
struct Linear {
    data: usize,
    end: usize,
}

impl Linear {
    /// A pointer to a `T` at `at`, if all of it is there.
    #[inline(always)]
    fn at<T>(&self, at: usize) -> Option<*const T> {
        if at > FARTHEST {
            return None;
        }
        let start = self.data + at;
        if past::<T>(start) > self.end {
            return None;
        }
        Some(start as *const T)
    }

    #[inline(always)]
    fn read<T: Copy>(&self, at: usize) -> Option<T> {
        // SAFETY: within the frame, as the verifier checks again. Possibly unaligned: the BPF
        // target makes one load of it, and the verifier refuses to load the program on a
        // machine where that is not allowed.
        self.at::<T>(at).map(|pointer| unsafe { *pointer })
    }
}

/// The address behind a `T` at `start`. In assembly, because LLVM makes
/// `start + 1 > end` into `start >= end`, from which the verifier learns nothing
/// (`find_good_pkt_pointers`, kernel/bpf/verifier.c, v6.18).
#[inline(always)]
fn past<T>(start: usize) -> usize {
    let mut past = start;
    // SAFETY: adds a constant to a register and does nothing else.
    unsafe {
        asm!("{0} += {1}", inout(reg) past, const size_of::<T>(), options(pure, nomem, nostack));
    }
    past
}

/// `end - start`, likewise kept as it is: LLVM would subtract further terms
/// from `end` first, which the verifier forbids.
#[inline(always)]
fn distance(start: usize, end: usize) -> usize {
    let mut distance = end;
    // SAFETY: subtracts two registers and does nothing else.
    unsafe {
        asm!("{0} -= {1}", inout(reg) distance, in(reg) start, options(pure, nomem, nostack));
    }
    distance
}

/// A frame at the XDP hook.
pub(crate) struct Xdp {
    linear: Linear,
    ctx: *mut xdp_md,
}

impl Xdp {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self::from_raw(ctx.ctx)
    }

    #[inline(always)]
    fn from_raw(ctx: *mut xdp_md) -> Self {
        // SAFETY: the context the kernel handed to the program.
        let (data, end) = unsafe { ((*ctx).data as usize, (*ctx).data_end as usize) };
        Self {
            linear: Linear { data, end },
            ctx,
        }
    }
}

impl Bytes for Xdp {
    #[inline(always)]
    fn quic_step(&self, at: usize, end: usize) -> u64 {
        stoq_xdp_step(self.ctx, at as u64, end as u64)
    }

    #[inline(always)]
    fn len(&self) -> usize {
        distance(self.linear.data, self.linear.end)
    }

    #[inline(always)]
    fn u8(&self, at: usize) -> Option<u8> {
        self.linear.read(at)
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.linear.read(at).map(u16::from_be)
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u32> {
        self.linear.read(at)
    }
}

/// A frame at the XDP hook that may be in several parts: headers are read from the first, which a
/// driver fills as far as it goes; its end is not the frame's.
pub(crate) struct Parts {
    first: Xdp,
    len: usize,
}

impl Parts {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self {
            first: Xdp::new(ctx),
            // SAFETY: the context the kernel handed to the program.
            len: unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as usize,
        }
    }
}

impl Bytes for Parts {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn u8(&self, at: usize) -> Option<u8> {
        self.first.u8(at)
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.first.u16(at)
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u32> {
        self.first.word(at)
    }
}

/// Only the first stage asks for the length: no socket gets what is in a tunnel.
impl Frame for Parts {
    const STEERS: bool = Xdp::STEERS;
    const ADMITS: bool = Xdp::ADMITS;

    #[inline(always)]
    fn outer(&self, work: &mut Work) -> Parsed {
        parse::frame(self, 0, &mut work.datagram)
    }

    #[inline(always)]
    fn parse(&self, at: u64, ether: bool) -> u64 {
        self.first.parse(at, ether)
    }

    #[inline(always)]
    fn observe(&self, refused: bool) -> u64 {
        self.first.observe(refused)
    }

    #[inline(always)]
    fn census(&self, at: usize, len: usize, segment: usize) -> u64 {
        self.first.census(at, len, segment)
    }
}

/// A frame at a TC hook.
pub(crate) struct Skb {
    linear: Linear,
    skb: *mut __sk_buff,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self::from_raw(ctx.as_ptr().cast())
    }

    #[inline(always)]
    fn from_raw(skb: *mut __sk_buff) -> Self {
        // SAFETY: the context the kernel handed to the program.
        let (data, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
        Self {
            linear: Linear { data, end },
            skb,
        }
    }

    /// A read that may lie in the frame's fragments.
    #[inline(always)]
    fn read<T: Copy + Default>(&self, at: usize) -> Option<T> {
        // Hidden, or LLVM compares the offset as a signed number, from which the verifier learns
        // nothing.
        match self.linear.at::<T>(hide(at)) {
            // SAFETY: as in [`Linear::read`].
            Some(pointer) => Some(unsafe { *pointer }),
            None => load(self.skb, at),
        }
    }
}

/// A read by the kernel's helper, wherever in the frame the bytes are.
#[inline(always)]
fn load<T: Copy + Default>(skb: *mut __sk_buff, at: usize) -> Option<T> {
    let mut value = T::default();
    let to: *mut T = &mut value;
    // SAFETY: the context the kernel handed to the program, and room for size_of::<T>() bytes.
    let result =
        unsafe { bpf_skb_load_bytes(skb.cast(), at as u32, to.cast(), size_of::<T>() as u32) };
    (result == 0).then_some(value)
}

/// A frame at a TC hook, read by the helper alone: slower, but without packet
/// pointers, so that the verifier can follow a loop over it.
struct Copied(*mut __sk_buff);

impl Bytes for Copied {
    #[inline(always)]
    fn long_header(&self, at: usize, end: usize) -> u64 {
        stoq_skb_header(self.0, at as u64, end as u64)
    }

    #[inline(always)]
    fn quic_step(&self, at: usize, end: usize) -> u64 {
        stoq_skb_step(self.0, at as u64, end as u64)
    }

    #[inline(always)]
    fn len(&self) -> usize {
        // SAFETY: the context the kernel handed to the program.
        unsafe { (*self.0).len as usize }
    }

    #[inline(always)]
    fn u8(&self, at: usize) -> Option<u8> {
        load(self.0, at)
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        load(self.0, at).map(u16::from_be)
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u32> {
        load(self.0, at)
    }
}

impl Bytes for Skb {
    #[inline(always)]
    fn long_header(&self, at: usize, end: usize) -> u64 {
        stoq_skb_header(self.skb, at as u64, end as u64)
    }

    #[inline(always)]
    fn len(&self) -> usize {
        // SAFETY: the context the kernel handed to the program.
        unsafe { (*self.skb).len as usize }
    }

    #[inline(always)]
    fn u8(&self, at: usize) -> Option<u8> {
        self.read(at)
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.read(at).map(u16::from_be)
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u32> {
        self.read(at)
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        // SAFETY: the context the kernel handed to the program.
        unsafe { (*self.skb).gso_segs }
    }

    #[inline(always)]
    fn segment_size(&self) -> u32 {
        // SAFETY: the context the kernel handed to the program.
        unsafe { (*self.skb).gso_size }
    }
}

/// A frame, and the stages of a packet's way as functions of their own. Each
/// has external linkage: the verifier checks it once, for any arguments, and
/// need not follow every way through it for every way to it (global functions,
/// Linux 5.6). What one stage finds out the next one reads in [`crate::work`].
pub(crate) trait Frame: Bytes {
    /// Whether it can be sent another way from here.
    const STEERS: bool;
    /// Whether the kernel's path has brought it here.
    const ADMITS: bool;
    /// Parses the frame from its beginning, into the work item.
    fn outer(&self, work: &mut Work) -> Parsed;
    /// [`stage::parse`].
    fn parse(&self, at: u64, ether: bool) -> u64;
    /// [`stage::observe`].
    fn observe(&self, refused: bool) -> u64;
    /// [`stoq_ebpf_abi::quic::census`].
    fn census(&self, at: usize, len: usize, segment: usize) -> u64;
}

macro_rules! stages {
    ($frame:ty, $xdp:literal, $ctx:ty, $field:ident, $reader:expr, $copied:expr, $outer:expr,
     $parse:ident, $observe:ident, $census:ident, $step:ident, $header:ident) => {
        impl Frame for $frame {
            const STEERS: bool = $xdp;
            const ADMITS: bool = !$xdp;

            #[inline(always)]
            fn outer(&self, work: &mut Work) -> Parsed {
                $outer(self, work)
            }

            #[inline(always)]
            fn parse(&self, at: u64, ether: bool) -> u64 {
                $parse(self.$field, at, ether as u64)
            }

            #[inline(always)]
            fn observe(&self, refused: bool) -> u64 {
                $observe(self.$field, refused as u64)
            }

            #[inline(always)]
            fn census(&self, at: usize, len: usize, segment: usize) -> u64 {
                $census(self.$field, at as u64, len as u64, segment as u64)
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $parse(ctx: $ctx, at: u64, ether: u64) -> u64 {
            stage::parse(&$reader(ctx), at as usize, ether != 0)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $observe(ctx: $ctx, refused: u64) -> u64 {
            stage::observe(&$reader(ctx), refused != 0)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $census(ctx: $ctx, at: u64, len: u64, segment: u64) -> u64 {
            census(&$copied(ctx), at as usize, len as usize, segment as usize).to_bits()
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $step(ctx: $ctx, at: u64, end: u64) -> u64 {
            step(&$copied(ctx), at as usize, end as usize)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $header(ctx: $ctx, at: u64, end: u64) -> u64 {
            long_header(&$copied(ctx), at as usize, end as usize).to_bits()
        }
    };
}

stages!(
    Xdp,
    true,
    *mut xdp_md,
    ctx,
    Xdp::from_raw,
    Xdp::from_raw,
    // Inlined, which saves 10 ns a packet.
    |frame: &Xdp, work: &mut Work| parse::frame(frame, 0, &mut work.datagram),
    stoq_xdp_parse,
    stoq_xdp_observe,
    stoq_xdp_census,
    stoq_xdp_step,
    stoq_xdp_header
);
stages!(
    Skb,
    false,
    *mut __sk_buff,
    skb,
    Skb::from_raw,
    Copied,
    // With its two ways to read, inlining would double what the verifier has to follow.
    |frame: &Skb, _: &mut Work| Parsed::from_bits(frame.parse(0, true)),
    stoq_skb_parse,
    stoq_skb_observe,
    stoq_skb_census,
    stoq_skb_step,
    stoq_skb_header
);
