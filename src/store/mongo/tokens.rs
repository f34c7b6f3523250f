//! Lists of tokens and of what one address holds, and what tokens say of themselves.

use std::collections::HashMap;

use alloy_primitives::Address;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::chains::Head;
use super::docs::{self, HOLDINGS, TOKENS};
use super::error::corrupt;
use super::rows::{self, get_int, get_text, need_text, need_uint};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::store::read::{HolderRecord, Page, QueryError, TokenRecord};
use crate::types::asset::{Doc, DocKey, Identity, TokenMetadata};
use crate::types::chain::ChainId;

/// Most items of any page: keeps an answer to a few megabytes.
pub(super) const PAGE_MAX: usize = 1_000;

/// A page size within bounds, and one more than asked to see whether there is more.
pub(super) fn page_limit(limit: usize) -> (usize, i64) {
    let limit = limit.clamp(1, PAGE_MAX);
    (limit, i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1)
}

/// A page without anything.
pub(super) fn empty<T>() -> Page<T> {
    Page { items: Vec::new(), next_cursor: None }
}

/// A cursor of so many hexadecimal digits.
fn cursor(after: Option<&str>, digits: usize) -> Result<Option<&str>, QueryError> {
    let good = |text: &&str| {
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    after
        .map(|text| Some(text).filter(good).ok_or_else(|| QueryError::BadCursor(text.to_owned())))
        .transpose()
}

fn read(document: &RawDocument) -> Result<TokenRecord, StoreError> {
    let decimals = get_int(document, "decimals")?.map(u8::try_from).transpose().map_err(corrupt)?;
    Ok(TokenRecord {
        chain: ChainId(need_uint(document, "chain")?),
        address: rows::address(need_text(document, "address")?)?,
        token: docs::read_token(document)?,
        metadata: TokenMetadata {
            name: get_text(document, "name")?.map(str::to_owned),
            symbol: get_text(document, "symbol")?.map(str::to_owned),
            decimals,
        },
    })
}

async fn find(
    wire: &Wire,
    filter: Document,
    fetch: i64,
) -> Result<Vec<RawDocumentBuf>, StoreError> {
    wire.find(Find {
        collection: TOKENS,
        filter,
        sort: Some(doc! { "order": 1 }),
        limit: Some(fetch),
        reader: Reader::Question,
    })
    .await
}

/// Tokens in the order in which they were first seen.
pub(super) async fn list(
    wire: &Wire,
    chain: Option<ChainId>,
    limit: usize,
    after: Option<&str>,
) -> Result<Page<TokenRecord>, QueryError> {
    let (limit, fetch) = page_limit(limit);
    let after = cursor(after, 72)?.unwrap_or_default();
    let mut filter = doc! { "order": { "$gt": after }, "gone": false };
    if let Some(chain) = chain {
        filter.insert("chain", rows::int(chain.0)?);
    }
    let found = find(wire, filter, fetch).await?;
    let next_cursor = match found.get(limit.saturating_sub(1)) {
        Some(last) if found.len() > limit => Some(need_text(last, "order")?.to_owned()),
        _ => None,
    };
    let items: Result<_, _> = found.iter().take(limit).map(|one| read(one)).collect();
    Ok(Page { items: items?, next_cursor })
}

/// One token.
pub(super) async fn one(
    wire: &Wire,
    chain: ChainId,
    address: &Address,
) -> Result<Option<TokenRecord>, QueryError> {
    let id = rows::doc_id(chain, &DocKey::Token(*address));
    let found = find(wire, doc! { "_id": id, "gone": false }, 1).await?;
    Ok(found.first().map(|document| read(document)).transpose()?)
}

/// Tokens whose metadata has not been read, oldest first.
pub(super) async fn without_metadata(
    wire: &Wire,
    limit: usize,
) -> Result<Vec<(ChainId, Address)>, QueryError> {
    let (_, fetch) = page_limit(limit);
    let filter = doc! { "has_metadata": { "$ne": true }, "gone": false };
    let mut tokens = Vec::new();
    for document in find(wire, filter, fetch - 1).await? {
        let record = read(&document)?;
        tokens.push((record.chain, record.address));
    }
    Ok(tokens)
}

/// Keeps what a token said of itself. Not tied to a unit: a rewind does not unsay it.
pub(super) async fn put_metadata(
    wire: &Wire,
    chain: ChainId,
    token: Address,
    metadata: &TokenMetadata,
) -> Result<(), StoreError> {
    let q = rawdoc! {
        "_id": rows::doc_id(chain, &DocKey::Token(token)),
        "chain": rows::int(chain.0)?,
        "address": rows::hex_address(&token),
        "gone": false,
    };
    let set = doc! {
        "name": &metadata.name,
        "symbol": &metadata.symbol,
        "decimals": metadata.decimals.map_or(Bson::Null, |decimals| Bson::Int32(decimals.into())),
        "has_metadata": true,
    };
    let set = RawDocumentBuf::try_from(&set)?;
    wire.update(TOKENS, vec![rawdoc! { "q": q, "u": { "$set": set } }]).await.map(drop)
}

/// Everything one address holds, by chain and token.
pub(super) async fn holdings(
    wire: &Wire,
    head: &Head,
    holder: &Address,
    limit: usize,
    after: Option<&str>,
) -> Result<Page<HolderRecord>, QueryError> {
    let (limit, fetch) = page_limit(limit);
    let zero = rows::amount(&alloy_primitives::U256::ZERO);
    let mut filter =
        doc! { "holder": rows::hex_address(holder), "balance": { "$gt": zero }, "gone": false };
    if let Some(after) = cursor(after, 56)? {
        let (chain, token) = after.split_at(16);
        let bad = || QueryError::BadCursor(after.to_owned());
        let chain = i64::from_str_radix(chain, 16).map_err(|_| bad())?;
        let token = format!("0x{token}");
        filter.insert(
            "$or",
            vec![
                doc! { "chain": { "$gt": chain } },
                doc! { "chain": chain, "token": { "$gt": token } },
            ],
        );
    }
    let found = wire
        .find(Find {
            collection: HOLDINGS,
            filter,
            sort: Some(doc! { "chain": 1, "token": 1 }),
            limit: Some(fetch),
            reader: Reader::Question,
        })
        .await?;
    let more = found.len() > limit;
    let mut items = Vec::with_capacity(limit.min(found.len()));
    for document in found.iter().take(limit) {
        items.push(holder_record(document)?);
    }
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|last: &HolderRecord| format!("{:016x}{:x}", last.chain.0, last.token));
    for row in &head.chains {
        let mut of_chain: Vec<&mut HolderRecord> =
            items.iter_mut().filter(|item| item.chain == row.id).collect();
        add_identities(wire, row.id, &mut of_chain).await?;
    }
    Ok(Page { items, next_cursor })
}

