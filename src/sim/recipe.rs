//! What happens in a block: every transaction and log follows from (seed, fork, height, index) alone,
//! so that any block can be made again at any time without its ancestors.
//!
//! Balances never go below zero although nothing is looked up: an eighth of all logs are mints that
//! walk over every (token, holder) pair in a fixed order, and only pairs that were served in an
//! earlier block may send. A mint is worth more than 2^30 of the largest transfers.
//! Knows nothing of hashes, RLP or JSON.

use super::book::Book;
use super::events::{Data, Kind, LogSpec, Word};
use super::rng::Rng;
use super::settings::Settings;

/// One mint in so many logs.
const MINT_EVERY: u64 = 8;
/// Transactions of a block hold so many logs each, in turn.
const LOGS_PER_TX: [u16; 4] = [1, 2, 3, 2];
/// Logs of a deployment when ERC-3643 events are on.
const DEPLOY_LOGS: u16 = 5;
/// Transfers stay below 2^60 and mints above 2^90.
const TRANSFER_BITS: u64 = 60;
const MINT_BASE: u128 = 1 << 90;

/// Where a transaction comes from. A fork can carry it into another block: it stays the same
/// transaction with the same hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TxOrigin {
    pub(super) number: u64,
    pub(super) fork: u32,
    pub(super) index: u16,
    pub(super) logs: u16,
}

/// What a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TxKind {
    Deploy,
    Issue,
    Call,
    /// Reverted: status 0, no logs.
    Failed,
    /// Native value between two accounts, no logs.
    Plain,
}

/// A generated transaction.
#[derive(Debug, Clone)]
pub(super) struct Tx {
    pub(super) origin: TxOrigin,
    pub(super) kind: TxKind,
    pub(super) from: u32,
    /// `None` deploys the token of the same index.
    pub(super) to: Option<u32>,
    pub(super) nonce: u64,
    pub(super) value: u64,
    pub(super) input: Vec<u8>,
    /// Halves of the (made up) signature.
    pub(super) signature: [[u8; 32]; 2],
    pub(super) gas_used: u64,
}

/// The rules by which blocks are made.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) seed: u64,
    pub(super) chain_id: u64,
    pub(super) book: Book,
    logs_per_block: u32,
    quiet_every: u64,
    /// Of logs that are not mints.
    transfer_rate: f64,
    erc3643_rate: f64,
    odd_rate: f64,
    erc3643: bool,
    genesis_timestamp: u64,
    block_time_ms: u64,
}

