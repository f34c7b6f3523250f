//! Why a simulation does not start or refuses an order.

/// A simulation's own failures; what simulated providers answer is never one of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// Every fault of the settings, each with its field.
    #[error("the simulation cannot start: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// A port could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    /// An order that the chain cannot follow.
    #[error("refused: {0}")]
    Refused(String),
    /// The runtime ended under the simulation.
    #[error("the simulation was stopped")]
    Stopped,
}
