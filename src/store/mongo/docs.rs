//! Tokens, holdings and identities as documents, each with the unit that wrote it.
//!
//! A write carries its unit and takes effect only on an older document: a unit applied twice, late or
//! after a newer one changes nothing. A deletion leaves a `gone` document behind for the same reason.

use std::collections::HashMap;

use mongodb::bson::raw::cstr;
use mongodb::bson::{Bson, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::error::corrupt;
use super::rows::{self, get_int, get_text, need_text, need_uint};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::types::asset::{Doc, DocKey, Holding, Identity, Token, TokenStandard};
use crate::types::chain::ChainId;

pub(super) const TOKENS: &str = "tokens";
pub(super) const HOLDINGS: &str = "holdings";
pub(super) const IDENTITIES: &str = "identities";
/// Identifiers in one `$in`.
const LOAD_MAX: usize = 1_000;

/// Which collection holds a document.
pub(super) fn collection(key: &DocKey) -> &'static str {
    match key {
        DocKey::Token(_) => TOKENS,
        DocKey::Holding { .. } => HOLDINGS,
        DocKey::Identity { .. } => IDENTITIES,
    }
}

/// The update that makes a document what a unit says it is.
pub(super) fn statement(
    chain: ChainId,
    unit: u64,
    key: &DocKey,
    doc: Option<&Doc>,
) -> Result<RawDocumentBuf, StoreError> {
    let mut q = rawdoc! { "_id": rows::doc_id(chain, key), "chain": rows::int(chain.0)? };
    // The shard key is part of the filter, so that a router needs to ask one shard only.
    match key {
        DocKey::Token(token) => q.append(cstr!("address"), rows::hex_address(token)),
        DocKey::Holding { token, holder } => {
            q.append(cstr!("token"), rows::hex_address(token));
            q.append(cstr!("holder"), rows::hex_address(holder));
        }
        DocKey::Identity { registry, wallet } => {
            q.append(cstr!("registry"), rows::hex_address(registry));
            q.append(cstr!("wallet"), rows::hex_address(wallet));
        }
    }
    let unit = rows::int(unit)?;
    q.append(cstr!("unit"), rawdoc! { "$lt": unit });
    let mut set = match doc {
        Some(doc) => fields(chain, key, doc)?,
        None => emptied(key),
    };
    set.append(cstr!("unit"), unit);
    set.append(cstr!("gone"), doc.is_none());
    Ok(rawdoc! { "q": q, "u": { "$set": set }, "upsert": true })
}

fn fields(chain: ChainId, key: &DocKey, doc: &Doc) -> Result<RawDocumentBuf, StoreError> {
    Ok(match (key, doc) {
        (DocKey::Token(address), Doc::Token(token)) => {
            let optional = |address: Option<alloy_primitives::Address>| {
                address.map_or(Bson::Null, |address| Bson::String(rows::hex_address(&address)))
            };
            let fields = doc! {
                "standard": token.standard.as_str(),
                "first_block": rows::int(token.first_block)?,
                // Sorts tokens in the order in which they were first seen; the cursor of their list.
                "order": format!("{:016x}{:016x}{address:x}", token.first_block, chain.0),
                "supply": rows::amount(&token.supply),
                "holders": rows::int(token.holders)?,
                "transfers": rows::int(token.transfers)?,
                "paused": token.paused,
                "identity_registry": optional(token.identity_registry),
                "compliance": optional(token.compliance),
            };
            RawDocumentBuf::try_from(&fields)?
        }
        (DocKey::Holding { .. }, Doc::Holding(holding)) => rawdoc! {
            "balance": rows::amount(&holding.balance),
            "frozen": rows::amount(&holding.frozen),
            "account_frozen": holding.account_frozen,
        },
        (DocKey::Identity { .. }, Doc::Identity(identity)) => {
            let mut fields = rawdoc! { "identity": rows::hex_address(&identity.identity) };
            match identity.country {
                Some(country) => fields.append(cstr!("country"), i32::from(country)),
                None => fields.append(cstr!("country"), mongodb::bson::RawBsonRef::Null),
            }
            fields
        }
        _ => return Err(corrupt(format_args!("{key:?} with the content of another kind"))),
    })
}

/// What is left of a deleted document. Amounts go to zero, so that no list finds it.
fn emptied(key: &DocKey) -> RawDocumentBuf {
    match key {
        DocKey::Token(_) => rawdoc! { "has_metadata": false, "order": "" },
        DocKey::Holding { .. } => {
            rawdoc! { "balance": rows::amount(&alloy_primitives::U256::ZERO) }
        }
        DocKey::Identity { .. } => rawdoc! {},
    }
}

/// Documents by key, in the order of `keys`.
pub(super) async fn load(
    wire: &Wire,
    chain: ChainId,
    keys: &[DocKey],
    reader: Reader,
) -> Result<Vec<Option<Doc>>, StoreError> {
    let mut wanted: HashMap<&'static str, Vec<String>> = HashMap::new();
    for key in keys {
        wanted.entry(collection(key)).or_default().push(rows::doc_id(chain, key));
    }
    let mut found: HashMap<String, Doc> = HashMap::with_capacity(keys.len());
    let mut finds = Vec::new();
    for (collection, ids) in wanted {
        for ids in ids.chunks(LOAD_MAX) {
            let filter = doc! { "_id": { "$in": ids }, "gone": false };
            let find = Find { collection, filter, sort: None, limit: None, reader };
            finds.push(async move { wire.find(find).await.map(|found| (collection, found)) });
        }
    }
    for outcome in futures_util::future::join_all(finds).await {
        let (collection, documents) = outcome?;
        for document in documents {
            let doc = match collection {
                TOKENS => Doc::Token(read_token(&document)?),
                HOLDINGS => Doc::Holding(read_holding(&document)?),
                _ => Doc::Identity(read_identity(&document)?),
            };
            found.insert(need_text(&document, "_id")?.to_owned(), doc);
        }
    }
    Ok(keys.iter().map(|key| found.get(&rows::doc_id(chain, key)).cloned()).collect())
}

/// A token out of its document.
pub(super) fn read_token(document: &RawDocument) -> Result<Token, StoreError> {
    let standard = need_text(document, "standard")?;
    let optional = |key: &str| get_text(document, key)?.map(rows::address).transpose();
    Ok(Token {
        standard: [TokenStandard::Erc20, TokenStandard::Erc721, TokenStandard::Erc3643]
            .into_iter()
            .find(|known| known.as_str() == standard)
            .ok_or_else(|| corrupt(format_args!("token standard {standard:?} is not known")))?,
        first_block: need_uint(document, "first_block")?,
        supply: rows::parse_amount(need_text(document, "supply")?)?,
        holders: need_uint(document, "holders")?,
        transfers: need_uint(document, "transfers")?,
        paused: document.get_bool("paused").map_err(corrupt)?,
        identity_registry: optional("identity_registry")?,
        compliance: optional("compliance")?,
    })
}

/// A holding out of its document.
pub(super) fn read_holding(document: &RawDocument) -> Result<Holding, StoreError> {
    Ok(Holding {
        balance: rows::parse_amount(need_text(document, "balance")?)?,
        frozen: rows::parse_amount(need_text(document, "frozen")?)?,
        account_frozen: document.get_bool("account_frozen").map_err(corrupt)?,
    })
}

/// A wallet's entry out of its document.
pub(super) fn read_identity(document: &RawDocument) -> Result<Identity, StoreError> {
    let country = get_int(document, "country")?.map(u16::try_from).transpose().map_err(corrupt)?;
    Ok(Identity { identity: rows::address(need_text(document, "identity")?)?, country })
}