impl Recipe {
    pub(super) fn new(settings: &Settings) -> Self {
        let rest = 1.0 - 1.0 / MINT_EVERY as f64;
        let transfers = f64::from(settings.transfer_percent) / 100.0;
        let erc3643 = f64::from(settings.erc3643_percent) / 100.0;
        Self {
            seed: settings.seed,
            chain_id: settings.chain_id,
            book: Book::new(settings.seed, settings.contracts, settings.holders),
            logs_per_block: settings.logs_per_block,
            quiet_every: settings.quiet_every,
            transfer_rate: (transfers - 1.0 / MINT_EVERY as f64).max(0.0) / rest,
            erc3643_rate: erc3643 / rest,
            odd_rate: f64::from(settings.odd_percent) / 100.0 / rest,
            erc3643: settings.erc3643_percent > 0,
            genesis_timestamp: settings.genesis_timestamp,
            block_time_ms: u64::try_from(settings.block_time.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn timestamp(&self, number: u64) -> u64 {
        self.genesis_timestamp.saturating_add(number.saturating_mul(self.block_time_ms) / 1000)
    }

    fn is_quiet(&self, number: u64) -> bool {
        self.quiet_every > 0 && number.is_multiple_of(self.quiet_every)
    }

    /// Mints of all blocks below `number`, on every fork alike.
    fn mints_below(&self, number: u64) -> u64 {
        let regular = number.saturating_sub(2);
        let quiet = match number.saturating_sub(1).checked_div(self.quiet_every) {
            // Block 1 deploys even where every block is quiet.
            Some(quiet) => quiet - u64::from(self.quiet_every == 1 && quiet > 0),
            None => 0,
        };
        regular.saturating_sub(quiet) * u64::from(self.logs_per_block) / MINT_EVERY
    }

    /// The transactions that a block holds when no fork carries any into it. The first one of a
    /// regular block issues, and no fork may drop it (`is_issue`).
    pub(super) fn origins(&self, fork: u32, number: u64) -> Vec<TxOrigin> {
        let at = |index: u16, logs: u16| TxOrigin { number, fork, index, logs };
        if number == 0 || (number > 1 && self.is_quiet(number)) {
            return Vec::new();
        }
        if number == 1 {
            let logs = if self.erc3643 { DEPLOY_LOGS } else { 0 };
            let count = u16::try_from(self.book.contracts()).unwrap_or(u16::MAX);
            return (0..count).map(|index| at(index, logs)).collect();
        }
        let mints = self.mints_below(number + 1) - self.mints_below(number);
        let mints = u16::try_from(mints).unwrap_or(u16::MAX);
        let mut left = u16::try_from(self.logs_per_block).unwrap_or(u16::MAX) - mints;
        let mut out = Vec::with_capacity(usize::from(left / 2) + 4);
        out.push(at(0, mints));
        let mut index = 1u16;
        while left > 0 {
            let logs = LOGS_PER_TX[usize::from(index % 4)].min(left);
            out.push(at(index, logs));
            left -= logs;
            index += 1;
        }
        if number.is_multiple_of(4) {
            out.push(at(index, 0));
            out.push(at(index + 1, 0));
        }
        out
    }

    /// New transactions that a fork brings into a block that it inherits otherwise: the issue and
    /// one more.
    pub(super) fn fork_origins(&self, fork: u32, number: u64) -> Vec<TxOrigin> {
        let mut own = self.origins(fork, number);
        own.truncate(2);
        own
    }

    /// True for the transaction that issues at its height, on every fork.
    pub(super) fn is_issue(origin: &TxOrigin) -> bool {
        origin.number < 2 || origin.index == 0
    }

    fn kind(origin: &TxOrigin) -> TxKind {
        match (origin.number, origin.index, origin.logs) {
            (0 | 1, _, _) => TxKind::Deploy,
            (_, 0, _) => TxKind::Issue,
            (_, index, 0) if index % 2 == 0 => TxKind::Failed,
            (_, _, 0) => TxKind::Plain,
            _ => TxKind::Call,
        }
    }

    fn rng(&self, origin: &TxOrigin, purpose: u64) -> Rng {
        Rng::new(&[
            self.seed,
            origin.number,
            u64::from(origin.fork) << 16 | u64::from(origin.index),
            purpose,
        ])
    }

    /// Appends the logs of a transaction, exactly `origin.logs` of them.
    pub(super) fn logs(&self, origin: &TxOrigin, out: &mut Vec<LogSpec>) {
        match Self::kind(origin) {
            TxKind::Deploy if origin.logs > 0 => self.deploy_logs(origin, out),
            TxKind::Issue => self.issue_logs(origin, out),
            TxKind::Call => self.call_logs(origin, out),
            TxKind::Deploy | TxKind::Failed | TxKind::Plain => {}
        }
    }

    fn deploy_logs(&self, origin: &TxOrigin, out: &mut Vec<LogSpec>) {
        let (book, index) = (&self.book, u32::from(origin.index));
        let (token, registry) = (book.token(index), book.registry(index));
        let compliance = book.compliance(index);
        let one = |place| [Word::Party(place)];
        out.push(LogSpec::new(
            token,
            Kind::UpdatedTokenInformation,
            &[],
            Data::TokenInfo { token: index },
        ));
        out.push(LogSpec::new(token, Kind::IdentityRegistryAdded, &one(registry), Data::Empty));
        out.push(LogSpec::new(token, Kind::ComplianceAdded, &one(compliance), Data::Empty));
        let bound = Data::Word(Word::Party(token));
        out.push(LogSpec::new(compliance, Kind::TokenBound, &[], bound));
        out.push(LogSpec::new(token, Kind::AgentAdded, &one(Book::AGENT), Data::Empty));
    }

    fn issue_logs(&self, origin: &TxOrigin, out: &mut Vec<LogSpec>) {
        let mut rng = self.rng(origin, 1);
        let contracts = u64::from(self.book.contracts());
        let first = self.mints_below(origin.number);
        for mint in first..first + u64::from(origin.logs) {
            let token = u32::try_from(mint % contracts).unwrap_or(0);
            let holder = (mint / contracts) % u64::from(self.book.holders());
            let to = self.book.holder(u32::try_from(holder).unwrap_or(0));
            let value = MINT_BASE + u128::from(rng.next());
            out.push(self.transfer(token, Book::ZERO, to, value));
        }
    }

    fn call_logs(&self, origin: &TxOrigin, out: &mut Vec<LogSpec>) {
        let mut rng = self.rng(origin, 1);
        let funded = self.mints_below(origin.number);
        let mut forced = None;
        for left in (0..origin.logs).rev() {
            if let Some(log) = forced.take() {
                out.push(log);
                continue;
            }
            let dice = rng.next();
            let share = (dice >> 11) as f64 / (1u64 << 53) as f64;
            let log = if share < self.transfer_rate && funded > 0 {
                self.call_transfer(&mut rng, funded)
            } else if share < self.transfer_rate + self.erc3643_rate && self.erc3643 {
                self.control_log(&mut rng, left > 0, &mut forced)
            } else if 1.0 - share < self.odd_rate {
                let id = origin.number << 32 | u64::from(origin.index) << 8 | u64::from(left);
                self.odd_log(&mut rng, id << 4 | u64::from(origin.fork & 0xf), &mut forced)
            } else {
                self.approval(&mut rng)
            };
            out.push(log);
        }
    }

    fn call_transfer(&self, rng: &mut Rng, funded: u64) -> LogSpec {
        let contracts = u64::from(self.book.contracts());
        let token = rng.below(funded.min(contracts));
        let senders = (funded + contracts - 1 - token) / contracts;
        let sender = rng.below(senders.min(u64::from(self.book.holders())));
        let from = self.book.holder(u32::try_from(sender).unwrap_or(0));
        let dice = rng.below(256);
        let to = match dice {
            0..5 => Book::ZERO,
            5 => from,
            _ => self.book.holder(rng.index(self.book.holders())),
        };
        let value = if dice == 6 { 0 } else { rng.next() >> (64 - TRANSFER_BITS + rng.below(48)) };
        self.transfer(u32::try_from(token).unwrap_or(0), from, to, u128::from(value))
    }

    fn transfer(&self, token: u32, from: u32, to: u32, value: u128) -> LogSpec {
        let data = Data::Amount { value, wide: self.book.is_wide(token) };
        let parties = [Word::Party(from), Word::Party(to)];
        LogSpec::new(self.book.token(token), Kind::Transfer, &parties, data)
    }

    fn approval(&self, rng: &mut Rng) -> LogSpec {
        let token = rng.index(self.book.contracts());
        let owner = self.book.holder(rng.index(self.book.holders()));
        let spender = self.book.holder(rng.index(self.book.holders()));
        let value = if rng.below(4) == 0 { u128::MAX } else { u128::from(rng.next()) };
        let data = Data::Amount { value, wide: false };
        let parties = [Word::Party(owner), Word::Party(spender)];
        LogSpec::new(self.book.token(token), Kind::Approval, &parties, data)
    }

    /// A log that trips careless readers. `id` names an ERC-721 piece: minted here, moved by the
    /// next log if there is one.
    fn odd_log(&self, rng: &mut Rng, id: u64, forced: &mut Option<LogSpec>) -> LogSpec {
        let book = &self.book;
        let [first, second] =
            [0; 2].map(|_: u32| Word::Party(book.holder(rng.index(book.holders()))));
        let piece = Word::number(id);
        match rng.below(3) {
            0 => {
                let moved = [first, second, piece];
                *forced = Some(LogSpec::new(book.nft(), Kind::NftTransfer, &moved, Data::Empty));
                let minted = [Word::ZERO, first, piece];
                LogSpec::new(book.nft(), Kind::NftTransfer, &minted, Data::Empty)
            }
            1 => {
                let to = book.holder(rng.index(book.holders()));
                let data = Data::PlainMint { to, value: rng.next() >> 16 };
                LogSpec::new(book.plain_token(), Kind::PlainTransfer, &[], data)
            }
            _ => {
                let emitter = book.compliance(rng.index(book.contracts()));
                LogSpec::new(emitter, Kind::Anonymous, &[], Data::Word(first))
            }
        }
    }

    /// An ERC-3643 event. Tokens are unfrozen only by the log right after the one that froze them.
    fn control_log(
        &self,
        rng: &mut Rng,
        room_for_two: bool,
        forced: &mut Option<LogSpec>,
    ) -> LogSpec {
        let index = rng.index(self.book.contracts());
        let (token, registry) = (self.book.token(index), self.book.registry(index));
        let holder = rng.index(self.book.holders());
        let wallet = Word::Party(self.book.holder(holder));
        let identity = Word::Party(self.book.identity(holder));
        let agent = Word::Party(Book::AGENT);
        let wide = self.book.is_wide(index);
        let amount = |value: u64| Data::Amount { value: u128::from(value), wide };
        match rng.below(16) {
            0..5 => {
                let value = rng.next() >> 32;
                if room_for_two {
                    let half = amount(value / 2);
                    *forced = Some(LogSpec::new(token, Kind::TokensUnfrozen, &[wallet], half));
                }
                LogSpec::new(token, Kind::TokensFrozen, &[wallet], amount(value))
            }
            5..8 => {
                let frozen = Word::number(u64::from(rng.below(2) == 0));
                LogSpec::new(token, Kind::AddressFrozen, &[wallet, frozen, agent], Data::Empty)
            }
            8 => LogSpec::new(token, Kind::Paused, &[], Data::Word(agent)),
            9 => LogSpec::new(token, Kind::Unpaused, &[], Data::Word(agent)),
            10..13 => {
                let words = [wallet, identity];
                LogSpec::new(registry, Kind::IdentityRegistered, &words, Data::Empty)
            }
            13 => {
                let words = [wallet, identity];
                LogSpec::new(registry, Kind::IdentityRemoved, &words, Data::Empty)
            }
            _ => {
                let countries = Book::countries();
                let country = countries[rng.place(countries.len())];
                let words = [wallet, Word::number(country)];
                LogSpec::new(registry, Kind::CountryUpdated, &words, Data::Empty)
            }
        }
    }

    /// The transaction itself; `logs` are its own.
    pub(super) fn tx(&self, origin: TxOrigin, logs: &[LogSpec]) -> Tx {
        let kind = Self::kind(&origin);
        let mut rng = self.rng(&origin, 2);
        let first = logs.first();
        let holder = |rng: &mut Rng| self.book.holder(rng.index(self.book.holders()));
        let from = match (kind, first) {
            (TxKind::Deploy | TxKind::Issue, _) => Book::AGENT,
            (TxKind::Call, Some(log)) => match (log.kind, log.topics[0]) {
                (Kind::Transfer | Kind::Approval, Word::Party(place)) => place,
                _ => Book::AGENT,
            },
            _ => holder(&mut rng),
        };
        let to = match kind {
            TxKind::Deploy => None,
            TxKind::Plain => Some(holder(&mut rng)),
            _ => Some(first.map_or(self.book.token(0), |log| log.emitter)),
        };
        let mut signature = [rng.bytes::<32>(), rng.bytes::<32>()];
        signature.iter_mut().for_each(|half| half[0] = (half[0] & 0x3f) | 1);
        Tx {
            origin,
            kind,
            from,
            to,
            nonce: origin.number << 20
                | u64::from(origin.fork & 0xf) << 16
                | u64::from(origin.index),
            value: if kind == TxKind::Plain { rng.next() >> 8 } else { 0 },
            input: self.input(kind, logs),
            signature,
            gas_used: 21_000 + 2_000 * u64::from(origin.logs),
        }
    }

    /// Call data: real for single transfers and registrations, a batch selector otherwise.
    fn input(&self, kind: TxKind, logs: &[LogSpec]) -> Vec<u8> {
        let mut out = Vec::with_capacity(100);
        match (kind, logs) {
            (TxKind::Plain, _) => {}
            (TxKind::Deploy, _) => out.extend_from_slice(&[0x60, 0x80, 0x60, 0x40, 0x52]),
            (_, [LogSpec { kind: Kind::Transfer, topics, data, .. }]) => {
                out.extend_from_slice(&[0xa9, 0x05, 0x9c, 0xbb]);
                out.extend_from_slice(self.book.word(topics[1]).as_slice());
                self.book.write_data(*data, &mut out);
            }
            (_, [LogSpec { kind: Kind::IdentityRegistered, topics, .. }]) => {
                out.extend_from_slice(&[0x45, 0x4a, 0x03, 0xe0]);
                out.extend_from_slice(self.book.word(topics[0]).as_slice());
                out.extend_from_slice(self.book.word(topics[1]).as_slice());
                out.extend_from_slice(self.book.word(Word::number(756)).as_slice());
            }
            _ => out.extend_from_slice(&[0x1b, 0x5e, 0xed, 0x01]),
        }
        out
    }
}
