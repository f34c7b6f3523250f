//! Raw data replaced, and documents built again from it, one transaction a step.
//!
//! The raw rows are moved by `amend` alone; a rebuild changes what they are called, not what they say.

use rusqlite::{Connection, TransactionBehavior};

use super::chains;
use super::commit::{
    Committer, PARTICIPANT_COLUMNS, Step, chain_at, check_shape, kinds, stored_topics,
};
use super::dictionary::{Dictionary, Kind};
use super::error::corrupt;
use super::records::{self, COLUMNS, TABLES};
use super::rows::{self, int, uint};
use super::{docs, parked, raw_logs, undo};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{
    AmendUnit, CommitMode, CommitUnit, Coverage, Rebuild, RebuildUnit, Recognised,
};
use crate::types::chain::{BlockId, Proof};
use crate::types::event::Position;

impl Committer {
    /// See `Store::begin_rebuild`.
    pub(super) fn begin_rebuild(&mut self, at: usize) -> Result<(), StoreError> {
        self.transact(at, |step| {
            let chain = step.chain.ordinal;
            keep_words(step.connection, chain)?;
            drop_documents(step.connection, chain)?;
            parked::write(step.connection, chain, &[])?;
            step.chain.rebuild = Some(Rebuild::From(0));
            Ok(())
        })
    }

    /// See `Store::rebuild`.
    pub(super) fn rebuild(
        &mut self,
        unit: &RebuildUnit,
        dictionary: &Dictionary,
    ) -> Result<(), StoreError> {
        let at = chain_at(&self.chains, unit.chain)?;
        if !matches!(self.chains[at].rebuild, Some(Rebuild::From(_))) {
            return Err(corrupt("a step of a rebuild that was not begun"));
        }
        let recognised = unit.recognised.iter().map(|(_, recognised)| recognised);
        let kinds = kinds(&self.connection, recognised, dictionary)?;
        self.transact(at, |step| {
            let chain = step.chain.ordinal;
            for ((position, recognised), kind) in unit.recognised.iter().zip(&kinds) {
                step.rename(*position, recognised, kind, dictionary)?;
            }
            for (number, digest) in &unit.digests {
                let content = digest.as_ref().map(|digest| &digest.content[..]);
                let state = digest.as_ref().map(|digest| &digest.state[..]);
                step.connection
                    .prepare_cached("UPDATE block SET content = ?2, digest = ?3 WHERE row = ?1")?
                    .execute((rows::block_row(chain, *number)?, content, state))?;
                step.chain.digest = digest.map_or(step.chain.digest, |digest| digest.state);
            }
            docs::write(step.connection, step.interner, chain, &unit.docs)?;
            undo::write(step.connection, chain, &unit.undo)?;
            parked::write(step.connection, chain, &unit.parked)?;
            step.chain.rebuild = unit.next.map(Rebuild::From);
            if unit.next.is_none() {
                give_words_back(step.connection, chain)?;
                let cursor = step.chain.cursor.map_or(0, |cursor| cursor.number);
                step.chain.digest = raw_logs::digest_at(step.connection, chain, cursor)?;
                step.recount()?;
            }
            Ok(())
        })
    }

    /// See `Store::amend`.
    pub(super) fn amend(
        &mut self,
        unit: &AmendUnit,
        dictionary: &Dictionary,
    ) -> Result<(), StoreError> {
        let at = chain_at(&self.chains, unit.chain)?;
        let kinds = kinds(&self.connection, &unit.recognised, dictionary)?;
        let shaped = shaped(unit);
        if let Some(unit) = &shaped {
            check_shape(unit)?;
            let cursor = self.chains[at].cursor.map(|cursor| cursor.number);
            if cursor.is_none_or(|cursor| cursor < unit.cursor.number) {
                return Err(corrupt("a block above the cursor cannot be amended"));
            }
        }
        self.transact(at, |step| {
            if let Some(shaped) = &shaped {
                step.replace(shaped, &kinds, dictionary)?;
                step.chain.rebuild = Some(Rebuild::Due);
            }
            for coverage in &unit.coverage {
                put_coverage(step.connection, step.chain.ordinal, coverage)?;
            }
            Ok(())
        })
    }

