//! Former contents of documents, kept until their block is final; one document per block of a unit.

use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{RawBinaryRef, RawDocumentBuf, doc};

use super::chains::ChainRow;
use super::journal::{Packed, Unpacked};
use super::rows;
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{CommitUnit, Undo};

pub(super) const UNDO: &str = "undo";

/// A unit's records, numbered in the order of application.
pub(super) fn write(unit: &CommitUnit, number: u64) -> Result<Vec<RawDocumentBuf>, StoreError> {
    let mut documents = Vec::new();
    let mut rest = &unit.undo[..];
    while let Some(first) = rest.first() {
        let block = first.block;
        let same = rest.iter().take_while(|record| record.block == block).count();
        let (now, later) = rest.split_at(same);
        let mut packed = Packed::default();
        for (n, part) in packed.parts(now.iter().map(|u| (&u.key, u.before.as_ref()))).enumerate() {
            let mut document = RawDocumentBuf::new();
            let chain = unit.chain.0;
            document.append(cstr!("_id"), format!("{chain}:{block}:{number:x}:{n}"));
            document.append(cstr!("chain"), rows::int(chain)?);
            document.append(cstr!("block"), rows::int(block)?);
            document.append(cstr!("unit"), rows::int(number)?);
            document.append(cstr!("n"), i64::try_from(n).unwrap_or(i64::MAX));
            let bytes = RawBinaryRef { subtype: BinarySubtype::Generic, bytes: &part };
            document.append(cstr!("records"), bytes);
            documents.push(document);
        }
        rest = later;
    }
    Ok(documents)
}

/// The records of all blocks above `block`, newest first.
pub(super) async fn above(
    wire: &Wire,
    chain: &ChainRow,
    block: u64,
) -> Result<Vec<Undo>, StoreError> {
    // Records of final blocks are deleted a little after they became final.
    let block = block.max(chain.finalized.unwrap_or(0));
    let mut filter = chain.visible()?;
    filter.insert("block", doc! { "$gt": rows::int(block.min(rows::BLOCK_MAX))? });
    let sort = Some(doc! { "block": -1, "unit": -1, "n": -1 });
    let find = Find { collection: UNDO, filter, sort, limit: None, reader: Reader::Writer };
    let mut undo = Vec::new();
    for document in wire.find(find).await? {
        let block = rows::need_uint(&document, "block")?;
        let records = Unpacked::read(rows::need_bytes(&document, "records")?)?;
        undo.extend(records.into_iter().rev().map(|(key, before)| Undo { block, key, before }));
    }
    Ok(undo)
}
