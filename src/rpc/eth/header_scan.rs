//! A block object → header, hash and transaction hashes in one pass.
//!
//! Takes any key order, white space and unknown keys. What is unusual goes to `serde_json`, which decides.

use alloy_consensus::Header;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};

use crate::rpc::wire::cursor::{Cursor, Unusual};
use crate::rpc::wire::hex;

/// What a block object says that we use.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) header: Header,
    pub(super) hash: B256,
    pub(super) transactions: Transactions<'a>,
}

/// The transactions of a block: only hashes when they were asked for so.
#[derive(Debug)]
pub(super) enum Transactions<'a> {
    Hashes(Vec<B256>),
    /// The header came without a body, as `newHeads` pushes it.
    Absent,
    /// JSON of whole transactions.
    Whole(&'a [u8]),
}

/// Fields that every header has had from the first block on, and the block's hash.
const REQUIRED: u32 = (1 << 16) - 1;

/// Reads one block object.
pub(super) fn scan(json: &[u8]) -> Result<Block<'_>, Unusual> {
    let mut text = Cursor::new(json);
    let mut block =
        Block { header: Header::default(), hash: B256::ZERO, transactions: Transactions::Absent };
    let mut seen = 0u32;
    text.expect(b'{')?;
    loop {
        let key = text.key()?;
        let bit = value(&mut text, key, &mut block)?.map_or(0, |at| 1u32 << at);
        if seen & bit != 0 {
            return Err(Unusual);
        }
        seen |= bit;
        if !text.more(b'}')? {
            break;
        }
    }
    text.end()?;
    if seen & REQUIRED == REQUIRED { Ok(block) } else { Err(Unusual) }
}

/// Reads the value of `key` and says which field it was.
fn value<'a>(
    text: &mut Cursor<'a>,
    key: &[u8],
    block: &mut Block<'a>,
) -> Result<Option<u32>, Unusual> {
    let header = &mut block.header;
    let at = match key {
        b"hash" => return word(text, &mut block.hash, 0),
        b"parentHash" => return word(text, &mut header.parent_hash, 1),
        b"sha3Uncles" => return word(text, &mut header.ommers_hash, 2),
        b"stateRoot" => return word(text, &mut header.state_root, 3),
        b"transactionsRoot" => return word(text, &mut header.transactions_root, 4),
        b"receiptsRoot" => return word(text, &mut header.receipts_root, 5),
        b"mixHash" => return word(text, &mut header.mix_hash, 6),
        b"number" => return number(text, &mut header.number, 7),
        b"gasLimit" => return number(text, &mut header.gas_limit, 8),
        b"gasUsed" => return number(text, &mut header.gas_used, 9),
        b"timestamp" => return number(text, &mut header.timestamp, 10),
        b"miner" => {
            header.beneficiary = Address::new(text.fixed()?);
            11
        }
        b"logsBloom" => {
            header.logs_bloom = Bloom::new(text.fixed()?);
            12
        }
        b"difficulty" => {
            header.difficulty = U256::from(text.quantity()?);
            13
        }
        b"extraData" => {
            header.extra_data = bytes(text)?;
            14
        }
        b"nonce" => {
            header.nonce = B64::new(text.fixed()?);
            15
        }
        b"transactions" => {
            block.transactions = transactions(text)?;
            16
        }
        _ => return later(text, key, header),
    };
    Ok(Some(at))
}

/// Fields that forks added, and everything else.
fn later(text: &mut Cursor<'_>, key: &[u8], header: &mut Header) -> Result<Option<u32>, Unusual> {
    let at = match key {
        b"baseFeePerGas" => {
            header.base_fee_per_gas = text.nullable(Cursor::quantity)?;
            17
        }
        b"withdrawalsRoot" => {
            header.withdrawals_root = text.nullable(Cursor::fixed)?.map(B256::new);
            18
        }
        b"blobGasUsed" => {
            header.blob_gas_used = text.nullable(Cursor::quantity)?;
            19
        }
        b"excessBlobGas" => {
            header.excess_blob_gas = text.nullable(Cursor::quantity)?;
            20
        }
        b"parentBeaconBlockRoot" => {
            header.parent_beacon_block_root = text.nullable(Cursor::fixed)?.map(B256::new);
            21
        }
        b"requestsHash" => {
            header.requests_hash = text.nullable(Cursor::fixed)?.map(B256::new);
            22
        }
        b"blockAccessListHash" => {
            header.block_access_list_hash = text.nullable(Cursor::fixed)?.map(B256::new);
            23
        }
        b"slotNumber" => {
            header.slot_number = text.nullable(Cursor::quantity)?;
            24
        }
        // Other names of two fields: `serde_json` knows what to do when both are there.
        b"ommersHash" | b"beneficiary" => return Err(Unusual),
        _ => {
            text.value()?;
            return Ok(None);
        }
    };
    Ok(Some(at))
}

fn word(text: &mut Cursor<'_>, into: &mut B256, at: u32) -> Result<Option<u32>, Unusual> {
    *into = B256::new(text.fixed()?);
    Ok(Some(at))
}

fn number(text: &mut Cursor<'_>, into: &mut u64, at: u32) -> Result<Option<u32>, Unusual> {
    *into = text.quantity()?;
    Ok(Some(at))
}

fn bytes(text: &mut Cursor<'_>) -> Result<Bytes, Unusual> {
    let digits = text.string()?;
    let mut out = vec![0; hex::bytes_len(digits).ok_or(Unusual)?];
    let whole = hex::decode(digits.get(2..).ok_or(Unusual)?, &mut out);
    if whole { Ok(out.into()) } else { Err(Unusual) }
}

fn transactions<'a>(text: &mut Cursor<'a>) -> Result<Transactions<'a>, Unusual> {
    let start = text.clone();
    let mut hashes = Vec::new();
    let mut more = text.open(b'[', b']')?;
    if more && text.peek()? != b'"' {
        *text = start;
        return Ok(Transactions::Whole(text.value()?));
    }
    while more {
        hashes.push(B256::new(text.fixed()?));
        more = text.more(b']')?;
    }
    Ok(Transactions::Hashes(hashes))
}
