//! The read port: filters, orders, pages, holders now and then.

use std::sync::Arc;

use alloy_primitives::{Address, U256};

use super::Backend;
use super::world::{
    Block, CHAIN, Made, SIGNATURES, What, World, account, holding, layout, parties, transfer,
};
use crate::pipeline::store::{CommitMode, Store};
use crate::store::read::{ContractFilter, EventQuery, Order, Queries, QueryError};
use crate::types::asset::{Doc, DocKey, Holding, Identity, TokenMetadata};
use crate::types::chain::{ChainId, Finality};

/// Every page of a list of events, by its place.
async fn walk(store: &impl Queries, mut query: EventQuery) -> Vec<(u64, u64, u32)> {
    let mut seen = Vec::new();
    loop {
        let page = store.events(query.clone()).await.expect("page");
        assert!(page.items.len() <= query.limit);
        seen.extend(page.items.iter().map(|e| (e.chain.0, e.block_number, e.log_index)));
        match page.next_cursor {
            Some(cursor) => query.after = Some(cursor),
            None => return seen,
        }
    }
}

fn matches(query: &EventQuery, block: &Block, log: &Made) -> bool {
    let name = ["erc20", "bonds"][usize::from(log.tag)];
    let event = layout(&log.what).map(|which| SIGNATURES[which].0);
    query.from_block.is_none_or(|from| block.block.number >= from)
        && query.to_block.is_none_or(|to| block.block.number <= to)
        && query.tx_hash.is_none_or(|tx| tx == log.tx)
        && query.participant.is_none_or(|who| parties(&log.what).contains(&who))
        && query.event.as_deref().is_none_or(|asked| event == Some(asked))
        && query.contract.as_ref().is_none_or(|contract| match contract {
            ContractFilter::Address(address) => *address == log.token,
            ContractFilter::Name(asked) => asked == name,
        })
}

fn expected(world: &World, query: &EventQuery) -> Vec<(u64, u64, u32)> {
    let mut found = Vec::new();
    for block in &world.blocks {
        for (index, log) in block.logs.iter().enumerate() {
            if matches(query, block, log) {
                found.push((world.chain.0, block.block.number, index as u32));
            }
        }
    }
    if query.order == Order::NewestFirst {
        found.reverse();
    }
    found
}

async fn filled(backend: &impl Backend, mode: CommitMode) -> (impl Store + Queries, World) {
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    world.mode = mode;
    let mut seed = 42;
    for _ in 0..12 {
        let blocks = world.random_blocks(&mut seed, 5);
        store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    }
    (store, world)
}

fn filters(world: &World) -> Vec<EventQuery> {
    let some_tx = world.blocks.iter().flat_map(|b| &b.logs).nth(20).map(|log| log.tx);
    let contracts = [
        None,
        Some(ContractFilter::Address(account(1_001))),
        Some(ContractFilter::Address(account(999))),
        Some(ContractFilter::Name("bonds".into())),
        Some(ContractFilter::Name("nobody".into())),
    ];
    let mut all = Vec::new();
    for contract in contracts {
        for event in [None, Some("Transfer"), Some("AddressFrozen"), Some("Nothing")] {
            for participant in [None, Some(account(3)), Some(account(8)), Some(Address::ZERO)] {
                for tx_hash in [None, some_tx] {
                    for (from_block, to_block) in [(None, None), (Some(7), Some(40))] {
                        all.push(EventQuery {
                            chain: Some(CHAIN),
                            contract: contract.clone(),
                            event: event.map(str::to_owned),
                            participant,
                            tx_hash,
                            from_block,
                            to_block,
                            ..EventQuery::default()
                        });
                    }
                }
            }
        }
    }
    all
}

async fn answer_every_filter(store: &impl Queries, world: &World, stride: usize) {
    for mut query in filters(world).into_iter().step_by(stride) {
        for (order, limit) in [(Order::NewestFirst, 7), (Order::OldestFirst, 100)] {
            query.order = order;
            query.limit = limit;
            assert_eq!(walk(store, query.clone()).await, expected(world, &query), "{query:?}");
        }
    }
    let beyond = EventQuery { from_block: Some(u64::MAX), limit: 5, ..EventQuery::default() };
    assert!(walk(store, beyond).await.is_empty());
}

