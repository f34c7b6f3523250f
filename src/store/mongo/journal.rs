//! What a unit makes of documents, written before the unit is committed and carried out after: if the
//! writer dies in between, whoever opens the chain next finishes it.
//!
//! Documents change only after their unit is committed. So a writer that was displaced while it slept
//! can change nothing: its unit never became one, and its earlier ones are done already.

use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{RawBinaryRef, RawDocumentBuf, doc};

use super::error::corrupt;
use super::rows;
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::store::codec;
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::ChainId;

pub(super) const JOURNAL: &str = "journal";
/// Bytes of records in one document.
const PART_BYTES_MAX: usize = 2 * 1024 * 1024;

pub(super) type Records = Vec<(DocKey, Option<Doc>)>;

/// Keys and contents in a row of bytes, each with its length before it; an empty content deletes.
#[derive(Debug, Default)]
pub(super) struct Packed(Vec<Vec<u8>>);

impl Packed {
    /// The records in parts small enough for a document, in order.
    pub(super) fn parts<'a>(
        &mut self,
        records: impl Iterator<Item = (&'a DocKey, Option<&'a Doc>)>,
    ) -> impl Iterator<Item = Vec<u8>> {
        let mut part = Vec::new();
        for (key, doc) in records {
            for bytes in [codec::encode_key(key), doc.map(codec::encode).unwrap_or_default()] {
                // A key or a content is at most some hundred bytes.
                part.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
                part.extend_from_slice(&bytes);
            }
            if part.len() >= PART_BYTES_MAX {
                self.0.push(std::mem::take(&mut part));
            }
        }
        if !part.is_empty() {
            self.0.push(part);
        }
        std::mem::take(&mut self.0).into_iter()
    }
}

/// The way back.
#[derive(Debug)]
pub(super) struct Unpacked;

impl Unpacked {
    pub(super) fn read(mut bytes: &[u8]) -> Result<Records, StoreError> {
        let mut records = Vec::new();
        let mut take = || -> Result<Option<&[u8]>, StoreError> {
            let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes(*length));
            let (record, rest) =
                rest.split_at_checked(length).ok_or_else(|| corrupt("a record cut short"))?;
            bytes = rest;
            Ok(Some(record))
        };
        while let Some(key) = take()? {
            let doc = take()?.ok_or_else(|| corrupt("a key without its content"))?;
            let doc = if doc.is_empty() { None } else { Some(codec::decode(doc)?) };
            records.push((codec::decode_key(key)?, doc));
        }
        Ok(records)
    }
}

/// A unit's journal.
pub(super) fn write(
    chain: ChainId,
    unit: u64,
    records: &[(DocKey, Option<Doc>)],
) -> Result<Vec<RawDocumentBuf>, StoreError> {
    let mut documents = Vec::new();
    let mut packed = Packed::default();
    let records = records.iter().map(|(key, doc)| (key, doc.as_ref()));
    for (n, part) in packed.parts(records).enumerate() {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("_id"), format!("{}:{unit:x}:{n}", chain.0));
        document.append(cstr!("chain"), rows::int(chain.0)?);
        document.append(cstr!("unit"), rows::int(unit)?);
        let bytes = RawBinaryRef { subtype: BinarySubtype::Generic, bytes: &part };
        document.append(cstr!("records"), bytes);
        documents.push(document);
    }
    Ok(documents)
}

/// A committed unit's journal back.
pub(super) async fn read(wire: &Wire, chain: ChainId, unit: u64) -> Result<Records, StoreError> {
    let filter = doc! { "chain": rows::int(chain.0)?, "unit": rows::int(unit)? };
    let find =
        Find { collection: JOURNAL, filter, sort: None, limit: None, reader: Reader::Writer };
    let mut records = Vec::new();
    for document in wire.find(find).await? {
        records.extend(Unpacked::read(rows::need_bytes(&document, "records")?)?);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};

    use super::*;
    use crate::types::asset::Holding;

    #[test]
    fn records_come_back_in_order_from_several_parts() {
        let records: Records = (0..40_000u64)
            .map(|n| {
                let holder = Address::from_word(U256::from(n).into());
                let key = DocKey::Holding { token: Address::repeat_byte(1), holder };
                let holding = Holding { balance: U256::from(n), ..Holding::default() };
                (key, (n % 3 > 0).then_some(Doc::Holding(holding)))
            })
            .collect();
        let mut packed = Packed::default();
        let parts: Vec<_> = packed.parts(records.iter().map(|(k, d)| (k, d.as_ref()))).collect();
        assert!(parts.len() > 1);
        let mut back = Vec::new();
        for part in &parts {
            assert!(part.len() < PART_BYTES_MAX + 1024);
            back.extend(Unpacked::read(part).expect("own bytes"));
        }
        assert_eq!(back, records);
        assert!(Unpacked::read(&parts[0][..parts[0].len() - 1]).is_err(), "cut short");
    }
}
