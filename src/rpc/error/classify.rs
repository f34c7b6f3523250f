//! The table from the words of providers to error classes; first match wins.
//!
//! A pattern is literal lower-case text in which `#` stands for a number (decimal with `,` `_` or a
//! trailing `k`, or `0x` hex) and `*` for a short stretch of anything. No regular expressions: the
//! table stays readable and a hostile text cannot make it slow.

use std::time::Duration;

use super::ErrorClass;
use crate::types::chain::BlockRange;

/// Bytes of a text that are looked at: every known message says its thing within them.
const TEXT_BYTES_MAX: usize = 2048;
/// Bytes that a `*` may stand for.
const GAP_BYTES_MAX: usize = 160;

/// What a row says about the class, before numbers are filled in.
#[derive(Debug, Clone, Copy)]
enum Row {
    Suggested,
    /// The last number of the pattern is the cap.
    Cap,
    /// A cap without a number.
    CapUnknown,
    Density,
    Size,
    Time,
    Filter,
    NotYet,
    Pruned,
    Rate,
    Billing,
    Overload,
    Unsupported,
    Execution,
    Denied,
}

/// Order matters: answers of the EVM first, then ranges (their texts mention plans and limits), then
/// counts, sizes and times, then what the provider has, then what it allows.
const TABLE: &[(Row, &[&str])] = &[
    (
        Row::Execution,
        &[
            "execution reverted",
            "vm execution error",
            "revert",
            "out of gas",
            "invalid opcode",
            "stack underflow",
            "stack overflow",
            "invalid jump",
            "gas required exceeds allowance",
            "already known",
            "known transaction",
            "alreadyknown",
            "already imported",
            "nonce too low",
            "nonce too high",
            "nonce is too low",
            "invalid nonce",
            "insufficient funds",
            "insufficient balance",
            "intrinsic gas too low",
            "transaction underpriced",
            "replacement transaction",
            "max fee per gas less than",
            "max priority fee per gas higher",
            "exceeds block gas limit",
            "gas limit reached",
            "tx fee * exceeds the configured cap",
            "invalid sender",
            "invalid signature",
            "invalid chain id for signer",
            "oversized data",
            "txpool is full",
            "contract creation code storage out of gas",
            "max initcode size exceeded",
        ],
    ),
    (
        Row::Suggested,
        &[
            "this block range should work: [#, #]",
            "this block range should work: [#,#]",
            "try with this block range [#, #]",
            "try with this block range [#,#]",
            "retry with the range #-#",
        ],
    ),
    (
        Row::Cap,
        &[
            "up to a # block range",
            "up to # block",
            "limited to a # block",
            "limited to # block",
            "limited to # - # blocks range",
            "limited to 0 - # blocks range",
            "range # exceeds limit of #",
            "range # is bigger than range limit #",
            "range * exceeds limit of #",
            "exceed maximum block range: #",
            "exceed maximum block range #",
            "exceeds maximum block range: #",
            "exceeds max block range #",
            "exceed max block range #",
            "exceeds max block range: #",
            "exceed max block range: #",
            "larger than max block range, block range = #, max block range = #",
            "maximum block range: #",
            "max block range: #",
            "maximum range: #",
            "max range: #",
            "max block range is #",
            "maximum block range is #",
            "max range is #",
            "max is # block",
            "max is # blocks",
            "maximum allowed is # blocks",
            "maximum is set to #",
            "block range too large * maximum #",
            "block range too wide * maximum #",
            "block range is too wide (maximum #)",
            "block range too large (maximum #)",
            "block range exceeds #",
            "block range limit exceeded * #",
            "block range greater than # max",
            "range allowed for your plan (# > #)",
            "ranges over # blocks are not supported on free",
            "limit the query to at most # blocks",
            "maximum allowed number of requested blocks is #",
            "maximum [from, to] blocks distance: #",
            "must be smaller than size #",
            "query block range exceeds server limit*# > #",
            "query block range exceeds server limit*#",
            "range threshold exceeded * #",
        ],
    ),
    (
        Row::CapUnknown,
        &[
            "block range is too large",
            "block range too large",
            "block range is too wide",
            "block range too wide",
            "block range is too high",
            "block range too high",
            "block range limit exceeded",
            "range threshold exceeded",
            "requested range exceeds maximum * range limit",
            "query block range exceeds server limit",
            "exceeds the range allowed",
            "exceed maximum block range",
            "exceeds max block range",
        ],
    ),
    (
        Row::Density,
        &[
            "query returned more than # results",
            "query returned more than",
            "more than # logs",
            "# logs returned",
            "logs matched by query exceeds limit of #",
            "query returns too many logs",
            "query exceeds max results",
            "too many results",
            "try paginating",
            "too many logs",
        ],
    ),
    (
        Row::Size,
        &[
            "response is too large",
            "response is too big",
            "response too large",
            "response too big",
            "response size is too large",
            "response size too large",
            "response size exceeded",
            "is too big * exceeded max limit of #",
            "exceeded max limit of #",
            "response size should not be greater",
            "log response size exceeded",
            "backend response too large",
            "response size is larger",
        ],
    ),
    (
        Row::Time,
        &[
            "query timeout exceeded",
            "execution timeout",
            "context deadline",
            "took longer than",
            "request timed out",
            "request timeout",
            "query timed out",
            "timeout exceeded",
            "execution aborted (timeout",
        ],
    ),
    (
        Row::Filter,
        &[
            "exceed max addresses",
            "exceed max topics",
            "specify less number of address",
            "contains # filters. the current limit is #",
            "too many addresses",
            "too many topics",
        ],
    ),
    (
        Row::NotYet,
        &[
            "block range extends beyond current head",
            "after last accepted block",
            "cannot query unfinalized data",
            "one of the blocks specified in filter * cannot be found",
            "block * could not be found",
            "header not found",
            "unknown block",
            "invalid block height",
            "height is not available",
            "block not found",
            "block is not available",
            "header for hash not found",
            "blockoutofrange",
            "block out of range",
        ],
    ),
    (
        Row::Pruned,
        &[
            "history pruned",
            "missing trie node",
            "pruned",
            "state is not available",
            "state not available",
            "historical state",
            "base height",
            "archive",
            "old data not available",
            "distance to target block exceeds maximum proof window",
            "required historical state unavailable",
        ],
    ),
    (
        Row::Rate,
        &[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "too many requests",
            "request limit reached",
            "credits limited",
            "compute units",
            "exceeded the quota",
            "exceeded its compute",
            "throughput limit",
            "requests per second",
            "request count exceeded",
            "call rate",
            "too many concurrent requests",
        ],
    ),
    (
        Row::Billing,
        &[
            "monthly capacity",
            "free tier",
            "current plan",
            "/billing",
            "payment required",
            "capacity limit exceeded",
            "upgrade your plan",
            "quota exhausted",
        ],
    ),
    (
        Row::Overload,
        &[
            "no backend is currently healthy",
            "no server available",
            "under too much load",
            "system overloaded",
            "server is busy",
            "server overloaded",
            "service unavailable",
            "no available nodes",
            "temporarily unavailable",
        ],
    ),
    (
        Row::Unsupported,
        &[
            "method not found",
            "method not whitelisted",
            "not whitelisted",
            "is disabled",
            "method not supported",
            "unsupported method",
            "method not available",
            "method does not exist",
            "does not exist/is not available",
            "not available in freetier",
            "method is not available",
            "notifications not supported",
            "not implemented",
        ],
    ),
    (
        Row::Denied,
        &[
            "invalid api key",
            "unauthorized",
            "must be authenticated",
            "forbidden",
            "invalid project id",
            "origin not allowed",
        ],
    ),
];

