//! What a stream is for, by its first byte.

/// Counted by the server.
pub(super) const BULK: u8 = b'B';
/// Sent back, message by message.
pub(super) const ECHO: u8 = b'E';
/// Asks what the server took since the last time.
pub(super) const MARK: u8 = b'M';

/// Bytes of a request, and of its answer.
pub(super) const MESSAGE: usize = 64;
/// Bytes that are sent at a time in bulk.
pub(super) const CHUNK: usize = 64 << 10;
