//! Shared by BPF programs and user space.
#![no_std]
#![forbid(unsafe_code)]
