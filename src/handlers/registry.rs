//! Every plugin of this build, in the order in which each event meets them.
//!
//! Which of them run is not decided here.

use crate::pipeline::handler::Handler;

/// One line per plugin.
pub fn all() -> Vec<Box<dyn Handler>> {
    vec![Box::new(super::holdings::Holdings)]
}