/// The class of a node's words, code and HTTP status. A bare -32005 says nothing: providers use it
/// for result caps as much as for rates.
pub(super) fn classify(
    code: Option<i64>,
    status: Option<(u16, Option<Duration>)>,
    text: &str,
) -> ErrorClass {
    if code == Some(3) {
        return ErrorClass::Execution;
    }
    let after = status.and_then(|(_, after)| after);
    let lower = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text).to_lowercase();
    // Our own request limit by status outranks words: a 429 page often advertises a plan.
    if status.is_some_and(|(status, _)| status == 429) && !says_range(&lower) {
        return ErrorClass::RateLimited { after };
    }
    for (row, patterns) in TABLE {
        for pattern in *patterns {
            if let Some(numbers) = find(pattern, &lower) {
                return class_of(*row, &numbers, after);
            }
        }
    }
    by_status(status).or_else(|| by_code(code)).unwrap_or(ErrorClass::Unknown)
}

fn says_range(lower: &str) -> bool {
    TABLE.iter().any(|(row, patterns)| {
        matches!(row, Row::Suggested | Row::Cap | Row::CapUnknown | Row::Density)
            && patterns.iter().any(|pattern| find(pattern, lower).is_some())
    })
}

fn class_of(row: Row, numbers: &[u64], after: Option<Duration>) -> ErrorClass {
    match row {
        Row::Suggested => {
            let suggested = match numbers {
                [from, to, ..] if from <= to => Some(BlockRange { from: *from, to: *to }),
                // Seen at Alchemy: an inverted pair. It suggests nothing.
                _ => None,
            };
            ErrorClass::RangeTooWide { cap: None, suggested }
        }
        Row::Cap => {
            let cap = numbers.last().copied().filter(|cap| *cap > 0);
            ErrorClass::RangeTooWide { cap, suggested: None }
        }
        Row::CapUnknown => ErrorClass::RangeTooWide { cap: None, suggested: None },
        Row::Density => ErrorClass::TooManyResults,
        Row::Size => ErrorClass::ResponseTooLarge,
        Row::Time => ErrorClass::Timeout,
        Row::Filter => ErrorClass::FilterTooWide,
        Row::NotYet => ErrorClass::NotYet,
        Row::Pruned => ErrorClass::Pruned,
        Row::Rate => ErrorClass::RateLimited { after },
        Row::Billing => ErrorClass::Billing,
        Row::Overload => ErrorClass::Overload,
        Row::Unsupported => ErrorClass::Unsupported,
        Row::Execution => ErrorClass::Execution,
        Row::Denied => ErrorClass::Denied,
    }
}

