//! One unit, one transaction: checks that it continues the index, then writes all of it.
//!
//! Runs on the writer's thread alone. Nothing in memory changes before the transaction has committed.

use std::collections::HashMap;

use rusqlite::{Connection, TransactionBehavior};

use super::chains::{self, ChainRow};
use super::dictionary::{Dictionary, Kind};
use super::error::corrupt;
use super::feed_rows::{self, Entry};
use super::intern::Interner;
use super::rows::{self, int};
use super::{docs, rewind, undo};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{CommitUnit, Recognised};
use crate::store::unit::{self, Cursor, TakingPart, check_shape, refuse};
use crate::types::chain::{BlockRange, Proof};
use crate::types::feed::FeedStep;
use crate::types::log::LogView;

/// Participants with a column and an index of their own; further ones go to `participant_extra`. No
/// event of ERC-20, ERC-721 or an ERC-3643 token names more than three addresses.
const PARTICIPANT_COLUMNS: usize = 3;

/// What the writer keeps between units.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) connection: Connection,
    pub(super) chains: Vec<ChainRow>,
    pub(super) interner: Interner,
    pub(super) seq: u64,
}

impl Committer {
    /// Applies a unit whole or not at all; returns the number of the last feed entry.
    pub(super) fn commit(
        &mut self,
        unit: &CommitUnit,
        dictionary: &Dictionary,
    ) -> Result<u64, StoreError> {
        let at = self.position(unit)?;
        check_shape(unit)?;
        let kinds = kinds(&self.connection, unit, dictionary)?;
        self.interner.begin();
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut step = Step {
            connection: &tx,
            interner: &mut self.interner,
            chain: self.chains[at].clone(),
            seq: self.seq,
        };
        let applied = step.apply(unit, &kinds, dictionary);
        let (chain, seq) = (step.chain, step.seq);
        let done = applied.and_then(|()| tx.commit().map_err(StoreError::from));
        match done {
            Ok(()) => {
                self.chains[at] = chain;
                self.seq = seq;
                Ok(seq)
            }
            Err(error) => {
                self.interner.forget();
                Err(error)
            }
        }
    }

    /// Records finality alone.
    pub(super) fn finalize(&mut self, at: usize, block: u64) -> Result<u64, StoreError> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut step = Step {
            connection: &tx,
            interner: &mut self.interner,
            chain: self.chains[at].clone(),
            seq: self.seq,
        };
        step.finalize(block)?;
        chains::save(step.connection, &step.chain)?;
        let (chain, seq) = (step.chain, step.seq);
        tx.commit()?;
        self.chains[at] = chain;
        self.seq = seq;
        Ok(seq)
    }

    fn position(&self, unit: &CommitUnit) -> Result<usize, StoreError> {
        self.chains
            .iter()
            .position(|chain| chain.id == unit.chain)
            .ok_or_else(|| refuse(unit, "a chain that was never opened", "no such chain"))
    }
}

/// The kind of each log of a unit, looked up once per distinct recognition.
fn kinds(
    connection: &Connection,
    unit: &CommitUnit,
    dictionary: &Dictionary,
) -> Result<Vec<Kind>, StoreError> {
    let mut seen: HashMap<(u16, Option<u32>), Kind> = HashMap::new();
    let mut kinds = Vec::with_capacity(unit.recognised.len());
    for recognised in &unit.recognised {
        let parts = match recognised {
            Recognised::Event { layout, contract } => (contract.0, Some(layout.0)),
            Recognised::Undecoded { contract, .. } => (contract.0, None),
        };
        let kind = match seen.get(&parts) {
            Some(kind) => kind.clone(),
            None => {
                let kind = dictionary.kind_of(connection, recognised)?;
                seen.insert(parts, kind.clone());
                kind
            }
        };
        kinds.push(kind);
    }
    Ok(kinds)
}

