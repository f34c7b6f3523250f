//! One read of the feed for all who stand at the same place at the same moment.
//!
//! Clients at the head share their cursor, so a new block costs one query and not one per client.
//! Those who catch up read for themselves. Keeps one page and follows no one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::store::read::{Queries, QueryError};
use crate::types::feed::{FeedCursor, FeedItem};

/// Items of one read of the feed: about 150 kB as text.
const FEED_PAGE: usize = 256;
/// How long a page is passed on without asking again, should the news of an entry be lost.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// A stretch of the feed.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) items: Vec<(FeedCursor, FeedItem)>,
    /// Where to read on: behind the last item, and behind everything when there was none.
    pub(super) next: FeedCursor,
}

/// The newest page.
#[derive(Debug)]
pub(super) struct Tail {
    queries: Arc<dyn Queries>,
    shared: Mutex<Option<Shared>>,
}

#[derive(Debug, Clone)]
struct Shared {
    cursor: FeedCursor,
    /// The newest entry known when the page was asked for.
    published: u64,
    since: Instant,
    page: Arc<OnceCell<Arc<Stretch>>>,
}

impl Tail {
    pub(super) fn new(queries: Arc<dyn Queries>) -> Self {
        Self { queries, shared: Mutex::default() }
    }

    /// What lies behind `cursor` now that entry `published` is there.
    pub(super) async fn read(
        &self,
        cursor: FeedCursor,
        published: u64,
    ) -> Result<Arc<Stretch>, QueryError> {
        match self.place(cursor, published) {
            Some(page) => page.get_or_try_init(|| self.fetch(cursor)).await.cloned(),
            None => self.fetch(cursor).await,
        }
    }

    /// The page to share; `None` for a reader behind the one that is shared.
    fn place(&self, cursor: FeedCursor, published: u64) -> Option<Arc<OnceCell<Arc<Stretch>>>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.as_ref() {
            let fresh = known.published >= published && known.since.elapsed() < SHARED_FOR;
            if fresh && known.cursor == cursor {
                return Some(Arc::clone(&known.page));
            }
            if fresh && known.cursor > cursor {
                return None;
            }
        }
        let page = Arc::default();
        let since = Instant::now();
        *shared = Some(Shared { cursor, published, since, page: Arc::clone(&page) });
        Some(page)
    }

    async fn fetch(&self, cursor: FeedCursor) -> Result<Arc<Stretch>, QueryError> {
        let head = self.queries.feed_head().await?;
        let items = self.queries.feed(cursor, FEED_PAGE).await?;
        let next = match items.last() {
            Some((last, _)) => *last,
            None => self.behind(cursor, head).await?,
        };
        Ok(Arc::new(Stretch { items, next }))
    }

    /// Behind entry `head`, when nothing lies between it and the cursor, so that quiet blocks are
    /// not read again at each step. Not when the feed moved during the read: it may then have left
    /// out an event together with its retraction, and a cursor between the two would show the
    /// second without the first.
    async fn behind(&self, cursor: FeedCursor, head: u64) -> Result<FeedCursor, QueryError> {
        let unmoved = self.queries.feed_head().await? == head;
        let behind = FeedCursor { seq: head.saturating_add(1), within: None };
        Ok(if unmoved { cursor.max(behind) } else { cursor })
    }
}
