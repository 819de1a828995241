//! A hostile peer at the rings of an AF_XDP socket: any bytes in rings and frames between calls to
//! receive. Nothing panics or is read outside, no frame is in two places, and the honest peer's
//! packets come through in the end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| stoq_ebpf::af_xdp::hostile(script));
