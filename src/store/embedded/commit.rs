//! One unit, one transaction: checks that it continues the index, then writes all of it.
//!
//! Runs on the writer's thread alone. Nothing in memory changes before the transaction has committed.

use std::collections::HashMap;

use alloy_primitives::Address;
use rusqlite::{Connection, TransactionBehavior};

use super::chains::{self, ChainRow, Cursor};
use super::dictionary::{Dictionary, Kind};
use super::error::corrupt;
use super::feed_rows::{self, Entry};
use super::intern::Interner;
use super::rows::{self, int};
use super::{docs, parked, rewind, undo};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{CommitUnit, Recognised};
use crate::types::chain::{BlockRange, Proof};
use crate::types::feed::FeedStep;
use crate::types::log::LogView;

/// Participants with a column and an index of their own; further ones go to `participant_extra`. No
/// event of ERC-20, ERC-721 or an ERC-3643 token names more than three addresses.
pub(super) const PARTICIPANT_COLUMNS: usize = 3;

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
        let kinds = kinds(&self.connection, &unit.recognised, dictionary)?;
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

/// The kind of each recognition, looked up once per distinct recognition.
pub(super) fn kinds<'a>(
    connection: &Connection,
    recognised: impl IntoIterator<Item = &'a Recognised>,
    dictionary: &Dictionary,
) -> Result<Vec<Kind>, StoreError> {
    let mut seen: HashMap<(u16, Option<u32>), Kind> = HashMap::new();
    let mut kinds = Vec::new();
    for recognised in recognised {
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

/// What must hold of any unit, whatever is stored.
pub(super) fn check_shape(unit: &CommitUnit) -> Result<(), StoreError> {
    if unit.logs.len() != unit.recognised.len() {
        let text = format!("{} logs with {} recognitions", unit.logs.len(), unit.recognised.len());
        return Err(refuse(unit, &text, "one of each"));
    }
    for pair in unit.blocks.windows(2) {
        let (before, block) = (&pair[0].block, &pair[1].block);
        let linked = block.parent == before.hash || block.number > before.number.saturating_add(1);
        if block.number <= before.number || !(linked || block.parent.is_zero()) {
            let text = format!("block {} after block {}", block.number, before.number);
            return Err(refuse(unit, &text, "ascending, linked blocks"));
        }
    }
    if let Some(last) = unit.blocks.last() {
        let same = unit.cursor.number == last.block.number && unit.cursor.hash == last.block.hash;
        if !same && unit.cursor.number <= last.block.number {
            let text = format!("cursor {} with last block {}", unit.cursor, last.block.number);
            return Err(refuse(unit, &text, "a cursor at or behind the last block"));
        }
    }
    let mut blocks = unit.blocks.iter().peekable();
    let mut before = None;
    for log in unit.logs.iter() {
        let place = (log.head.block_number, log.head.log_index);
        while blocks.next_if(|block| block.block.number < place.0).is_some() {}
        let block = blocks.peek().filter(|block| {
            block.block.number == place.0 && block.block.hash == log.head.block_hash
        });
        if block.is_none() || before.is_some_and(|before| before >= place) {
            let text = format!("log {} of block {} ({})", place.1, place.0, log.head.block_hash);
            return Err(refuse(unit, &text, "logs in order, each of a block of the unit"));
        }
        before = Some(place);
    }
    Ok(())
}

fn refuse(unit: &CommitUnit, what: &str, expected: &str) -> StoreError {
    StoreError::NotContiguous {
        chain: unit.chain,
        unit: what.to_owned(),
        stored: expected.to_owned(),
    }
}

/// A unit in the making: the open transaction and the chain's row as it will be.
pub(super) struct Step<'a> {
    pub(super) connection: &'a Connection,
    pub(super) interner: &'a mut Interner,
    pub(super) chain: ChainRow,
    pub(super) seq: u64,
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
        self.check_contiguous(unit)?;
        if self.chain.rebuild.is_some() {
            let text = format!("block {}", unit.cursor.number);
            return Err(refuse(unit, &text, "documents that are being rebuilt"));
        }
        let low = match (self.chain.cursor, unit.blocks.first()) {
            (Some(cursor), _) => cursor.number.saturating_add(1),
            (None, Some(first)) => first.block.number,
            (None, None) => unit.cursor.number,
        };
        let advances = low <= unit.cursor.number;
        let committed = self.seq + u64::from(advances);
        self.write_blocks(unit, committed)?;
        self.write_logs(unit, kinds, dictionary)?;
        docs::write(self.connection, self.interner, self.chain.ordinal, &unit.docs)?;
        undo::write(self.connection, self.chain.ordinal, &unit.undo)?;
        parked::write(self.connection, self.chain.ordinal, &unit.parked)?;
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

    /// The unit continues what is stored: its first block is a child of the cursor.
    fn check_contiguous(&self, unit: &CommitUnit) -> Result<(), StoreError> {
        let Some(cursor) = self.chain.cursor else { return Ok(()) };
        let stored = || match self.chain.cursor_id() {
            Some(id) => format!("block {id}"),
            None => "no block".to_owned(),
        };
        if let Some(first) = unit.blocks.first() {
            let block = &first.block;
            let adjacent = block.number == cursor.number.saturating_add(1);
            let linked = match cursor.hash {
                Some(hash) if adjacent => block.parent == hash || block.parent.is_zero(),
                _ => true,
            };
            if block.number <= cursor.number || !linked {
                let text = format!("block {} with parent {}", block.number, block.parent);
                return Err(refuse(unit, &text, &stored()));
            }
            return Ok(());
        }
        let stays = unit.cursor.number == cursor.number
            && cursor.hash.is_none_or(|hash| hash == unit.cursor.hash);
        if unit.cursor.number < cursor.number || unit.cursor.number == cursor.number && !stays {
            return Err(refuse(unit, &format!("cursor {}", unit.cursor), &stored()));
        }
        Ok(())
    }

    pub(super) fn write_blocks(&mut self, unit: &CommitUnit, seq: u64) -> Result<(), StoreError> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO block(row, hash, timestamp, proof, seq, content, digest)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for commit in &unit.blocks {
            let block = &commit.block;
            insert.execute((
                rows::block_row(self.chain.ordinal, block.number)?,
                &block.hash[..],
                int(block.timestamp)?,
                commit.proof as u8,
                int(seq)?,
                commit.digest.as_ref().map(|digest| &digest.content[..]),
                commit.digest.as_ref().map(|digest| &digest.state[..]),
            ))?;
            if let Some(digest) = commit.digest {
                self.chain.digest = digest.state;
            }
            let first = *self.chain.first_block.get_or_insert(block.number);
            let next = self.chain.verified_through.map_or(first, |through| through + 1);
            if commit.proof != Proof::Unverified && block.number == next {
                self.chain.verified_through = Some(block.number);
            }
            self.chain.blocks += 1;
        }
        Ok(())
    }

    pub(super) fn write_logs(
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

    pub(super) fn write_extra(&self, row: i64, ids: &[i64]) -> Result<(), StoreError> {
        for id in ids {
            self.connection
                .prepare_cached("INSERT INTO participant_extra(addr, row) VALUES(?1, ?2)")?
                .execute((id, row))?;
        }
        Ok(())
    }

    pub(super) fn write_dead_letter(&mut self, row: i64, reason: &str) -> Result<(), StoreError> {
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
pub(super) fn stored_topics<'a>(
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

/// The addresses that take part in each log of a unit, in one list.
struct TakingPart {
    addresses: Vec<Address>,
    ends: Vec<usize>,
}

impl TakingPart {
    fn with_capacity(logs: usize) -> Self {
        Self { addresses: Vec::with_capacity(logs * 2), ends: Vec::with_capacity(logs) }
    }

    fn of(&self, index: usize) -> &[Address] {
        let end = self.ends.get(index).copied().unwrap_or_default();
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before).copied());
        self.addresses.get(start.unwrap_or_default()..end).unwrap_or_default()
    }
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
