//! The address book: every account and contract of a world, with what rendering needs of it ready
//! made: hex, bloom bits, topic hashes.
//!
//! Computed once from the seed. Knows nothing of blocks.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, Bloom, U256, keccak256};

use super::events::{Data, Kind, LogSpec, WIDE_BITS, Word};
use super::rng::Rng;

/// Numbers that often stand in a topic, with their bloom bits at hand: `true` and country codes.
const NUMBERS: [u64; 7] = [1, 40, 250, 276, 442, 756, 840];
/// Every tenth token counts in units of 2^100, so that amounts pass 128 bits.
const WIDE_EVERY: u32 = 10;

/// The three bits that one value sets in a bloom.
#[derive(Debug, Clone, Copy)]
struct Bits([u16; 3]);

impl Bits {
    fn of(value: &[u8]) -> Self {
        let hash = keccak256(value);
        Self([0, 2, 4].map(|at| u16::from_be_bytes([hash[at], hash[at + 1]]) & 0x7ff))
    }

    fn set(self, bloom: &mut Bloom) {
        for bit in self.0 {
            bloom.0.0[255 - usize::from(bit / 8)] |= 1 << (bit % 8);
        }
    }
}

#[derive(Debug)]
struct Party {
    address: Address,
    /// `,"0x` and 64 digits and `"`: the address as a topic in a list.
    topic_json: [u8; TOPIC_JSON],
    as_address: Bits,
    as_topic: Bits,
}

#[derive(Debug)]
struct Topic0 {
    hash: B256,
    json: String,
    bits: Bits,
}

/// Bytes of one topic in JSON, with the comma before it.
const TOPIC_JSON: usize = 69;

impl Party {
    fn new(address: Address) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut topic_json = [b'0'; TOPIC_JSON];
        topic_json[..4].copy_from_slice(b",\"0x");
        topic_json[TOPIC_JSON - 1] = b'"';
        for (pair, byte) in topic_json[28..68].chunks_exact_mut(2).zip(address.iter()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self {
            address,
            topic_json,
            as_address: Bits::of(address.as_slice()),
            as_topic: Bits::of(address.into_word().as_slice()),
        }
    }
}

/// Every account and contract. Places: 0 the zero account, 1 the agent, then tokens, registries,
/// compliance contracts, the two odd contracts, holders, identities.
#[derive(Debug)]
pub(super) struct Book {
    parties: Vec<Party>,
    by_address: HashMap<Address, u32>,
    contracts: u32,
    holders: u32,
    topic0: Vec<Option<Topic0>>,
    numbers: [Bits; NUMBERS.len()],
}

impl Book {
    pub(super) const ZERO: u32 = 0;
    pub(super) const AGENT: u32 = 1;

    pub(super) fn new(seed: u64, contracts: u32, holders: u32) -> Self {
        let count = 4 + 3 * contracts + 2 * holders;
        let parties: Vec<Party> = (0..count)
            .map(|place| match place {
                Self::ZERO => Party::new(Address::ZERO),
                _ => Party::new(Address::new(Rng::new(&[seed, 0xadd7, place.into()]).bytes())),
            })
            .collect();
        let by_address =
            parties.iter().zip(0..).map(|(party, place)| (party.address, place)).collect();
        let topic0 = Kind::ALL
            .iter()
            .map(|kind| {
                let hash = keccak256(kind.signature());
                let json = format!("\"{hash:?}\"");
                let topic0 = Topic0 { hash, json, bits: Bits::of(hash.as_slice()) };
                (*kind != Kind::Anonymous).then_some(topic0)
            })
            .collect();
        let numbers = NUMBERS.map(|value| Bits::of(&U256::from(value).to_be_bytes::<32>()));
        Self { parties, by_address, contracts, holders, topic0, numbers }
    }

    pub(super) fn contracts(&self) -> u32 {
        self.contracts
    }

    pub(super) fn holders(&self) -> u32 {
        self.holders
    }

    pub(super) fn token(&self, index: u32) -> u32 {
        2 + index
    }

    pub(super) fn registry(&self, index: u32) -> u32 {
        2 + self.contracts + index
    }

