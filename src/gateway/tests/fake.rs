//! A store in memory with a small, fixed world, and helpers to ask the router.
//!
//! Answers the way a real store must (filters, order, cursors tied to positions); keeps no history
//! of balances.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::config;
use crate::gateway::live::{ChainHead, ChainLive, Component, ComponentState};
use crate::gateway::{Parts, build};
use crate::pipeline::error::StoreError;
use crate::store::read::{
    ChainIndex, ContractFilter, EventQuery, HolderRecord, HoldersPage, Order, Page, Queries,
    QueryError, TokenRecord,
};
use crate::types::asset::{Holding, Identity, Token, TokenMetadata, TokenStandard};
use crate::types::chain::{BlockId, ChainId, Finality};
use crate::types::event::{Arg, EventRecord, Position};
use crate::types::feed::{FeedCursor, FeedItem};

pub(super) const TOKEN: Address = Address::repeat_byte(0xaa);
pub(super) const ALICE: Address = Address::repeat_byte(0x11);
pub(super) const BOB: Address = Address::repeat_byte(0x22);

pub(super) fn event(block: u64, log_index: u32, from: Address, to: Address) -> EventRecord {
    let arg = |name: &str, value: String| Arg { name: name.into(), value };
    EventRecord {
        chain: ChainId(1),
        block_number: block,
        block_hash: B256::left_padding_from(&block.to_be_bytes()),
        timestamp: 1_700_000_000 + block * 12,
        tx_hash: B256::repeat_byte(u8::try_from(block % 256).unwrap()),
        log_index,
        address: TOKEN,
        contract: "bond".into(),
        event: Some("Transfer".into()),
        args: vec![
            arg("from", from.to_checksum(None)),
            arg("to", to.to_checksum(None)),
            arg("value", "115792089237316195423570985008687907853269984665640564039457".into()),
        ],
        status: if block <= 110 { Finality::Finalized } else { Finality::Observed },
    }
}

/// The world: chain 1 with events in blocks 100 to 119, a token, two holders.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) events: Mutex<Vec<EventRecord>>,
    pub(super) feed: Mutex<Vec<(FeedCursor, FeedItem)>>,
    pub(super) newest: watch::Sender<u64>,
    pub(super) broken: AtomicBool,
    pub(super) slow: AtomicBool,
    pub(super) feed_reads: AtomicUsize,
    pub(super) components: Mutex<Vec<Component>>,
    pub(super) heads: Mutex<Vec<ChainHead>>,
}

impl Default for Fake {
    fn default() -> Self {
        let events = (100..120)
            .flat_map(|block| [event(block, 0, ALICE, BOB), event(block, 3, Address::ZERO, ALICE)]);
        Self {
            events: Mutex::new(events.collect()),
            feed: Mutex::default(),
            newest: watch::Sender::new(0),
            broken: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            feed_reads: AtomicUsize::new(0),
            components: Mutex::new(vec![Component {
                name: "provider local".into(),
                state: ComponentState::Ok,
                detail: "answers in 2 ms".into(),
            }]),
            heads: Mutex::new(vec![ChainHead {
                chain: ChainId(1),
                number: 122,
                hash: B256::repeat_byte(0x7a),
                seen_at: Duration::from_secs(1_700_001_464),
            }]),
        }
    }
}

impl Fake {
    pub(super) fn config() -> config::Gateway {
        config::Gateway {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_read: true,
            max_body_bytes: 1_024,
            max_batch_items: 50,
            cors_origins: vec!["https://app.example".into()],
        }
    }

    pub(super) fn router(self: &Arc<Self>) -> Router {
        self.router_with(Self::config())
    }

    pub(super) fn router_with(self: &Arc<Self>, config: config::Gateway) -> Router {
        let echo = |body: axum::body::Bytes| async move { body };
        let rpc = Router::new().route("/rpc/{chain_id}", axum::routing::post(echo));
        build(Parts {
            queries: Arc::clone(self) as _,
            feed: self.newest.subscribe(),
            live: Arc::clone(self) as _,
            config,
            rpc,
            version: "0.1.0".into(),
        })
    }

    /// Appends one entry to the feed and tells it.
    pub(super) fn publish(&self, items: Vec<FeedItem>) {
        let seq = *self.newest.borrow() + 1;
        let mut feed = self.feed.lock().unwrap();
        for item in items {
            let within = match &item {
                FeedItem::Observed(event) | FeedItem::Retracted(event) => {
                    Position { block: event.block_number, log_index: event.log_index }
                }
                FeedItem::Finalized { block, .. } => Position { block: *block, log_index: 0 },
            };
            feed.push((FeedCursor { seq, within: Some(within) }, item));
        }
        drop(feed);
        self.newest.send_replace(seq);
    }

    fn check(&self) -> Result<(), QueryError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("/secret/path is gone".into()).into()),
            false => Ok(()),
        }
    }

    fn holder(&self, holder: Address) -> HolderRecord {
        let alice = holder == ALICE;
        HolderRecord {
            chain: ChainId(1),
            token: TOKEN,
            holder,
            holding: Holding {
                balance: U256::MAX >> usize::from(!alice),
                frozen: U256::from(u8::from(alice)),
                account_frozen: false,
            },
            identity: alice
                .then(|| Identity { identity: Address::repeat_byte(0x33), country: Some(76) }),
        }
    }

    fn token_record(&self) -> TokenRecord {
        TokenRecord {
            chain: ChainId(1),
            address: TOKEN,
            token: Token {
                standard: TokenStandard::Erc3643,
                first_block: 100,
                supply: U256::MAX,
                holders: 2,
                transfers: 40,
                paused: false,
                identity_registry: Some(Address::repeat_byte(0x44)),
                compliance: None,
            },
            metadata: TokenMetadata {
                name: Some("Título Verde 2030".into()),
                symbol: Some("TV30".into()),
                decimals: Some(18),
            },
        }
    }
}