fn by_status(status: Option<(u16, Option<Duration>)>) -> Option<ErrorClass> {
    let (status, after) = status?;
    match status {
        429 => Some(ErrorClass::RateLimited { after }),
        402 => Some(ErrorClass::Billing),
        401 | 403 => Some(ErrorClass::Denied),
        408 | 504 | 524 => Some(ErrorClass::Timeout),
        413 => Some(ErrorClass::ResponseTooLarge),
        503 => Some(ErrorClass::Overload),
        500..=599 => Some(ErrorClass::Transient),
        _ => None,
    }
}

fn by_code(code: Option<i64>) -> Option<ErrorClass> {
    match code? {
        -32601 => Some(ErrorClass::Unsupported),
        -32600 | -32602 | -32700 => Some(ErrorClass::Invalid),
        -32016 | -32007 | -32012 | -32055 | 1008 => Some(ErrorClass::RateLimited { after: None }),
        -32603 => Some(ErrorClass::Transient),
        _ => None,
    }
}

/// The numbers of the first match of `pattern` in `text`, or nothing when there is no match.
fn find(pattern: &str, text: &str) -> Option<Vec<u64>> {
    let first = pattern.split(['#', '*']).next().unwrap_or_default();
    if first.is_empty() {
        return (0..text.len())
            .filter(|at| text.as_bytes().get(*at).is_some_and(u8::is_ascii_digit))
            .find_map(|at| match_at(pattern, text, at));
    }
    text.match_indices(first).find_map(|(at, _)| match_at(pattern, text, at))
}

fn match_at(pattern: &str, text: &str, at: usize) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut at = at;
    let mut rest = pattern;
    loop {
        let cut = rest.find(['#', '*']).unwrap_or(rest.len());
        let (literal, tail) = rest.split_at(cut);
        if !text.get(at..)?.starts_with(literal) {
            return None;
        }
        at += literal.len();
        let mut tail = tail.chars();
        match tail.next() {
            None => return Some(numbers),
            Some('#') => {
                let (number, len) = number(text.get(at..)?)?;
                numbers.push(number);
                at += len;
            }
            Some(_) => {
                return gap(tail.as_str(), text, at).map(|more| [numbers, more].concat());
            }
        }
        rest = tail.as_str();
    }
}

/// A `*`: the rest of the pattern somewhere within the next bytes.
fn gap(rest: &str, text: &str, at: usize) -> Option<Vec<u64>> {
    let rest = rest.trim_start();
    (at..=text.len().min(at + GAP_BYTES_MAX))
        .filter(|at| text.is_char_boundary(*at))
        .find_map(|at| match_at(rest, text, at))
}