    pub(super) fn compliance(&self, index: u32) -> u32 {
        2 + 2 * self.contracts + index
    }

    pub(super) fn holder(&self, index: u32) -> u32 {
        self.emitters() + index
    }

    pub(super) fn identity(&self, index: u32) -> u32 {
        self.emitters() + self.holders + index
    }

    /// How many places from 0 on can emit logs (the zero account and the agent never do).
    pub(super) fn emitters(&self) -> u32 {
        4 + 3 * self.contracts
    }

    /// An ERC-721 contract.
    pub(super) fn nft(&self) -> u32 {
        2 + 3 * self.contracts
    }

    /// A token from before arguments were indexed.
    pub(super) fn plain_token(&self) -> u32 {
        3 + 3 * self.contracts
    }

    /// Which token a place is, if it is one.
    pub(super) fn token_index(&self, place: u32) -> Option<u32> {
        place.checked_sub(2).filter(|index| *index < self.contracts)
    }

    /// Which holder a place is, if it is one.
    pub(super) fn holder_index(&self, place: u32) -> Option<u32> {
        place.checked_sub(self.holder(0)).filter(|index| *index < self.holders)
    }

    pub(super) fn is_wide(&self, token: u32) -> bool {
        token % WIDE_EVERY == WIDE_EVERY - 1
    }

    /// A token's amount as the chain shows it.
    pub(super) fn amount(&self, token: u32, value: u128) -> U256 {
        if self.is_wide(token) { U256::from(value) << WIDE_BITS } else { U256::from(value) }
    }

    pub(super) fn find(&self, address: &Address) -> Option<u32> {
        self.by_address.get(address).copied()
    }

    pub(super) fn address(&self, place: u32) -> Address {
        self.party(place).address
    }

    fn party(&self, place: u32) -> &Party {
        &self.parties[place as usize]
    }

    /// The 40 hex digits of an address.
    pub(super) fn hex(&self, place: u32) -> &[u8] {
        &self.party(place).topic_json[28..68]
    }

    /// `,"0x…"`: the account as a topic in a list.
    pub(super) fn topic_json(&self, place: u32) -> &[u8] {
        &self.party(place).topic_json
    }

    pub(super) fn topic0(&self, kind: Kind) -> Option<&B256> {
        self.topic0[kind as usize].as_ref().map(|topic| &topic.hash)
    }

    /// Topic 0 as a JSON string, quotes included; empty when there is none.
    pub(super) fn topic0_json(&self, kind: Kind) -> &[u8] {
        self.topic0[kind as usize].as_ref().map_or(b"", |topic| topic.json.as_bytes())
    }

    pub(super) fn word(&self, word: Word) -> B256 {
        match word {
            Word::Party(place) => self.address(place).into_word(),
            Word::Number(value) => B256::from(U256::from(value)),
        }
    }

    /// The word that a topic of a filter asks for, if any simulated log can hold it.
    pub(super) fn find_word(&self, topic: &B256) -> Option<Word> {
        if topic[..12].iter().any(|byte| *byte != 0) {
            return None;
        }
        if topic[..24].iter().all(|byte| *byte == 0) {
            return topic[24..]
                .try_into()
                .ok()
                .map(|bytes| Word::number(u64::from_be_bytes(bytes)));
        }
        self.find(&Address::from_slice(&topic[12..])).map(Word::Party)
    }