pub(crate) async fn events_answer_every_filter<B: Backend>(backend: &B) {
    let (store, world) = filled(backend, CommitMode::Live).await;
    answer_every_filter(&store, &world, B::FILTER_STRIDE).await;
    store.finalize(CHAIN, 30).await.expect("finalizes");
    let query = EventQuery { limit: 500, ..EventQuery::default() };
    let page = store.events(query).await.expect("events");
    for event in &page.items {
        let final_ = event.block_number <= 30;
        assert_eq!(event.status == Finality::Finalized, final_, "{event:?}");
        let block = &world.blocks[event.block_number as usize - 1];
        assert_eq!(event.block_hash, block.block.hash);
        assert_eq!(event.timestamp, block.block.timestamp);
        let log = &block.logs[event.log_index as usize];
        assert_eq!((event.address, event.tx_hash), (log.token, log.tx));
        if let What::Transfer { from, value, .. } = log.what {
            assert_eq!(event.args[0].value, from.to_string());
            assert_eq!(event.args[2].value, value.to_string());
        }
    }
}

pub(crate) async fn a_bulk_load_answers_like_a_live_one<B: Backend>(backend: &B) {
    let (store, mut world) = filled(backend, CommitMode::Bulk).await;
    answer_every_filter(&store, &world, B::FILTER_STRIDE).await;
    store.end_bulk().await.expect("ends");
    answer_every_filter(&store, &world, B::FILTER_STRIDE).await;
    world.mode = CommitMode::Live;
    let blocks = world.random_blocks(&mut 5, 5);
    store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    answer_every_filter(&store, &world, B::FILTER_STRIDE).await;
    store.end_bulk().await.expect("ending twice does no harm");
}

pub(crate) async fn pages_are_not_shifted_by_new_blocks(backend: &impl Backend) {
    let (store, mut world) = filled(backend, CommitMode::Live).await;
    let mut query = EventQuery { limit: 10, ..EventQuery::default() };
    let whole = expected(&world, &query);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = store.events(query.clone()).await.expect("page");
        seen.extend(page.items.iter().map(|e| (e.chain.0, e.block_number, e.log_index)));
        query.after = page.next_cursor;
        store
            .commit(Arc::new(world.extend(vec![vec![transfer(1, 0, 1, 1)]])))
            .await
            .expect("commits");
    }
    assert_eq!(seen, whole[..30]);
}

pub(crate) async fn chains_are_listed_as_one_by_time(backend: &impl Backend) {
    let store = backend.open(0).await;
    let mut seed = 3;
    let mut all = Vec::new();
    for (index, chain) in [ChainId(1), ChainId(10), ChainId(137)].into_iter().enumerate() {
        let mut world = World::new(chain);
        store.open_chain(chain, "test").await.expect("opens");
        let blocks = world.random_blocks(&mut seed, 10 + index);
        store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
        let places = expected(&world, &EventQuery::default());
        all.extend(places.into_iter().map(|place| (place.1, place)));
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let query = EventQuery { limit: 4, order, ..EventQuery::default() };
        let seen = walk(&store, query).await;
        let times: Vec<u64> = seen.iter().map(|place| place.1).collect();
        match order {
            Order::NewestFirst => assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}"),
            Order::OldestFirst => assert!(times.is_sorted(), "{times:?}"),
        }
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        let mut every: Vec<_> = all.iter().map(|(_, place)| *place).collect();
        every.sort_unstable();
        assert_eq!(sorted, every, "each exactly once");
    }
}

/// Every holder of a token as the world knows it, by balance.
fn holders_of(docs: &super::world::Docs, token: Address) -> Vec<(Address, Holding)> {
    let mut found: Vec<_> = docs
        .iter()
        .filter_map(|(key, doc)| match (key, doc) {
            (DocKey::Holding { token: of, holder }, Doc::Holding(holding)) if *of == token => {
                Some((*holder, *holding))
            }
            _ => None,
        })
        .filter(|(_, holding)| holding.balance > U256::ZERO)
        .collect();
    found.sort_unstable_by_key(|(holder, holding)| (std::cmp::Reverse(holding.balance), *holder));
    found
}

