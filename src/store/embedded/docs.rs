//! Documents in their tables: tokens, holdings, identities.
//!
//! Knows nothing of blocks or undo; `undo` keeps former contents.

use std::collections::HashMap;

use alloy_primitives::{Address, U256};
use rusqlite::{Connection, OptionalExtension, Row};

use super::error::corrupt;
use super::intern::{self, Interner};
use super::rows::{self, int, uint};
use crate::pipeline::error::StoreError;
use crate::types::asset::{Doc, DocKey, Holding, Identity, Token, TokenStandard};

/// The addresses a document needs ids for.
pub(super) fn addresses(key: &DocKey, doc: Option<&Doc>, out: &mut Vec<Address>) {
    match key {
        DocKey::Token(token) => out.push(*token),
        DocKey::Holding { token, holder } => out.extend([*token, *holder]),
        DocKey::Identity { registry, wallet } => out.extend([*registry, *wallet]),
    }
    match doc {
        Some(Doc::Token(token)) => {
            out.extend(token.identity_registry);
            out.extend(token.compliance);
        }
        Some(Doc::Identity(identity)) => out.push(identity.identity),
        Some(Doc::Holding(_)) | None => {}
    }
}

/// Writes the final contents of a unit, holdings in the order of their rows.
pub(super) fn write(
    connection: &Connection,
    interner: &mut Interner,
    chain: u8,
    docs: &[(DocKey, Option<Doc>)],
) -> Result<(), StoreError> {
    let mut holdings: Vec<(i64, Option<&Holding>)> = Vec::with_capacity(docs.len());
    for (key, doc) in docs {
        match (key, doc) {
            (DocKey::Holding { token, holder }, doc) => {
                let asset = interner.asset(connection, chain, token)?;
                let row = rows::holding_row(asset, interner.id(connection, holder)?)?;
                match doc {
                    Some(Doc::Holding(holding)) => holdings.push((row, Some(holding))),
                    None => holdings.push((row, None)),
                    Some(_) => return Err(mismatch(key)),
                }
            }
            (DocKey::Token(address), doc) => {
                let asset = interner.asset(connection, chain, address)?;
                match doc {
                    Some(Doc::Token(token)) => put_token(connection, interner, asset, token)?,
                    None => delete(connection, "DELETE FROM token WHERE asset = ?1", asset)?,
                    Some(_) => return Err(mismatch(key)),
                }
            }
            (DocKey::Identity { registry, wallet }, doc) => {
                let registry = rows::chain_address(chain, interner.id(connection, registry)?)?;
                let wallet = interner.id(connection, wallet)?;
                match doc {
                    Some(Doc::Identity(identity)) => {
                        put_identity(connection, interner, (registry, wallet), identity)?;
                    }
                    None => drop_identity(connection, (registry, wallet))?,
                    Some(_) => return Err(mismatch(key)),
                }
            }
        }
    }
    holdings.sort_unstable_by_key(|(row, _)| *row);
    put_holdings(connection, &holdings)
}

fn mismatch(key: &DocKey) -> StoreError {
    corrupt(format_args!("the content given for {key:?} is of another kind"))
}

fn put_holdings(
    connection: &Connection,
    holdings: &[(i64, Option<&Holding>)],
) -> Result<(), StoreError> {
    let mut put = connection.prepare_cached(
        "INSERT INTO holding(row, balance, frozen, account_frozen) VALUES(?1, ?2, ?3, ?4)
         ON CONFLICT(row) DO UPDATE SET balance = excluded.balance, frozen = excluded.frozen,
         account_frozen = excluded.account_frozen",
    )?;
    for (row, holding) in holdings {
        match holding {
            Some(holding) => {
                let frozen =
                    (!holding.frozen.is_zero()).then(|| holding.frozen.to_be_bytes::<32>());
                put.execute((
                    row,
                    holding.balance.to_be_bytes::<32>(),
                    frozen,
                    holding.account_frozen,
                ))?;
            }
            None => delete(connection, "DELETE FROM holding WHERE row = ?1", *row)?,
        }
    }
    Ok(())
}