/// A page of `rows` (already in order) behind the cursor, which here is the number of rows seen.
fn page<T>(rows: Vec<T>, limit: usize, after: Option<&str>) -> Result<Page<T>, QueryError> {
    let skip = match after {
        None => 0,
        Some(text) => text.parse().map_err(|_| QueryError::BadCursor(text.to_owned()))?,
    };
    let more = rows.len() > skip + limit;
    let items = rows.into_iter().skip(skip).take(limit).collect();
    Ok(Page { items, next_cursor: more.then(|| (skip + limit).to_string()) })
}

#[async_trait]
impl Queries for Fake {
    async fn chains(&self) -> Result<Vec<ChainIndex>, QueryError> {
        self.check()?;
        Ok(vec![ChainIndex {
            chain: ChainId(1),
            name: "mainnet".into(),
            indexed: Some(BlockId { number: 119, hash: B256::left_padding_from(&[119]) }),
            finalized: Some(110),
            verified_through: Some(119),
            blocks: 20,
            logs: 40,
            events: 40,
            undecoded: 0,
            digest: B256::repeat_byte(0xd1),
            parked: Vec::new(),
            rebuild: None,
        }])
    }

    async fn events(&self, query: EventQuery) -> Result<Page<EventRecord>, QueryError> {
        self.check()?;
        let wanted = |event: &EventRecord| {
            let contract = match &query.contract {
                None => true,
                Some(ContractFilter::Address(address)) => event.address == *address,
                Some(ContractFilter::Name(name)) => event.contract == *name,
            };
            let text = query.participant.map(|who| who.to_checksum(None));
            contract
                && query.chain.is_none_or(|chain| event.chain == chain)
                && query.event.as_ref().is_none_or(|name| event.event.as_ref() == Some(name))
                && text.is_none_or(|text| event.args.iter().any(|arg| arg.value == text))
                && query.tx_hash.is_none_or(|hash| event.tx_hash == hash)
                && query.from_block.is_none_or(|from| event.block_number >= from)
                && query.to_block.is_none_or(|to| event.block_number <= to)
        };
        let mut rows: Vec<_> =
            self.events.lock().unwrap().iter().filter(|e| wanted(e)).cloned().collect();
        if query.order == Order::NewestFirst {
            rows.reverse();
        }
        page(rows, query.limit, query.after.as_deref())
    }

    async fn tokens(
        &self,
        chain: Option<ChainId>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<TokenRecord>, QueryError> {
        self.check()?;
        if self.slow.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let rows =
            if chain.is_none_or(|chain| chain.0 == 1) { vec![self.token_record()] } else { vec![] };
        page(rows, limit, after.as_deref())
    }

    async fn token(
        &self,
        chain: ChainId,
        address: Address,
    ) -> Result<Option<TokenRecord>, QueryError> {
        self.check()?;
        Ok((chain.0 == 1 && address == TOKEN).then(|| self.token_record()))
    }

    async fn holders(
        &self,
        chain: ChainId,
        token: Address,
        at_block: Option<u64>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Option<HoldersPage>, QueryError> {
        self.check()?;
        let at = at_block.unwrap_or(119);
        if !(100..120).contains(&at) {
            return Err(QueryError::OutOfRange { asked: at, from: 100, to: 119 });
        }
        if chain.0 != 1 || token != TOKEN {
            return Ok(None);
        }
        let rows = vec![self.holder(ALICE), self.holder(BOB)];
        Ok(Some(HoldersPage {
            holders: page(rows, limit, after.as_deref())?,
            at: BlockId { number: at, hash: B256::left_padding_from(&at.to_be_bytes()) },
            supply: U256::MAX,
        }))
    }

    async fn holdings(
        &self,
        holder: Address,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<HolderRecord>, QueryError> {
        self.check()?;
        let known = [ALICE, BOB].contains(&holder);
        page(if known { vec![self.holder(holder)] } else { vec![] }, limit, after.as_deref())
    }

    async fn feed_head(&self) -> Result<u64, QueryError> {
        self.check()?;
        Ok(*self.newest.borrow())
    }

    async fn feed(
        &self,
        cursor: FeedCursor,
        limit: usize,
    ) -> Result<Vec<(FeedCursor, FeedItem)>, QueryError> {
        self.check()?;
        self.feed_reads.fetch_add(1, Ordering::SeqCst);
        let feed = self.feed.lock().unwrap();
        let behind = feed.iter().skip_while(|(at, _)| *at <= cursor);
        Ok(behind.take(limit).cloned().collect())
    }

    async fn tokens_without_metadata(
        &self,
        _: usize,
    ) -> Result<Vec<(ChainId, Address)>, QueryError> {
        Ok(Vec::new())
    }

    async fn put_metadata(
        &self,
        _: ChainId,
        _: Address,
        _: TokenMetadata,
    ) -> Result<(), QueryError> {
        Ok(())
    }
}

impl ChainLive for Fake {
    fn heads(&self) -> Vec<ChainHead> {
        self.heads.lock().unwrap().clone()
    }

    fn components(&self) -> Vec<Component> {
        self.components.lock().unwrap().clone()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(super) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

pub(super) async fn get(router: &Router, uri: &str) -> Answer {
    get_with(router, uri, &[]).await
}

pub(super) async fn get_with(router: &Router, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(router, request.body(Body::empty()).unwrap()).await
}