/// A unit in the making: the open transaction and the chain's row as it will be.
struct Step<'a> {
    connection: &'a Connection,
    interner: &'a mut Interner,
    chain: ChainRow,
    seq: u64,
}

impl Step<'_> {
    fn apply(
        &mut self,
        unit: &CommitUnit,
        kinds: &[Kind],
        dictionary: &Dictionary,
    ) -> Result<(), StoreError> {
        if let Some(to) = unit.rewind_to {
            self.rewind(unit, to)?;
        }
        unit::check_contiguous(unit, self.chain.cursor)?;
        let low = unit::first_new_block(unit, self.chain.cursor);
        let advances = low <= unit.cursor.number;
        let committed = self.seq + u64::from(advances);
        self.write_blocks(unit, committed)?;
        self.write_logs(unit, kinds, dictionary)?;
        docs::write(self.connection, self.interner, self.chain.ordinal, &unit.docs)?;
        undo::write(self.connection, self.chain.ordinal, &unit.undo)?;
        self.chain.cursor =
            Some(Cursor { number: unit.cursor.number, hash: Some(unit.cursor.hash) });
        if advances {
            let range = BlockRange { from: low, to: unit.cursor.number };
            self.append(FeedStep::Committed(range))?;
        }
        if let Some(block) = unit.finalized {
            self.finalize(block)?;
        }
        chains::save(self.connection, &self.chain)
    }

    fn append(&mut self, step: FeedStep) -> Result<(), StoreError> {
        self.seq += 1;
        let entry = Entry { seq: self.seq, chain: self.chain.ordinal, step };
        feed_rows::append(self.connection, entry)
    }

    fn rewind(&mut self, unit: &CommitUnit, to: u64) -> Result<(), StoreError> {
        if let Some(finalized) = self.chain.finalized.filter(|finalized| to < *finalized) {
            let text = format!("a rewind to block {to}");
            return Err(refuse(unit, &text, &format!("block {finalized}, which is final")));
        }
        let retracted = rewind::apply(self.connection, &mut self.chain, to, self.seq + 1)?;
        if let Some(range) = retracted {
            self.append(FeedStep::Retracted(range))?;
        }
        Ok(())
    }

    fn write_blocks(&mut self, unit: &CommitUnit, seq: u64) -> Result<(), StoreError> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO block(row, hash, timestamp, proof, seq) VALUES(?1, ?2, ?3, ?4, ?5)",
        )?;
        for commit in &unit.blocks {
            let block = &commit.block;
            insert.execute((
                rows::block_row(self.chain.ordinal, block.number)?,
                &block.hash[..],
                int(block.timestamp)?,
                commit.proof as u8,
                int(seq)?,
            ))?;
            let first = *self.chain.first_block.get_or_insert(block.number);
            let next = self.chain.verified_through.map_or(first, |through| through + 1);
            if commit.proof != Proof::Unverified && block.number == next {
                self.chain.verified_through = Some(block.number);
            }
            self.chain.blocks += 1;
        }
        Ok(())
    }

    fn write_logs(
        &mut self,
        unit: &CommitUnit,
        kinds: &[Kind],
        dictionary: &Dictionary,
    ) -> Result<(), StoreError> {
        let taking_part = self.resolve(unit, kinds, dictionary)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO log(row, contract, kind, p0, p1, p2, tx_index, tx_head, tx_tail, topics,
             data) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let mut ids = Vec::new();
        let mut topics = [0u8; 128];
        for (index, (log, kind)) in unit.logs.iter().zip(kinds).enumerate() {
            let head = log.head;
            let row = rows::pack(self.chain.ordinal, head.block_number, head.log_index)?;
            let contract = self.interner.id(self.connection, &head.address)?;
            ids.clear();
            for address in taking_part.of(index) {
                let id = self.interner.id(self.connection, address)?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            let column = |n: usize| ids.get(n).copied();
            insert.execute((
                row,
                contract,
                kind.id,
                column(0),
                column(1),
                column(2),
                head.tx_index,
                rows::tx_head(&head.tx_hash),
                &head.tx_hash[8..],
                stored_topics(log, kind, &mut topics)?,
                log.data,
            ))?;
            self.write_extra(row, ids.get(PARTICIPANT_COLUMNS..).unwrap_or_default())?;
            if let Some(Recognised::Undecoded { reason, .. }) = unit.recognised.get(index) {
                self.write_dead_letter(row, reason)?;
            } else {
                self.chain.events += 1;
            }
            self.chain.logs += 1;
        }
        Ok(())
    }

    /// Who takes part in each log, and ids for every address of the unit in one sorted pass.
    fn resolve(
        &mut self,
        unit: &CommitUnit,
        kinds: &[Kind],
        dictionary: &Dictionary,
    ) -> Result<TakingPart, StoreError> {
        let mut taking_part = TakingPart::with_capacity(unit.logs.len());
        let mut unknown = Vec::new();
        for (log, kind) in unit.logs.iter().zip(kinds) {
            if let Some(local) = kind.layout.as_ref().and_then(|layout| layout.local) {
                dictionary.args().participants(local, log, &mut taking_part.addresses);
            }
            taking_part.ends.push(taking_part.addresses.len());
            if !self.interner.knows(&log.head.address) {
                unknown.push(log.head.address);
            }
        }
        for (key, doc) in &unit.docs {
            docs::addresses(key, doc.as_ref(), &mut unknown);
        }
        unknown.extend_from_slice(&taking_part.addresses);
        unknown.retain(|address| !self.interner.knows(address));
        self.interner.resolve(self.connection, &mut unknown)?;
        Ok(taking_part)
    }

    fn write_extra(&self, row: i64, ids: &[i64]) -> Result<(), StoreError> {
        for id in ids {
            self.connection
                .prepare_cached("INSERT INTO participant_extra(addr, row) VALUES(?1, ?2)")?
                .execute((id, row))?;
        }
        Ok(())
    }

    fn write_dead_letter(&mut self, row: i64, reason: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO dead_letter(row, reason) VALUES(?1, ?2)")?
            .execute((row, reason))?;
        self.chain.undecoded += 1;
        Ok(())
    }

    /// Moves the final block up; one that lies lower than the known one says nothing new.
    fn finalize(&mut self, block: u64) -> Result<(), StoreError> {
        if self.chain.finalized.is_some_and(|finalized| finalized >= block) {
            // Records of final blocks are of no use, and a unit may have brought some.
            let finalized = self.chain.finalized.unwrap_or(block);
            return undo::prune(self.connection, self.chain.ordinal, None, finalized);
        }
        undo::prune(self.connection, self.chain.ordinal, None, block)?;
        self.chain.finalized = Some(block);
        self.append(FeedStep::Finalized(block))?;
        rewind::prune_orphans(self.connection, self.seq)
    }
}

/// The topics as stored: without the first where the kind's layout tells it.
fn stored_topics<'a>(
    log: LogView<'_>,
    kind: &Kind,
    room: &'a mut [u8; 128],
) -> Result<&'a [u8], StoreError> {
    let told = kind.layout.as_ref().and_then(|layout| layout.topic0);
    if told.is_some() && log.topic0() != told.as_ref() {
        return Err(corrupt("a log whose first topic is not that of its layout"));
    }
    let skip = usize::from(told.is_some());
    let mut end = 0;
    for topic in log.topics().iter().skip(skip) {
        room[end..end + 32].copy_from_slice(&topic[..]);
        end += 32;
    }
    Ok(&room[..end])
}

/// Refuses what cannot be, so that a caller's mistake does not become a stored one.
pub(super) fn chain_at(
    chains: &[ChainRow],
    chain: crate::types::chain::ChainId,
) -> Result<usize, StoreError> {
    chains
        .iter()
        .position(|row| row.id == chain)
        .ok_or_else(|| corrupt(format_args!("chain {chain} was never opened")))
}
