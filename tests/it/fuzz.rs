//! Everything that reads bytes of strangers, fed with mutations of good input: none may panic, hang or
//! take what it must not. A bounded seeded run in `make test`, longer ones with `make fuzz`.
//!
//! Each target is a plain function, so that any other fuzzer can drive it too.

use std::collections::HashMap;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rwahub::config::load::{Sources, load_texts};
use rwahub::rpc::proxy::Limits;
use rwahub::rpc::proxy::request;
use rwahub::rpc::wire::{logs, response};

use crate::support::tokens::Dice;

/// Mutations per target without `RWAHUB_TEST_FUZZ_RUNS`.
const RUNS: u64 = 3_000;
/// Longest time for one input of a few kilobytes in a debug build on a busy machine.
const SLOW: Duration = Duration::from_secs(5);
/// Inputs do not grow beyond this.
const BYTES_MAX: usize = 16 * 1024;

const LOGS: &str = r#"{"jsonrpc":"2.0","id":1,"result":[{"address":"0x00000000000000000000000000000000000000aa","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0x0000000000000000000000000000000000000000000000000000000000000001"],"data":"0x00000000000000000000000000000000000000000000000000000000000003e8","blockHash":"0x1111111111111111111111111111111111111111111111111111111111111111","blockNumber":"0x10","transactionHash":"0x2222222222222222222222222222222222222222222222222222222222222222","transactionIndex":"0x0","logIndex":"0x1","removed":false}]}"#;
const BATCH: &str = r#"[{"jsonrpc":"2.0","id":1,"result":"0x10"},{"jsonrpc":"2.0","id":2,"error":{"code":-32005,"message":"limit exceeded","data":{"from":"0x1"}}},{"jsonrpc":"2.0","id":"a","result":null}]"#;
const REQUESTS: &str = r#"[{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x00000000000000000000000000000000000000aa","data":"0x"},"latest"]},{"jsonrpc":"2.0","id":"x","method":"eth_getLogs","params":[{"fromBlock":"0x1","toBlock":"0x2","topics":[null,["0x01"]]}]},{"jsonrpc":"2.0","method":"eth_subscribe","params":["newHeads"]}]"#;
const CONFIG: &str = "[[chain]]\nid = 1\nname = \"main\"\n[[chain.provider]]\nurl = \"https://node.example/KEY\"\nweight = 7\n[[contract]]\nname = \"t\"\nchain_id = 1\nabi = \"erc20\"\naddress = [\"0x00000000000000000000000000000000000000aa\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\ncors_origins = [\"https://a.example\"]\n";

/// A target: what it is called, good input, and what reads it.
type Target = (&'static str, &'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("eth_getLogs answer", LOGS, logs_answer),
    ("JSON-RPC answers", BATCH, answers),
    ("JSON-RPC requests", REQUESTS, requests),
    ("configuration", CONFIG, configuration),
    ("cursor", "AQAAAAAAAAAB", cursor),
];

fn logs_answer(input: &[u8]) {
    if let Ok(buffer) = logs::parse(input) {
        // What was taken must be walkable to its end.
        assert_eq!(
            buffer.iter().inspect(|log| assert!(log.topics().len() <= 4)).count(),
            buffer.len()
        );
    }
}

fn answers(input: &[u8]) {
    drop(response::parse_many(&Bytes::copy_from_slice(input)));
    drop(response::parse(&Bytes::copy_from_slice(input)));
}

fn requests(input: &[u8]) {
    drop(request::parse(&Bytes::copy_from_slice(input), &Limits::default()));
}

fn cursor(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(cursor) = rwahub::gateway::cursor::decode(&text) {
        let again = rwahub::gateway::cursor::decode(&rwahub::gateway::cursor::encode(cursor));
        assert_eq!(again, Some(cursor), "what is read is written the same");
    }
}

fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let read = |_: &Path| Err("no files here".to_owned());
    let file = Some(("fuzz.toml", &*text));
    let sources = Sources { file, env: HashMap::new(), overrides: &[], read: &read };
    if let Err(errors) = load_texts(&sources) {
        assert!(!errors.to_string().is_empty(), "a refusal says why");
    }
}

fn mutated(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    const TOKENS: &[&str] = &[
        "\"", "{", "[", "]", "}", ",", "0x", "\\u0000", "null", "\n", "=", "-1", "1e999",
        "\u{fffd}",
    ];
    let mut input = good.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len().max(1));
        match dice.below(6) {
            0 if !input.is_empty() => input[at] ^= 1 << dice.below(8),
            1 => input.truncate(at),
            2 => {
                let token = TOKENS[dice.below(TOKENS.len())];
                input.splice(at..at, token.bytes());
            }
            3 => {
                let end = (at + dice.below(64)).min(input.len());
                input.drain(at.min(end)..end);
            }
            4 => {
                let end = (at + dice.below(512)).min(input.len());
                let part = input[at.min(end)..end].to_vec();
                input.splice(at..at, part);
            }
            _ => {
                let token = TOKENS[dice.below(TOKENS.len())];
                input.splice(at..at, token.repeat(1 + dice.below(200)).bytes());
            }
        }
        input.truncate(BYTES_MAX);
    }
    input
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn readers_of_strangers_bytes_survive_mutations() {
    let (runs, first) = (number("RWAHUB_TEST_FUZZ_RUNS", RUNS), number("RWAHUB_TEST_FUZZ_SEED", 1));
    for (name, good, target) in TARGETS {
        target(good.as_bytes());
        for seed in first..first + runs {
            let input =
                mutated(good.as_bytes(), &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let begun = Instant::now();
            let outcome = catch_unwind(|| target(&input));
            let shown = || String::from_utf8_lossy(&input).into_owned();
            assert!(
                outcome.is_ok(),
                "{name}: RWAHUB_TEST_FUZZ_SEED={seed} panics on {:?}",
                shown()
            );
            assert!(begun.elapsed() < SLOW, "{name}: seed {seed} takes too long: {:?}", shown());
        }
    }
}