    /// See `Store::cover`.
    pub(super) fn cover(&mut self, at: usize, coverage: &[Coverage]) -> Result<(), StoreError> {
        self.transact(at, |step| {
            for coverage in coverage {
                put_coverage(step.connection, step.chain.ordinal, coverage)?;
            }
            Ok(())
        })
    }

    /// One transaction on one chain; nothing in memory changes unless it has committed.
    fn transact(
        &mut self,
        at: usize,
        change: impl FnOnce(&mut Step<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.interner.begin();
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut step = Step {
            connection: &tx,
            interner: &mut self.interner,
            chain: self.chains[at].clone(),
            seq: self.seq,
        };
        let changed = change(&mut step).and_then(|()| chains::save(step.connection, &step.chain));
        let chain = step.chain;
        match changed.and_then(|()| tx.commit().map_err(StoreError::from)) {
            Ok(()) => {
                self.chains[at] = chain;
                Ok(())
            }
            Err(error) => {
                self.interner.forget();
                Err(error)
            }
        }
    }
}

impl Step<'_> {
    /// Gives a stored log another kind, if it is not of this one already.
    fn rename(
        &mut self,
        position: Position,
        recognised: &Recognised,
        kind: &Kind,
        dictionary: &Dictionary,
    ) -> Result<(), StoreError> {
        let row = rows::pack(self.chain.ordinal, position.block, position.log_index)?;
        let found: i64 = self
            .connection
            .prepare_cached("SELECT kind FROM log WHERE row = ?1")?
            .query_row([row], |row| row.get(0))?;
        if found == kind.id {
            return Ok(());
        }
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.row = ?1");
        let stored = self
            .connection
            .prepare_cached(&sql)?
            .query_row([row], |row| Ok(records::read(self.connection, dictionary, row)))??;
        let log = stored.raw.get(0).ok_or_else(|| corrupt("a log without its raw form"))?;
        let mut addresses = Vec::new();
        if let Some(local) = kind.layout.as_ref().and_then(|layout| layout.local) {
            dictionary.args().participants(local, log, &mut addresses);
        }
        let mut ids: Vec<i64> = Vec::new();
        for address in &addresses {
            let id = self.interner.id(self.connection, address)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let column = |n: usize| ids.get(n).copied();
        let mut room = [0u8; 128];
        self.connection
            .prepare_cached(
                "UPDATE log SET kind = ?2, p0 = ?3, p1 = ?4, p2 = ?5, topics = ?6 WHERE row = ?1",
            )?
            .execute((
                row,
                kind.id,
                column(0),
                column(1),
                column(2),
                stored_topics(log, kind, &mut room)?,
            ))?;
        self.forget_extras(row, row)?;
        self.write_extra(row, ids.get(PARTICIPANT_COLUMNS..).unwrap_or_default())?;
        match recognised {
            Recognised::Undecoded { reason, .. } => self.write_dead_letter(row, reason),
            Recognised::Event { .. } => {
                self.chain.events += 1;
                Ok(())
            }
        }
    }

    /// Drops what hangs on the logs of rows `low` to `high`, and takes them out of the counts of events
    /// and dead letters. Each is put back by who calls.
    fn forget_extras(&mut self, low: i64, high: i64) -> Result<(), StoreError> {
        let delete = |table: &str| -> Result<u64, StoreError> {
            let sql = format!("DELETE FROM {table} WHERE row >= ?1 AND row <= ?2");
            let gone = self.connection.prepare_cached(&sql)?.execute((low, high))?;
            uint(i64::try_from(gone).map_err(corrupt)?)
        };
        delete("participant_extra")?;
        let undecoded = delete("dead_letter")?;
        let logs: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM log WHERE row >= ?1 AND row <= ?2")?
            .query_row((low, high), |row| row.get(0))?;
        let events = uint(logs)?.saturating_sub(undecoded);
        self.chain.events = self.chain.events.saturating_sub(events);
        self.chain.undecoded = self.chain.undecoded.saturating_sub(undecoded);
        Ok(())
    }

    /// Counts what is there: rows that vanished without us left the counts too high.
    fn recount(&mut self) -> Result<(), StoreError> {
        let chain = self.chain.ordinal;
        let bounds = (rows::block_row(chain, 0)?, rows::block_end(chain, u64::MAX));
        let count = |table: &str| -> Result<u64, StoreError> {
            let sql = format!("SELECT count(*) FROM {table} WHERE row >= ?1 AND row <= ?2");
            uint(self.connection.query_row(&sql, bounds, |row| row.get(0))?)
        };
        let (blocks, logs, undecoded) = (count("block")?, count("log")?, count("dead_letter")?);
        self.chain.blocks = blocks;
        self.chain.logs = logs;
        self.chain.undecoded = undecoded;
        self.chain.events = logs.saturating_sub(undecoded);
        Ok(())
    }

    /// Puts the unit's blocks in place of those of the same numbers.
    fn replace(
        &mut self,
        unit: &CommitUnit,
        kinds: &[Kind],
        dictionary: &Dictionary,
    ) -> Result<(), StoreError> {
        let through = self.chain.verified_through;
        let mut seqs = Vec::with_capacity(unit.blocks.len());
        for commit in &unit.blocks {
            let number = commit.block.number;
            let low = rows::block_row(self.chain.ordinal, number)?;
            let high = rows::block_end(self.chain.ordinal, number);
            seqs.push(self.seq_of(number)?);
            self.forget_extras(low, high)?;
            let logs = self
                .connection
                .prepare_cached("DELETE FROM log WHERE row >= ?1 AND row <= ?2")?
                .execute((low, high))?;
            let logs = uint(i64::try_from(logs).map_err(corrupt)?)?;
            self.chain.logs = self.chain.logs.saturating_sub(logs);
            let blocks = self
                .connection
                .prepare_cached("DELETE FROM block WHERE row = ?1")?
                .execute([low])?;
            self.chain.blocks = self.chain.blocks.saturating_sub(blocks as u64);
        }
        self.write_blocks(unit, 0)?;
        for (commit, seq) in unit.blocks.iter().zip(seqs) {
            let row = rows::block_row(self.chain.ordinal, commit.block.number)?;
            self.connection
                .prepare_cached("UPDATE block SET seq = ?2 WHERE row = ?1")?
                .execute((row, seq))?;
            let first = self.chain.first_block.map_or(commit.block.number, |first| first);
            self.chain.first_block = Some(first.min(commit.block.number));
        }
        self.write_logs(unit, kinds, dictionary)?;
        let lowest = unit.blocks.first().map_or(0, |commit| commit.block.number);
        self.chain.verified_through = through;
        self.prove_again(lowest)
    }

    /// The feed entry that told of a block: its own, or that of the stored block below.
    fn seq_of(&self, number: u64) -> Result<i64, StoreError> {
        let (low, high) =
            (rows::block_row(self.chain.ordinal, 0)?, rows::block_row(self.chain.ordinal, number)?);
        let mut select = self.connection.prepare_cached(
            "SELECT seq FROM block WHERE row >= ?1 AND row <= ?2 ORDER BY row DESC LIMIT 1",
        )?;
        let mut found = select.query((low, high))?;
        Ok(found.next()?.map(|row| row.get(0)).transpose()?.unwrap_or(0))
    }

    /// `verified_through` anew, after the block `changed` and others above it got other proofs.
    fn prove_again(&mut self, changed: u64) -> Result<(), StoreError> {
        let Some(first) = self.chain.first_block else { return Ok(()) };
        let from = match self.chain.verified_through {
            Some(through) => (through + 1).min(changed).max(first),
            None => first,
        };
        let ordinal = self.chain.ordinal;
        let mut select = self.connection.prepare_cached(
            "SELECT row, proof FROM block WHERE row >= ?1 AND row <= ?2 ORDER BY row",
        )?;
        let bounds = (rows::block_row(ordinal, from)?, rows::block_end(ordinal, u64::MAX));
        let mut found = select.query(bounds)?;
        let mut next = from;
        while let Some(row) = found.next()? {
            let number = rows::unpack(row.get(0)?).block;
            if number != next || Proof::from_u8(row.get(1)?) == Proof::Unverified {
                break;
            }
            next += 1;
        }
        self.chain.verified_through = next.checked_sub(1).filter(|through| *through >= first);
        Ok(())
    }
}

/// The raw part of an amendment in the shape that the writer of blocks and logs knows.
fn shaped(unit: &AmendUnit) -> Option<CommitUnit> {
    let cursor = BlockId::from(&unit.blocks.last()?.block);
    Some(CommitUnit {
        chain: unit.chain,
        mode: CommitMode::Live,
        rewind_to: None,
        blocks: unit.blocks.clone(),
        logs: unit.logs.clone(),
        recognised: unit.recognised.clone(),
        docs: Vec::new(),
        undo: Vec::new(),
        cursor,
        finalized: None,
        parked: Vec::new(),
    })
}

const OF_CHAIN: &str = "(SELECT id FROM asset WHERE chain = ?1)";

/// What tokens said of themselves outlives their documents.
fn keep_words(connection: &Connection, chain: u8) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT OR REPLACE INTO token_words(asset, name, symbol, decimals)
         SELECT asset, name, symbol, decimals FROM token
         WHERE has_metadata = 1 AND asset IN {OF_CHAIN}"
    );
    connection.execute(&sql, [chain])?;
    Ok(())
}

