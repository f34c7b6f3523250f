//! The relay of this process: reads the store's feed, fills the bus, as long as it holds the lease.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::build::Parts;
use super::lease::Seat;
use crate::bus::relay::{Relay, Source};
use crate::pipeline::bus::Bus;
use crate::pipeline::error::StoreError;
use crate::store::read::{Queries, QueryError};
use crate::types::feed::{FeedCursor, FeedItem};

/// The store's feed behind the relay's port.
#[derive(Debug)]
struct Feed(Arc<dyn Queries>);

#[async_trait]
impl Source for Feed {
    async fn page(
        &self,
        cursor: FeedCursor,
        limit: usize,
    ) -> Result<Vec<(FeedCursor, FeedItem)>, StoreError> {
        self.0.feed(cursor, limit).await.map_err(|error| match error {
            QueryError::Store(error) => error,
            other => StoreError::Corrupt(other.to_string()),
        })
    }
}

/// Works until stopped. One process at a time relays; a second one would be refused message by message.
pub(super) async fn run(
    parts: Arc<Parts>,
    bus: Arc<dyn Bus>,
    stop: CancellationToken,
) -> Result<()> {
    let seat = Seat::new(&parts.shared.leases, "relay".to_owned(), &parts.node);
    loop {
        let held = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            held = seat.take() => held,
        };
        let queries = Arc::clone(&parts.store) as Arc<dyn Queries>;
        let relay = Relay::new(Arc::new(Feed(queries)), Arc::clone(&bus));
        tokio::select! {
            () = stop.cancelled() => {}
            () = held.lost().cancelled() => {}
            () = relay.run(parts.bus.subscribe()) => {}
        }
        held.release().await;
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}
