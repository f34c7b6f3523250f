//! The 32-byte words of topics and payloads: what each static type looks like in one, read in place.
//!
//! Strict about padding and never allocating. Knows no event and no JSON.

use alloy_primitives::{Address, B256, I256, U256};

use super::error::DecodeError;
use crate::types::log::LogView;

/// One topic or one slot of a payload.
pub type Word = [u8; 32];

/// Static types that fill one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WordKind {
    Address,
    Bool,
    /// Unsigned integer of this many bits.
    Uint(u16),
    /// Two's complement integer of this many bits.
    Int(u16),
    /// Left-aligned bytes.
    Bytes(u8),
}

impl WordKind {
    /// True when the padding is what an encoder writes for this type.
    #[inline]
    pub fn accepts(self, word: &Word) -> bool {
        match self {
            Self::Address => is_address(word),
            Self::Bool => is_bool(word),
            Self::Uint(bits) => is_uint(word, bits),
            Self::Int(bits) => is_int(word, bits),
            Self::Bytes(len) => is_bytes(word, len),
        }
    }
}

/// Twelve zero bytes in front.
#[inline]
pub fn is_address(word: &Word) -> bool {
    let (lead, _) = split(word);
    lead[0] == 0 && lead[1] >> 32 == 0
}

/// Zero or one.
#[inline]
pub fn is_bool(word: &Word) -> bool {
    let (lead, tail) = split(word);
    lead == [0, 0] && tail[0] == 0 && tail[1] <= 1
}

/// Nothing above the lowest `bits` bits.
#[inline]
pub fn is_uint(word: &Word, bits: u16) -> bool {
    let spare = 32usize.saturating_sub(usize::from(bits) / 8);
    word.iter().take(spare).all(|byte| *byte == 0)
}

/// Every bit above the lowest `bits` bits repeats the sign.
#[inline]
pub fn is_int(word: &Word, bits: u16) -> bool {
    let spare = 32usize.saturating_sub(usize::from(bits) / 8);
    let negative = word.get(spare).is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    word.iter().take(spare).all(|byte| *byte == fill)
}

/// Nothing behind the first `len` bytes.
#[inline]
pub fn is_bytes(word: &Word, len: u8) -> bool {
    word.iter().skip(usize::from(len)).all(|byte| *byte == 0)
}

/// The low 20 bytes.
#[inline]
pub fn address(word: &Word) -> Address {
    Address::from_word(B256::new(*word))
}

/// True for any non-zero word; [`is_bool`] has already refused what is neither.
#[inline]
pub fn boolean(word: &Word) -> bool {
    word[31] != 0
}

/// The whole word as an unsigned integer.
#[inline]
pub fn uint(word: &Word) -> U256 {
    U256::from_be_bytes(*word)
}

/// The whole word as a signed integer.
#[inline]
pub fn int(word: &Word) -> I256 {
    I256::from_be_bytes(*word)
}

/// The low 8 bytes; [`is_uint`] has already refused what does not fit.
#[inline]
pub fn uint64(word: &Word) -> u64 {
    split(word).1[1]
}

/// The word as an offset or length, if it fits one.
#[inline]
pub fn size(word: &Word) -> Result<usize, DecodeError> {
    let (lead, tail) = split(word);
    if lead != [0, 0] || tail[0] != 0 {
        return Err(DecodeError::Offset);
    }
    usize::try_from(tail[1]).map_err(|_| DecodeError::Offset)
}

/// The word at a byte offset of a payload.
#[inline]
pub fn at(data: &[u8], offset: usize) -> Result<&Word, DecodeError> {
    data.get(offset..).and_then(<[u8]>::first_chunk).ok_or(DecodeError::Offset)
}

/// Topics and payload of an event whose payload is exactly `WORDS` words.
#[inline]
pub(super) fn exact<'a, const WORDS: usize>(
    log: LogView<'a>,
    topics: u8,
) -> Result<(&'a [B256; 4], &'a [Word; WORDS]), DecodeError> {
    if log.head.topic_count != topics {
        return Err(DecodeError::TopicCount);
    }
    let (words, rest) = log.data.as_chunks::<32>();
    match words.try_into() {
        Ok(words) if rest.is_empty() => Ok((&log.head.topics, words)),
        _ => Err(DecodeError::DataLength),
    }
}

/// Topics and the first `WORDS` words of an event with a tail.
#[inline]
pub(super) fn at_least<'a, const WORDS: usize>(
    log: LogView<'a>,
    topics: u8,
) -> Result<(&'a [B256; 4], &'a [Word; WORDS]), DecodeError> {
    if log.head.topic_count != topics {
        return Err(DecodeError::TopicCount);
    }
    let head = log.data.as_chunks::<32>().0.first_chunk().ok_or(DecodeError::DataLength)?;
    Ok((&log.head.topics, head))
}

/// The bytes or string that a head word points at. Missing padding behind them is accepted: old
/// compilers left it out, and the content is the same.
#[inline]
pub(super) fn tail_bytes<'a>(data: &'a [u8], offset: &Word) -> Result<&'a [u8], DecodeError> {
    let start = size(offset)?;
    let len = size(at(data, start)?)?;
    let body = data.get(start..).and_then(|rest| rest.get(32..)).ok_or(DecodeError::Offset)?;
    body.get(..len).ok_or(DecodeError::Offset)
}

/// The array of one-word items that a head word points at.
#[inline]
pub(super) fn tail_words<'a>(
    data: &'a [u8],
    offset: &Word,
    kind: WordKind,
) -> Result<&'a [Word], DecodeError> {
    let start = size(offset)?;
    let len = size(at(data, start)?)?;
    let body = data.get(start..).and_then(|rest| rest.get(32..)).ok_or(DecodeError::Offset)?;
    let words = body.as_chunks::<32>().0.get(..len).ok_or(DecodeError::Offset)?;
    if words.iter().all(|word| kind.accepts(word)) { Ok(words) } else { Err(DecodeError::Padding) }
}

/// The word as four big-endian numbers: two for the upper half, two for the lower.
#[inline]
fn split(word: &Word) -> ([u64; 2], [u64; 2]) {
    let (parts, _) = word.as_chunks::<8>();
    let part = |index: usize| parts.get(index).map_or(0, |bytes| u64::from_be_bytes(*bytes));
    ([part(0), part(1)], [part(2), part(3)])
}
