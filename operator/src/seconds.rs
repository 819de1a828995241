//! Times in objects are written as whole seconds.

use stoq_crds::Timestamp;

/// The time as it is read back once it was written. Agents' times may be finer: a status made of
/// those would differ from the one there is for ever.
pub(crate) fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
