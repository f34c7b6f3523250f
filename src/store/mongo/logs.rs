//! Logs as documents, and back into the events that the outside sees.
//!
//! Arguments are read through the decoder's reader; this file knows where the bytes lie, not what
//! they mean.

use alloy_primitives::{Address, B256};
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{RawArrayBuf, RawBinaryRef, RawDocument, RawDocumentBuf};

use super::chains::ChainRow;
use super::dictionary::Dictionary;
use super::error::corrupt;
use super::rows::{self, get_int, get_text, need_bytes, need_text, need_uint};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{CommitUnit, Recognised};
use crate::types::chain::{ChainId, Finality};
use crate::types::event::{EventRecord, Position};
use crate::types::log::{LogBuf, LogFields, LogView};

pub(super) const EVENTS: &str = "events";
pub(super) const ORPHANS: &str = "orphans";

/// Every log of a unit as a document.
pub(super) fn write(
    unit: &CommitUnit,
    number: u64,
    dictionary: &Dictionary,
) -> Result<Vec<RawDocumentBuf>, StoreError> {
    let mut documents = Vec::with_capacity(unit.logs.len());
    let mut block = unit.blocks.iter().peekable();
    let mut taking_part = Vec::new();
    for (log, recognised) in unit.logs.iter().zip(&unit.recognised) {
        while block.next_if(|at| at.block.number < log.head.block_number).is_some() {}
        let time = block.peek().map_or(0, |at| at.block.timestamp);
        taking_part.clear();
        documents.push(write_one(
            unit.chain,
            number,
            (log, time),
            recognised,
            dictionary,
            &mut taking_part,
        )?);
    }
    Ok(documents)
}

fn write_one(
    chain: ChainId,
    number: u64,
    (log, time): (LogView<'_>, u64),
    recognised: &Recognised,
    dictionary: &Dictionary,
    taking_part: &mut Vec<Address>,
) -> Result<RawDocumentBuf, StoreError> {
    let head = log.head;
    let pos = rows::position(head.block_number, head.log_index)?;
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), format!("{}:{pos:x}:{number:x}", chain.0));
    document.append(cstr!("chain"), rows::int(chain.0)?);
    document.append(cstr!("pos"), pos);
    document.append(cstr!("unit"), rows::int(number)?);
    document.append(cstr!("address"), rows::hex_address(&head.address));
    match recognised {
        Recognised::Event { layout, contract } => {
            let layout = dictionary.layout(*layout)?;
            if layout.info.topic0.is_some() && layout.info.topic0.as_ref() != log.topic0() {
                return Err(corrupt("a log whose first topic is not that of its layout"));
            }
            document.append(cstr!("contract"), dictionary.name(*contract)?);
            document.append(cstr!("event"), &*layout.info.event);
            document.append(cstr!("layout"), &*layout.key);
            dictionary.args().participants(layout.info.id, log, taking_part);
        }
        Recognised::Undecoded { contract, reason } => {
            document.append(cstr!("contract"), dictionary.name(*contract)?);
            document.append(cstr!("undecoded"), *reason);
        }
    }
    document.append(cstr!("block_hash"), rows::hex(&head.block_hash[..]));
    document.append(cstr!("time"), rows::int(time)?);
    document.append(cstr!("tx"), rows::hex(&head.tx_hash[..]));
    document.append(cstr!("tx_index"), i64::from(head.tx_index));
    let mut topics = [0u8; 128];
    let mut end = 0;
    for topic in log.topics() {
        topics[end..end + 32].copy_from_slice(&topic[..]);
        end += 32;
    }
    let binary = |bytes| RawBinaryRef { subtype: BinarySubtype::Generic, bytes };
    document.append(cstr!("topics"), binary(&topics[..end]));
    document.append(cstr!("data"), binary(log.data));
    if !taking_part.is_empty() {
        let mut who = RawArrayBuf::new();
        for (index, address) in taking_part.iter().enumerate() {
            if !taking_part[..index].contains(address) {
                who.push(rows::hex_address(address));
            }
        }
        document.append(cstr!("participants"), who);
    }
    Ok(document)
}