async fn walk_holders(
    store: &impl Queries,
    token: Address,
    at_block: Option<u64>,
    limit: usize,
) -> Vec<(Address, Holding)> {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.holders(CHAIN, token, at_block, limit, after).await.expect("page");
        let page = page.expect("a token");
        let items = page.holders.items;
        assert!(items.iter().all(|item| item.token == token && item.chain == CHAIN));
        seen.extend(items.iter().map(|item| (item.holder, item.holding)));
        after = page.holders.next_cursor;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted_by(|a, b| a.1.balance >= b.1.balance), "largest first");
    seen.sort_unstable_by_key(|(holder, holding)| (std::cmp::Reverse(holding.balance), *holder));
    seen
}

pub(crate) async fn holders_are_right_at_every_block(backend: &impl Backend) {
    let (store, world) = filled(backend, CommitMode::Live).await;
    for token in (1..=3).map(|n| account(1_000 + n)) {
        let now = walk_holders(&store, token, None, 2).await;
        assert_eq!(now, holders_of(&world.docs, token));
        for (block, docs) in &world.past {
            let then = walk_holders(&store, token, Some(*block), 3).await;
            assert_eq!(then, holders_of(docs, token), "token {token} at block {block}");
            let page = store.holders(CHAIN, token, Some(*block), 1, None).await.expect("page");
            let page = page.expect("a token");
            let supply = match docs.get(&DocKey::Token(token)) {
                Some(Doc::Token(token)) => token.supply,
                _ => U256::ZERO,
            };
            assert_eq!((page.supply, page.at.number), (supply, *block));
            let hash = world.blocks[*block as usize - 1].block.hash;
            assert_eq!(page.at.hash, hash);
        }
    }
    let beyond = store.holders(CHAIN, account(1_001), Some(61), 1, None).await;
    assert!(matches!(beyond, Err(QueryError::OutOfRange { asked: 61, from: 1, to: 60 })));
    let nobody = store.holders(CHAIN, account(1), None, 1, None).await.expect("answers");
    assert!(nobody.is_none(), "an account is no token");
}

pub(crate) async fn holders_pages_answer_for_the_block_of_the_first(backend: &impl Backend) {
    let (store, mut world) = filled(backend, CommitMode::Live).await;
    let token = account(1_001);
    let whole = holders_of(&world.docs, token);
    let first = store.holders(CHAIN, token, None, 2, None).await.expect("page").expect("token");
    let poorest = whole.last().expect("holders").0;
    let n = (1..=6).find(|n| account(*n) == poorest).expect("one of ours");
    store
        .commit(Arc::new(world.extend(vec![vec![transfer(1, 0, n, 1_000_000)]])))
        .await
        .expect("commits");
    let cursor = first.holders.next_cursor.clone();
    let rest = store.holders(CHAIN, token, None, 100, cursor).await.expect("page").expect("token");
    assert_eq!(rest.at, first.at);
    let all = first.holders.items.iter().chain(&rest.holders.items);
    let mut seen: Vec<_> = all.map(|item| (item.holder, item.holding)).collect();
    seen.sort_unstable_by_key(|(holder, holding)| (std::cmp::Reverse(holding.balance), *holder));
    assert_eq!(seen, whole);
}

pub(crate) async fn holdings_and_tokens_are_listed(backend: &impl Backend) {
    let (store, world) = filled(backend, CommitMode::Live).await;
    for who in (1..=8).map(account) {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = store.holdings(who, 1, after).await.expect("page");
            seen.extend(page.items.iter().map(|item| (item.token, item.holding)));
            after = page.next_cursor;
            if after.is_none() {
                break;
            }
        }
        seen.sort_unstable_by_key(|(token, _)| *token);
        let mut known: Vec<_> = (1..=3)
            .map(|n| account(1_000 + n))
            .map(|token| (token, holding(&world.docs, token, who)))
            .filter(|(_, holding)| !holding.balance.is_zero())
            .collect();
        known.sort_unstable_by_key(|(token, _)| *token);
        assert_eq!(seen, known);
    }
    let first = store.tokens(Some(CHAIN), 2, None).await.expect("page");
    let rest = store.tokens(None, 2, first.next_cursor.clone()).await.expect("page");
    assert!(rest.next_cursor.is_none());
    let tokens: Vec<_> = first.items.into_iter().chain(rest.items).collect();
    assert_eq!(tokens.len(), 3);
    for token in &tokens {
        let known = world.docs.get(&DocKey::Token(token.address));
        assert_eq!(Some(&Doc::Token(token.token.clone())), known);
        assert_eq!(token.metadata, TokenMetadata::default());
    }
    let bare = store.tokens_without_metadata(10).await.expect("list");
    assert_eq!(bare, tokens.iter().map(|t| (CHAIN, t.address)).collect::<Vec<_>>());
    let metadata =
        TokenMetadata { name: Some("Gold".into()), symbol: Some("GLD".into()), decimals: Some(18) };
    let named = tokens[1].address;
    store.put_metadata(CHAIN, named, metadata.clone()).await.expect("puts");
    let found = store.token(CHAIN, named).await.expect("answers").expect("a token");
    assert_eq!(found.metadata, metadata);
    assert_eq!(store.tokens_without_metadata(10).await.expect("list").len(), 2);
    assert!(store.token(ChainId(9), named).await.expect("answers").is_none());
}