fn holder_record(document: &RawDocument) -> Result<HolderRecord, StoreError> {
    Ok(HolderRecord {
        chain: ChainId(need_uint(document, "chain")?),
        token: rows::address(need_text(document, "token")?)?,
        holder: rows::address(need_text(document, "holder")?)?,
        holding: docs::read_holding(document)?,
        identity: None,
    })
}

/// The holders' entries in the registries of their tokens. An entry in the storage that a registry
/// uses counts for more than the registry's own.
pub(super) async fn add_identities(
    wire: &Wire,
    chain: ChainId,
    records: &mut [&mut HolderRecord],
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let mut tokens: Vec<DocKey> = records.iter().map(|one| DocKey::Token(one.token)).collect();
    tokens.sort_unstable();
    tokens.dedup();
    let found = docs::load(wire, chain, &tokens, Reader::Question).await?;
    let mut registries: HashMap<Address, Address> = HashMap::new();
    for (key, doc) in tokens.iter().zip(found) {
        if let (DocKey::Token(token), Some(Doc::Token(doc))) = (key, doc) {
            registries.extend(doc.identity_registry.map(|registry| (*token, registry)));
        }
    }
    if registries.is_empty() {
        return Ok(());
    }
    let mut pointers: Vec<DocKey> = registries.values().copied().map(DocKey::storage_of).collect();
    pointers.sort_unstable();
    pointers.dedup();
    let storages = identities(wire, chain, &pointers).await?;
    let places = |record: &HolderRecord| -> Vec<DocKey> {
        let Some(registry) = registries.get(&record.token) else { return Vec::new() };
        let storage = storages.get(&DocKey::storage_of(*registry)).map(|entry| entry.identity);
        let entry = |registry| DocKey::Identity { registry, wallet: record.holder };
        storage.into_iter().chain([*registry]).map(entry).collect()
    };
    let mut wanted: Vec<DocKey> = records.iter().flat_map(|record| places(record)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let entries = identities(wire, chain, &wanted).await?;
    for record in records {
        record.identity = places(record).iter().find_map(|key| entries.get(key)).copied();
    }
    Ok(())
}

async fn identities(
    wire: &Wire,
    chain: ChainId,
    keys: &[DocKey],
) -> Result<HashMap<DocKey, Identity>, StoreError> {
    let found = docs::load(wire, chain, keys, Reader::Question).await?;
    let pairs = keys.iter().zip(found).filter_map(|(key, doc)| match doc {
        Some(Doc::Identity(identity)) => Some((*key, identity)),
        _ => None,
    });
    Ok(pairs.collect())
}