/// A stored log, with everything needed to show it.
#[derive(Debug)]
pub(super) struct StoredLog {
    pub(super) pos: i64,
    pub(super) time: u64,
    contract: String,
    layout: Option<String>,
    block_hash: B256,
    /// One log: the raw form again.
    pub(super) raw: LogBuf,
}

/// A log out of its document, of the index or of the orphans.
pub(super) fn read(document: &RawDocument) -> Result<StoredLog, StoreError> {
    let pos = get_int(document, "pos")?.ok_or_else(|| corrupt("a log without its place"))?;
    let (block, log_index) = rows::place(pos);
    let block_hash = rows::hash(need_text(document, "block_hash")?)?;
    let time = need_uint(document, "time")?;
    let mut fields = LogFields {
        block_number: block,
        block_hash,
        timestamp: Some(time),
        tx_hash: rows::hash(need_text(document, "tx")?)?,
        tx_index: u32::try_from(need_uint(document, "tx_index")?).map_err(corrupt)?,
        log_index,
        address: rows::address(need_text(document, "address")?)?,
        ..LogFields::default()
    };
    let topics = need_bytes(document, "topics")?.chunks_exact(32).map(B256::from_slice);
    for (room, topic) in fields.topics.iter_mut().zip(topics) {
        *room = topic;
        fields.topic_count += 1;
    }
    let mut raw = LogBuf::default();
    raw.push(&fields, need_bytes(document, "data")?).map_err(corrupt)?;
    Ok(StoredLog {
        pos,
        time,
        contract: need_text(document, "contract")?.to_owned(),
        layout: get_text(document, "layout")?.map(str::to_owned),
        block_hash,
        raw,
    })
}

impl StoredLog {
    pub(super) fn position(&self) -> Position {
        let (block, log_index) = rows::place(self.pos);
        Position { block, log_index }
    }

    /// The event as every outside surface shows it.
    pub(super) fn event(
        &self,
        chain: &ChainRow,
        dictionary: &Dictionary,
    ) -> Result<EventRecord, StoreError> {
        let view = self.raw.get(0).ok_or_else(|| corrupt("a log without its raw form"))?;
        let layout = self.layout.as_deref().and_then(|key| dictionary.known(key));
        let (event, args) = match layout {
            // An ABI that was changed under the same signature shows the event without arguments
            // rather than no event at all.
            Some(layout) => (
                Some(layout.info.event.clone()),
                dictionary.args().args(layout.info.id, view).unwrap_or_default(),
            ),
            None => (None, Vec::new()),
        };
        let final_ = chain.finalized.is_some_and(|finalized| view.head.block_number <= finalized);
        Ok(EventRecord {
            chain: chain.id,
            block_number: view.head.block_number,
            block_hash: self.block_hash,
            timestamp: self.time,
            tx_hash: view.head.tx_hash,
            log_index: view.head.log_index,
            address: view.head.address,
            contract: self.contract.clone(),
            event,
            args,
            status: if final_ { Finality::Finalized } else { Finality::Observed },
        })
    }
}

/// Every visible log of one contract in its raw form, oldest first.
pub(super) async fn of(
    wire: &Wire,
    chain: &ChainRow,
    address: Address,
) -> Result<LogBuf, StoreError> {
    let mut filter = chain.visible_logs()?;
    filter.insert("address", rows::hex_address(&address));
    let found = wire
        .find(Find {
            collection: EVENTS,
            filter,
            sort: Some(mongodb::bson::doc! { "pos": 1 }),
            limit: None,
            reader: Reader::Writer,
        })
        .await?;
    let mut logs = LogBuf::default();
    for document in found {
        for log in read(&document)?.raw.iter() {
            logs.push_view(log).map_err(corrupt)?;
        }
    }
    Ok(logs)
}