pub(crate) async fn a_wallet_is_found_in_the_storage_that_its_registry_uses(
    backend: &impl Backend,
) {
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    let mut unit = world.extend(vec![vec![transfer(1, 0, 1, 50), transfer(1, 0, 2, 30)]]);
    let (registry, storage) = (account(500), account(501));
    for (_, doc) in &mut unit.docs {
        if let Some(Doc::Token(token)) = doc {
            token.identity_registry = Some(registry);
        }
    }
    let entry = |registry, wallet| DocKey::Identity { registry, wallet };
    let identities = [
        (DocKey::storage_of(registry), storage, None),
        // The storage counts for more than what the registry itself had.
        (entry(storage, account(1)), account(601), Some(76)),
        (entry(registry, account(1)), account(602), None),
        (entry(registry, account(2)), account(603), Some(840)),
    ];
    for (key, identity, country) in identities {
        unit.docs.push((key, Some(Doc::Identity(Identity { identity, country }))));
    }
    store.commit(Arc::new(unit)).await.expect("commits");
    let page = store.holders(CHAIN, account(1_001), None, 5, None).await.expect("page");
    let found: Vec<_> = page
        .expect("a token")
        .holders
        .items
        .iter()
        .map(|item| (item.holder, item.identity))
        .collect();
    let first = Some(Identity { identity: account(601), country: Some(76) });
    let second = Some(Identity { identity: account(603), country: Some(840) });
    assert_eq!(found, [(account(1), first), (account(2), second)]);
    let held = store.holdings(account(1), 5, None).await.expect("page").items;
    assert_eq!(held.iter().map(|item| item.identity).collect::<Vec<_>>(), [first]);
}

pub(crate) async fn foreign_cursors_are_refused(backend: &impl Backend) {
    let (store, _) = filled(backend, CommitMode::Live).await;
    for text in ["", "xyz", "-1", "7fffffffffffffff", "1..2", "\u{e9}"] {
        let query = EventQuery { limit: 1, after: Some(text.to_owned()), ..EventQuery::default() };
        let refused = store.events(query).await;
        assert!(matches!(refused, Err(QueryError::BadCursor(_))), "{text:?}: {refused:?}");
        let refused = store.holders(CHAIN, account(1_001), None, 1, Some(text.into())).await;
        assert!(matches!(refused, Err(QueryError::BadCursor(_))), "{text:?}");
    }
    let refused = store.tokens(None, 1, Some("zz".into())).await;
    assert!(matches!(refused, Err(QueryError::BadCursor(_))));
    let refused = store.holdings(account(1), 1, Some("zz".into())).await;
    assert!(matches!(refused, Err(QueryError::BadCursor(_))));
}

pub(crate) async fn undecoded_logs_are_kept_and_counted(backend: &impl Backend) {
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    let garbage = super::world::made(1, 1, What::Garbage);
    store
        .commit(Arc::new(world.extend(vec![vec![transfer(1, 0, 1, 5), garbage]])))
        .await
        .expect("commits");
    let page = store.events(EventQuery { limit: 5, ..EventQuery::default() }).await.expect("page");
    assert_eq!(page.items.len(), 2);
    assert_eq!(page.items[0].event, None);
    assert_eq!(page.items[0].contract, "bonds");
    assert!(page.items[0].args.is_empty());
    let chain = &store.chains().await.expect("chains")[0];
    assert_eq!((chain.logs, chain.events, chain.undecoded), (2, 1, 1));
}
