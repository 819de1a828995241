//! BPF programs of the laboratory.
#![no_std]
#![no_main]

mod baseline;
mod flood;
mod layout;
mod vary;

/// What the kernel is told of the licence: some helpers ask for GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
