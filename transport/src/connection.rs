//! A connection whose numbers are kept.

use std::ops::Deref;
use std::sync::Arc;

use crate::metrics::Tracked;

/// A QUIC connection; everything that quinn's can do, it can. Cloned handles share it, and once the
/// last handle and the last stream are gone it closes.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Tracked>);

impl Connection {
    pub(crate) fn new(tracked: Arc<Tracked>) -> Self {
        Self(tracked)
    }
}

impl Deref for Connection {
    type Target = quinn::Connection;

    fn deref(&self) -> &quinn::Connection {
        self.0.connection()
    }
}
