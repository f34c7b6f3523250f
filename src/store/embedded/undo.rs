//! Former contents of documents, kept until their block is final.
//!
//! Stored in a byte form of their own: they are written often, read only in a reorg, and never queried.

use alloy_primitives::{Address, U256};
use rusqlite::Connection;

use super::error::corrupt;
use super::rows;
use crate::pipeline::error::StoreError;
use crate::pipeline::store::Undo;
use crate::types::asset::{Doc, DocKey, Holding, Identity, Token, TokenStandard};

const TOKEN: u8 = 0;
const HOLDING: u8 = 1;
const IDENTITY: u8 = 2;
/// Stands for "no country named" in two bytes; ISO 3166-1 numeric codes have three digits.
const NO_COUNTRY: u16 = u16::MAX;

/// Writes a unit's records, numbered in their block in the order of application.
pub(super) fn write(connection: &Connection, chain: u8, undo: &[Undo]) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO undo(block, n, key, before) VALUES(?1, ?2, ?3, ?4)")?;
    let (mut block, mut n) = (None, 0i64);
    for record in undo {
        if block != Some(record.block) {
            (block, n) = (Some(record.block), 0);
        }
        insert.execute((
            rows::block_row(chain, record.block)?,
            n,
            encode_key(&record.key),
            record.before.as_ref().map(encode),
        ))?;
        n += 1;
    }
    Ok(())
}

/// The records of all blocks above `block`, newest first.
pub(super) fn above(
    connection: &Connection,
    chain: u8,
    block: u64,
) -> Result<Vec<Undo>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT block, key, before FROM undo WHERE block > ?1 AND block <= ?2
         ORDER BY block DESC, n DESC",
    )?;
    let bounds = (rows::block_end(chain, block), rows::block_end(chain, u64::MAX));
    let mut found = select.query(bounds)?;
    let mut undo = Vec::new();
    while let Some(row) = found.next()? {
        undo.push(Undo {
            block: rows::unpack(row.get(0)?).block,
            key: decode_key(row.get_ref(1)?.as_blob().map_err(corrupt)?)?,
            before: row.get_ref(2)?.as_blob_or_null().map_err(corrupt)?.map(decode).transpose()?,
        });
    }
    Ok(undo)
}

/// Drops the records of blocks above `above` and up to `through`.
pub(super) fn prune(
    connection: &Connection,
    chain: u8,
    above: Option<u64>,
    through: u64,
) -> Result<(), StoreError> {
    let low = match above {
        Some(block) => rows::block_end(chain, block),
        None => rows::block_row(chain, 0)? - 1,
    };
    connection
        .prepare_cached("DELETE FROM undo WHERE block > ?1 AND block <= ?2")?
        .execute((low, rows::block_end(chain, through)))?;
    Ok(())
}

fn encode_key(key: &DocKey) -> Vec<u8> {
    let (kind, first, second) = match key {
        DocKey::Token(token) => (TOKEN, token, None),
        DocKey::Holding { token, holder } => (HOLDING, token, Some(holder)),
        DocKey::Identity { registry, wallet } => (IDENTITY, registry, Some(wallet)),
    };
    let mut bytes = Vec::with_capacity(41);
    bytes.push(kind);
    bytes.extend_from_slice(&first[..]);
    if let Some(second) = second {
        bytes.extend_from_slice(&second[..]);
    }
    bytes
}

fn decode_key(bytes: &[u8]) -> Result<DocKey, StoreError> {
    let mut reader = Reader(bytes);
    let key = match reader.byte()? {
        TOKEN => DocKey::Token(reader.address()?),
        HOLDING => DocKey::Holding { token: reader.address()?, holder: reader.address()? },
        IDENTITY => DocKey::Identity { registry: reader.address()?, wallet: reader.address()? },
        kind => return Err(corrupt(format_args!("undo record of kind {kind}"))),
    };
    reader.end(key)
}