    /// The country codes that registries name.
    pub(super) fn countries() -> &'static [u64] {
        &NUMBERS[1..]
    }

    /// Adds a log's bits to a bloom.
    pub(super) fn accrue(&self, log: &LogSpec, bloom: &mut Bloom) {
        self.party(log.emitter).as_address.set(bloom);
        if let Some(topic) = &self.topic0[log.kind as usize] {
            topic.bits.set(bloom);
        }
        for word in log.indexed() {
            match *word {
                Word::Party(place) => self.party(place).as_topic.set(bloom),
                Word::Number(value) => {
                    let at = NUMBERS.iter().position(|known| *known == value);
                    let made = || Bits::of(&U256::from(value).to_be_bytes::<32>());
                    at.map_or_else(made, |at| self.numbers[at]).set(bloom);
                }
            }
        }
    }

    /// Appends a log's data field.
    pub(super) fn write_data(&self, data: Data, out: &mut Vec<u8>) {
        match data {
            Data::Empty => {}
            Data::Amount { value, wide: false } => {
                out.extend_from_slice(&[0; 16]);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Data::Amount { value, wide: true } => {
                out.extend_from_slice(&(U256::from(value) << WIDE_BITS).to_be_bytes::<32>());
            }
            Data::PlainMint { to, value } => {
                out.extend_from_slice(&[0; 32]);
                out.extend_from_slice(self.address(to).into_word().as_slice());
                out.extend_from_slice(&U256::from(value).to_be_bytes::<32>());
            }
            Data::Word(word) => out.extend_from_slice(self.word(word).as_slice()),
            Data::TokenInfo { token } => self.write_token_info(token, out),
        }
    }

    /// `abi.encode(string name, string symbol, uint8 decimals, string version, address onchainId)`.
    fn write_token_info(&self, token: u32, out: &mut Vec<u8>) {
        let number = |value: usize| U256::from(value).to_be_bytes::<32>();
        let strings = [self.name(token), self.symbol(token), "3.5.2".to_owned()];
        let sizes = strings.each_ref().map(|text| 32 + text.len().div_ceil(32) * 32);
        let head = 5 * 32;
        out.extend_from_slice(&number(head));
        out.extend_from_slice(&number(head + sizes[0]));
        out.extend_from_slice(&number(usize::from(self.decimals(token))));
        out.extend_from_slice(&number(head + sizes[0] + sizes[1]));
        out.extend_from_slice(self.address(self.registry(token)).into_word().as_slice());
        for text in &strings {
            write_string(text, out);
        }
    }

    pub(super) fn name(&self, token: u32) -> String {
        format!("Simulated Security Token number {token}")
    }

    pub(super) fn symbol(&self, token: u32) -> String {
        format!("SIM{token}")
    }

    pub(super) fn decimals(&self, token: u32) -> u8 {
        [18, 6, 0, 18, 8][(token % 5) as usize]
    }
}

/// The tail part of an ABI string: length, bytes, padding.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&U256::from(text.len()).to_be_bytes::<32>());
    out.extend_from_slice(text.as_bytes());
    out.resize(out.len() + text.len().div_ceil(32) * 32 - text.len(), 0);
}

#[cfg(test)]
mod tests {
    use alloy_primitives::BloomInput;

    use super::*;

    #[test]
    fn bloom_bits_are_those_of_the_yellow_paper() {
        let book = Book::new(7, 3, 4);
        let words = [Word::Party(book.holder(2)), Word::Number(276), Word::Party(Book::ZERO)];
        let log = LogSpec::new(book.token(1), Kind::AddressFrozen, &words, Data::Empty);
        let (mut ours, mut theirs) = (Bloom::ZERO, Bloom::ZERO);
        book.accrue(&log, &mut ours);
        theirs.accrue(BloomInput::Raw(book.address(book.token(1)).as_slice()));
        theirs.accrue(BloomInput::Raw(book.topic0(Kind::AddressFrozen).expect("named").as_slice()));
        for word in words {
            theirs.accrue(BloomInput::Raw(book.word(word).as_slice()));
            assert_eq!(book.find_word(&book.word(word)), Some(word));
        }
        assert_eq!(ours, theirs);
    }

    #[test]
    fn places_do_not_overlap() {
        let book = Book::new(7, 3, 4);
        assert_eq!(book.token_index(book.token(2)), Some(2));
        assert_eq!(book.token_index(book.registry(0)), None);
        assert_eq!(book.holder_index(book.holder(3)), Some(3));
        assert_eq!(book.holder_index(book.identity(0)), None);
        assert_eq!(book.find(&book.address(book.compliance(2))), Some(book.compliance(2)));
        assert_eq!(book.emitters(), book.holder(0));
        assert_eq!(book.token_index(book.nft()), None);
        assert_eq!(book.plain_token() + 1, book.emitters());
    }
}
