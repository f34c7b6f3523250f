//! Documents in a byte form of our own: for records that are written often, read only to repair or to
//! undo, and never queried. Shared by the back ends; what it writes stays readable for ever.

use alloy_primitives::{Address, U256};

use crate::pipeline::error::StoreError;
use crate::types::asset::{Doc, DocKey, Holding, Identity, Token, TokenStandard};

const TOKEN: u8 = 0;
const HOLDING: u8 = 1;
const IDENTITY: u8 = 2;
/// Stands for "no country named" in two bytes; ISO 3166-1 numeric codes have three digits.
const NO_COUNTRY: u16 = u16::MAX;

fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

/// A key as bytes.
pub(super) fn encode_key(key: &DocKey) -> Vec<u8> {
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

/// A key back.
pub(super) fn decode_key(bytes: &[u8]) -> Result<DocKey, StoreError> {
    let mut reader = Reader(bytes);
    let key = match reader.byte()? {
        TOKEN => DocKey::Token(reader.address()?),
        HOLDING => DocKey::Holding { token: reader.address()?, holder: reader.address()? },
        IDENTITY => DocKey::Identity { registry: reader.address()?, wallet: reader.address()? },
        kind => return Err(corrupt(format_args!("undo record of kind {kind}"))),
    };
    reader.end(key)
}

/// A content as bytes.
pub(super) fn encode(doc: &Doc) -> Vec<u8> {
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

/// A content back.
pub(super) fn decode(bytes: &[u8]) -> Result<Doc, StoreError> {
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