fn encode(doc: &Doc) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(104);
    match doc {
        Doc::Token(token) => {
            bytes.extend([TOKEN, token.standard as u8, u8::from(token.paused)]);
            for count in [token.first_block, token.holders, token.transfers] {
                bytes.extend(count.to_be_bytes());
            }
            bytes.extend(token.supply.to_be_bytes::<32>());
            for address in [token.identity_registry, token.compliance] {
                bytes.push(u8::from(address.is_some()));
                bytes.extend_from_slice(&address.unwrap_or_default()[..]);
            }
        }
        Doc::Holding(holding) => {
            bytes.extend([HOLDING, u8::from(holding.account_frozen)]);
            bytes.extend(holding.balance.to_be_bytes::<32>());
            bytes.extend(holding.frozen.to_be_bytes::<32>());
        }
        Doc::Identity(identity) => {
            bytes.push(IDENTITY);
            bytes.extend_from_slice(&identity.identity[..]);
            bytes.extend(identity.country.unwrap_or(NO_COUNTRY).to_be_bytes());
        }
    }
    bytes
}

fn decode(bytes: &[u8]) -> Result<Doc, StoreError> {
    let mut reader = Reader(bytes);
    let doc = match reader.byte()? {
        TOKEN => {
            let standard = reader.byte()?;
            Doc::Token(Token {
                standard: TokenStandard::from_u8(standard)
                    .ok_or_else(|| corrupt(format_args!("token standard {standard}")))?,
                paused: reader.byte()? != 0,
                first_block: u64::from_be_bytes(reader.take()?),
                holders: u64::from_be_bytes(reader.take()?),
                transfers: u64::from_be_bytes(reader.take()?),
                supply: reader.amount()?,
                identity_registry: reader.optional_address()?,
                compliance: reader.optional_address()?,
            })
        }
        HOLDING => Doc::Holding(Holding {
            account_frozen: reader.byte()? != 0,
            balance: reader.amount()?,
            frozen: reader.amount()?,
        }),
        IDENTITY => {
            let identity = reader.address()?;
            let country = u16::from_be_bytes(reader.take()?);
            Doc::Identity(Identity {
                identity,
                country: (country != NO_COUNTRY).then_some(country),
            })
        }
        kind => return Err(corrupt(format_args!("undo content of kind {kind}"))),
    };
    reader.end(doc)
}

/// Takes fields off the front of a record.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (head, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| corrupt("undo record cut short"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, StoreError> {
        Ok(self.take::<1>()?[0])
    }

    fn address(&mut self) -> Result<Address, StoreError> {
        Ok(Address::from(self.take::<20>()?))
    }

    fn optional_address(&mut self) -> Result<Option<Address>, StoreError> {
        let present = self.byte()? != 0;
        let address = self.address()?;
        Ok(present.then_some(address))
    }

    fn amount(&mut self) -> Result<U256, StoreError> {
        Ok(U256::from_be_bytes(self.take::<32>()?))
    }

    fn end<T>(self, value: T) -> Result<T, StoreError> {
        if self.0.is_empty() { Ok(value) } else { Err(corrupt("undo record with a tail")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_survives_its_undo_form() {
        let a = Address::repeat_byte(1);
        let docs = [
            Doc::Token(Token {
                standard: TokenStandard::Erc3643,
                first_block: 7,
                supply: U256::MAX,
                holders: 3,
                transfers: u64::MAX,
                paused: true,
                identity_registry: Some(a),
                compliance: None,
            }),
            Doc::Holding(Holding {
                balance: U256::from(5),
                frozen: U256::from(2),
                account_frozen: true,
            }),
            Doc::Identity(Identity { identity: a, country: Some(76) }),
            Doc::Identity(Identity { identity: a, country: None }),
        ];
        for doc in docs {
            assert_eq!(decode(&encode(&doc)).expect("own bytes"), doc);
        }
        let keys = [
            DocKey::Token(a),
            DocKey::Holding { token: a, holder: Address::ZERO },
            DocKey::Identity { registry: a, wallet: a },
        ];
        for key in keys {
            assert_eq!(decode_key(&encode_key(&key)).expect("own bytes"), key);
        }
        assert!(decode(&[HOLDING, 1]).is_err(), "a cut record is refused");
    }
}
