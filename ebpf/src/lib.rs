//! User side of the BPF programs.