/// A number at the start of `text` and its length in bytes.
fn number(text: &str) -> Option<(u64, usize)> {
    let bytes = text.as_bytes();
    if let Some(hex) = text.strip_prefix("0x") {
        let len = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        return u64::from_str_radix(hex.get(..len)?, 16).ok().map(|n| (n, len + 2));
    }
    let mut value: u64 = 0;
    let mut len = 0;
    while let Some(byte) = bytes.get(len) {
        match byte {
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            }
            b',' | b'_' | b'.' if len > 0 && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) => {
            }
            _ => break,
        }
        len += 1;
    }
    match (len, bytes.get(len)) {
        (0, _) => None,
        (_, Some(b'k')) => Some((value.checked_mul(1000)?, len + 1)),
        _ => Some((value, len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(blocks: u64) -> ErrorClass {
        ErrorClass::RangeTooWide { cap: Some(blocks), suggested: None }
    }

    fn suggested(from: u64, to: u64) -> ErrorClass {
        let suggested = Some(BlockRange { from, to });
        ErrorClass::RangeTooWide { cap: None, suggested }
    }

    const NO_CAP: ErrorClass = ErrorClass::RangeTooWide { cap: None, suggested: None };
    const RATE: ErrorClass = ErrorClass::RateLimited { after: None };

    /// Texts as providers and nodes send them, one per row of the table at least.
    fn texts() -> Vec<(i64, &'static str, ErrorClass)> {
        use ErrorClass::*;
        vec![
            (
                -32602,
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0x0, 0x133f2]",
                suggested(0, 0x133f2),
            ),
            (-32602, "this block range should work: [0x20, 0x10]", NO_CAP),
            (
                -32005,
                "query returned more than 10000 results. Try with this block range [0x1B5B0, 0x1B600].",
                suggested(0x1B5B0, 0x1B600),
            ),
            (
                -32602,
                "query exceeds max results 20000, retry with the range 17000000-17000499",
                suggested(17_000_000, 17_000_499),
            ),
            (
                -32600,
                "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Upgrade to PAYG for expanded block range.",
                cap(10),
            ),
            (-32600, "You can make eth_getLogs requests with up to a 500 block range.", cap(500)),
            (-32602, "eth_getLogs requests with up to a 2K block range", cap(2000)),
            (-32614, "eth_getLogs is limited to a 10,000 blocks range", cap(10_000)),
            (-32000, "eth_getLogs is limited to 1024 block range", cap(1024)),
            (-32602, "eth_getLogs is limited to 0 - 50 blocks range", cap(50)),
            (-32701, "range 20001 exceeds limit of 10000", cap(10_000)),
            (-32005, "block range 5000 exceeds limit of 1000", cap(1000)),
            (-32602, "range 100000 is bigger than range limit 20000", cap(20_000)),
            (-32000, "exceed maximum block range: 5000", cap(5000)),
            (-32602, "query exceeds max block range 100000", cap(100_000)),
            (
                -32047,
                "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800",
                cap(800),
            ),
            (-32602, "maximum block range: 50000", cap(50_000)),
            (-32000, "block range is too large, max is 1k blocks", cap(1000)),
            (-32000, "block range too large (2500), maximum allowed is 2000 blocks", cap(2000)),
            (-32600, "block range is too wide (maximum 3000)", cap(3000)),
            (-32005, "block range is too large", NO_CAP),
            (-32602, "block range too high", NO_CAP),
            (
                -32000,
                "Block range limit exceeded. See more details at https://docs.example/limits. Maximum allowed is 10000 blocks",
                cap(10_000),
            ),
            (-32602, "block range greater than 10000 max", cap(10_000)),
            (-32000, "block range exceeds 1000", cap(1000)),
            (
                -32000,
                "block range is larger than max block range, block range = 5001, max block range = 5000",
                cap(5000),
            ),
            (-32000, "You exceeded the range allowed for your plan (5000 > 1000).", cap(1000)),
            (35, "ranges over 10000 blocks are not supported on freetier", cap(10_000)),
            (-32602, "please limit the query to at most 1000 blocks", cap(1000)),
            (-32005, "Maximum allowed number of requested blocks is 1000", cap(1000)),
            (-32000, "maximum [from, to] blocks distance: 2000", cap(2000)),
            (
                -32000,
                "requested too many blocks from 100 to 5000, maximum is set to 2048",
                cap(2048),
            ),
            (-32000, "block range must be smaller than size 1024", cap(1024)),
            (-32602, "query block range exceeds server limit: 5000 > 1000", cap(1000)),
            (-32005, "Requested range exceeds maximum RPC range limit", NO_CAP),
            (-32005, "query returned more than 10000 results", TooManyResults),
            (-32000, "too many logs, more than 20000 logs", TooManyResults),
            (-32000, "logs matched by query exceeds limit of 10000", TooManyResults),
            (-32000, "query returns too many logs", TooManyResults),
            (-32602, "query exceeds max results 20000", TooManyResults),
            (-32000, "Too many results, try paginating the query", TooManyResults),
            (-32008, "Response is too big", ResponseTooLarge),
            (-32020, "backend response too large", ResponseTooLarge),
            (-32003, "Response is too big: Exceeded max limit of 167772160", ResponseTooLarge),
            (-32000, "response size should not be greater than 150000000 bytes", ResponseTooLarge),
            (-32602, "Log response size exceeded.", ResponseTooLarge),
            (-32000, "query timeout exceeded", Timeout),
            (-32002, "execution timeout", Timeout),
            (-32000, "context deadline exceeded", Timeout),
            (-32603, "request took longer than 30s", Timeout),
            (-32602, "exceed max addresses or topics per search position", FilterTooWide),
            (-32602, "exceed max topics", FilterTooWide),
            (-32000, "please specify less number of addresses", FilterTooWide),
            (-32000, "request contains 1200 filters. The current limit is 1000", FilterTooWide),
            (-32602, "block range extends beyond current head block", NotYet),
            (-32000, "requested to block 200 after last accepted block 100", NotYet),
            (-32000, "cannot query unfinalized data", NotYet),
            (
                -32001,
                "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.",
                NotYet,
            ),
            (-32000, "Block with number 123 could not be found", NotYet),
            (-32000, "header not found", NotYet),
            (-32000, "Unknown block", NotYet),
            (-32603, "invalid block height", NotYet),
            (-32000, "height is not available", NotYet),
            (4444, "history pruned for this block", Pruned),
            (-32000, "missing trie node 0xabc (path ) state 0xabc is not available", Pruned),
            (-32000, "pruned history unavailable", Pruned),
            (-32005, "daily request count exceeded, request rate limited", RATE),
            (-32007, "50/second request limit reached - reduce calls per second", RATE),
            (429, "Your app has exceeded its compute units per second capacity.", RATE),
            (-32016, "over rate limit", RATE),
            (-32012, "credits limited", RATE),
            (-32029, "Too Many Requests", RATE),
            (-32055, "slow down", RATE),
            (
                -32001,
                "Monthly capacity limit exceeded. Visit https://dash.example/settings/billing to upgrade",
                Billing,
            ),
            (-32000, "this feature needs a higher current plan", Billing),
            (-32011, "no backend is currently healthy to serve traffic", Overload),
            (-32000, "system overloaded", Overload),
            (-32000, "node is under too much load", Overload),
            (-32601, "the method eth_foo does not exist/is not available", Unsupported),
            (-32004, "method not whitelisted", Unsupported),
            (-32601, "Method not found", Unsupported),
            (-32000, "eth_getLogs is disabled", Unsupported),
            (3, "execution reverted: paused", Execution),
            (-32000, "execution reverted", Execution),
            (-32015, "VM execution error.", Execution),
            (-32003, "insufficient funds for gas * price + value", Execution),
            (-32003, "nonce too low: next nonce 5, tx nonce 4", Execution),
            (-32000, "already known", Execution),
            (-32602, "invalid argument 0: hex string without 0x prefix", Invalid),
            (-32005, "limit exceeded", Unknown),
            (-39999, "the moon is in the way", Unknown),
        ]
    }

    #[test]
    fn every_known_text_has_its_class() {
        for (code, text, class) in texts() {
            assert_eq!(classify(Some(code), None, text), class, "{code} {text}");
        }
    }

    #[test]
    fn data_is_read_as_well_as_the_message() {
        let text =
            "Invalid params\n{\"payload\":\"range 100000 is bigger than range limit 20000\"}";
        assert_eq!(classify(Some(-32602), None, text), cap(20_000));
    }

    #[test]
    fn a_range_text_under_429_still_means_the_range() {
        let status = Some((429, None));
        assert_eq!(classify(None, status, "up to a 500 block range"), cap(500));
        let wait = Some(Duration::from_secs(2));
        let limited = ErrorClass::RateLimited { after: wait };
        assert_eq!(classify(None, Some((429, wait)), "upgrade your plan"), limited);
    }

    #[test]
    fn numbers_are_read_in_every_spelling() {
        for (text, value) in [("10,000 x", 10_000), ("10_000", 10_000), ("2k", 2000), ("0x1f]", 31)]
        {
            assert_eq!(number(text).map(|(n, _)| n), Some(value), "{text}");
        }
        assert_eq!(number("99999999999999999999999"), None);
    }
}