fn delete(connection: &Connection, sql: &str, row: i64) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([row])?;
    Ok(())
}

fn put_token(
    connection: &Connection,
    interner: &mut Interner,
    asset: i64,
    token: &Token,
) -> Result<(), StoreError> {
    let mut id = |address: &Option<Address>| -> Result<Option<i64>, StoreError> {
        address.as_ref().map(|address| interner.id(connection, address)).transpose()
    };
    let registry = id(&token.identity_registry)?;
    let compliance = id(&token.compliance)?;
    connection
        .prepare_cached(
            "INSERT INTO token(asset, standard, first_block, supply, holders, transfers, paused,
             registry, compliance) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT(asset) DO UPDATE SET standard = excluded.standard,
             first_block = excluded.first_block, supply = excluded.supply,
             holders = excluded.holders, transfers = excluded.transfers, paused = excluded.paused,
             registry = excluded.registry, compliance = excluded.compliance",
        )?
        .execute((
            asset,
            token.standard as u8,
            int(token.first_block)?,
            token.supply.to_be_bytes::<32>(),
            int(token.holders)?,
            int(token.transfers)?,
            token.paused,
            registry,
            compliance,
        ))?;
    Ok(())
}

fn put_identity(
    connection: &Connection,
    interner: &mut Interner,
    (registry, wallet): (i64, i64),
    identity: &Identity,
) -> Result<(), StoreError> {
    let id = interner.id(connection, &identity.identity)?;
    connection
        .prepare_cached(
            "INSERT INTO identity(registry, wallet, identity, country) VALUES(?1, ?2, ?3, ?4)
             ON CONFLICT(registry, wallet) DO UPDATE SET identity = excluded.identity,
             country = excluded.country",
        )?
        .execute((registry, wallet, id, identity.country))?;
    Ok(())
}

fn drop_identity(connection: &Connection, key: (i64, i64)) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM identity WHERE registry = ?1 AND wallet = ?2")?
        .execute(key)?;
    Ok(())
}

/// The documents' contents in the order of `keys`.
pub(super) fn load(
    connection: &Connection,
    chain: u8,
    keys: &[DocKey],
) -> Result<Vec<Option<Doc>>, StoreError> {
    let mut ids = Ids { chain, addresses: HashMap::new(), assets: HashMap::new() };
    keys.iter()
        .map(|key| match key {
            DocKey::Token(token) => match ids.asset(connection, token)? {
                Some(asset) => Ok(self::token(connection, asset)?.map(Doc::Token)),
                None => Ok(None),
            },
            DocKey::Holding { token, holder } => {
                let Some(asset) = ids.asset(connection, token)? else { return Ok(None) };
                let Some(holder) = ids.address(connection, holder)? else { return Ok(None) };
                let row = rows::holding_row(asset, holder)?;
                Ok(holding(connection, row)?.map(Doc::Holding))
            }
            DocKey::Identity { registry, wallet } => {
                let Some(registry) = ids.address(connection, registry)? else { return Ok(None) };
                let Some(wallet) = ids.address(connection, wallet)? else { return Ok(None) };
                let registry = rows::chain_address(chain, registry)?;
                Ok(identity(connection, registry, wallet)?.map(Doc::Identity))
            }
        })
        .collect()
}

/// Ids looked up during one call: a batch of holdings names few tokens and each holder often.
struct Ids {
    chain: u8,
    addresses: HashMap<Address, Option<i64>>,
    assets: HashMap<Address, Option<i64>>,
}

impl Ids {
    fn address(
        &mut self,
        connection: &Connection,
        address: &Address,
    ) -> Result<Option<i64>, StoreError> {
        if let Some(id) = self.addresses.get(address) {
            return Ok(*id);
        }
        let id = intern::find(connection, address)?;
        self.addresses.insert(*address, id);
        Ok(id)
    }