fn give_words_back(connection: &Connection, chain: u8) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE token SET name = w.name, symbol = w.symbol, decimals = w.decimals, has_metadata = 1
         FROM token_words w WHERE w.asset = token.asset AND token.asset IN {OF_CHAIN}"
    );
    connection.execute(&sql, [chain])?;
    connection.execute(&format!("DELETE FROM token_words WHERE asset IN {OF_CHAIN}"), [chain])?;
    Ok(())
}

fn drop_documents(connection: &Connection, chain: u8) -> Result<(), StoreError> {
    connection.execute(&format!("DELETE FROM holding WHERE row >> 40 IN {OF_CHAIN}"), [chain])?;
    connection.execute(&format!("DELETE FROM token WHERE asset IN {OF_CHAIN}"), [chain])?;
    let registries = (rows::chain_address(chain, 0)?, rows::chain_address(chain + 1, 0)?);
    connection
        .execute("DELETE FROM identity WHERE registry >= ?1 AND registry < ?2", registries)?;
    undo::prune(connection, chain, None, u64::MAX)
}

fn put_coverage(connection: &Connection, chain: u8, coverage: &Coverage) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO coverage(chain, source, through) VALUES(?1, ?2, ?3)",
        )?
        .execute((chain, &coverage.source[..], coverage.through.map(int).transpose()?))?;
    Ok(())
}

/// See `Store::coverage`.
pub(super) fn coverage(connection: &Connection, chain: u8) -> Result<Vec<Coverage>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT source, through FROM coverage WHERE chain = ?1")?;
    let mut found = select.query([chain])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        list.push(Coverage {
            source: rows::hash(row.get_ref(0)?.as_blob().map_err(corrupt)?)?,
            through: row.get::<_, Option<i64>>(1)?.map(uint).transpose()?,
        });
    }
    Ok(list)
}
