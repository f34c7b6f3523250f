//! Typed events.

/// placeholder replaced by the decode room
#[derive(Debug)]
pub enum RwaEvent<'a> {
    /// placeholder
    Other(&'a ()),
}