    fn asset(
        &mut self,
        connection: &Connection,
        token: &Address,
    ) -> Result<Option<i64>, StoreError> {
        if let Some(id) = self.assets.get(token) {
            return Ok(*id);
        }
        let id = match self.address(connection, token)? {
            Some(address) => intern::asset(connection, self.chain, address)?,
            None => None,
        };
        self.assets.insert(*token, id);
        Ok(id)
    }
}

/// The token columns that [`read_token`] reads, in its order.
pub(super) const TOKEN_COLUMNS: &str = "t.standard, t.first_block, t.supply, t.holders, \
     t.transfers, t.paused, r.addr, m.addr";
/// The tables behind [`TOKEN_COLUMNS`].
pub(super) const TOKEN_TABLES: &str = "token t LEFT JOIN address r ON r.id = t.registry \
     LEFT JOIN address m ON m.id = t.compliance";

/// A token by its id.
pub(super) fn token(connection: &Connection, asset: i64) -> Result<Option<Token>, StoreError> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {TOKEN_COLUMNS} FROM {TOKEN_TABLES} WHERE t.asset = ?1"
    ))?;
    let mut found = select.query([asset])?;
    found.next()?.map(read_token).transpose()
}

/// A token out of a row that begins with [`TOKEN_COLUMNS`].
pub(super) fn read_token(row: &Row<'_>) -> Result<Token, StoreError> {
    let standard: u8 = row.get(0)?;
    Ok(Token {
        standard: TokenStandard::from_u8(standard)
            .ok_or_else(|| corrupt(format_args!("token standard {standard} is not known")))?,
        first_block: uint(row.get(1)?)?,
        supply: amount(row, 2)?,
        holders: uint(row.get(3)?)?,
        transfers: uint(row.get(4)?)?,
        paused: row.get(5)?,
        identity_registry: optional_address(row, 6)?,
        compliance: optional_address(row, 7)?,
    })
}

/// A holding by its row.
pub(super) fn holding(connection: &Connection, row: i64) -> Result<Option<Holding>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT balance, frozen, account_frozen FROM holding WHERE row = ?1")?;
    let mut found = select.query([row])?;
    found.next()?.map(|row| read_holding(row, 0)).transpose()
}

/// A holding out of the columns `balance, frozen, account_frozen` from `at` on.
pub(super) fn read_holding(row: &Row<'_>, at: usize) -> Result<Holding, StoreError> {
    let frozen = match row.get_ref(at + 1)?.as_blob_or_null().map_err(corrupt)? {
        Some(bytes) => rows::amount(bytes)?,
        None => U256::ZERO,
    };
    Ok(Holding { balance: amount(row, at)?, frozen, account_frozen: row.get(at + 2)? })
}

/// A wallet's entry in a registry, both by id.
pub(super) fn identity(
    connection: &Connection,
    registry: i64,
    wallet: i64,
) -> Result<Option<Identity>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT a.addr, i.country FROM identity i JOIN address a ON a.id = i.identity
             WHERE i.registry = ?1 AND i.wallet = ?2",
        )?
        .query_row((registry, wallet), |row| {
            Ok((row.get::<_, [u8; 20]>(0)?, row.get::<_, Option<u16>>(1)?))
        })
        .optional()?;
    Ok(found.map(|(identity, country)| Identity { identity: identity.into(), country }))
}

fn amount(row: &Row<'_>, index: usize) -> Result<U256, StoreError> {
    rows::amount(row.get_ref(index)?.as_blob().map_err(corrupt)?)
}

fn optional_address(row: &Row<'_>, index: usize) -> Result<Option<Address>, StoreError> {
    row.get_ref(index)?.as_blob_or_null().map_err(corrupt)?.map(rows::address).transpose()
}
