//! One log → one event, per decoder, in one run: the figures are ratios between rows of a group.
//!
//! `transfer` is the common case, `claim` an event with a tail of dynamic values, `json` the whole way
//! from an `eth_getLogs` answer to typed fields.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot go on panics")]

use std::hint::black_box;

use alloy_dyn_abi::{DynSolEvent, Specifier};
use alloy_json_abi::Event;
use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use alloy_sol_types::{SolEvent, sol};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rwahub::decode::event::{EventKind, RwaEvent};
use rwahub::decode::layout::{Layout, Layouts};
use rwahub::decode::program::{Group, Visit};
use rwahub::decode::registry::{Recognition, Registry, Source, SourceAbi, SourceAddresses};
use rwahub::decode::word::{self, Word, WordKind};
use rwahub::types::log::{LogBuf, LogFields};

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event ClaimAdded(
        bytes32 indexed claimId, uint256 indexed topic, uint256 scheme, address indexed issuer,
        bytes signature, bytes data, string uri
    );
}

const LOGS: u64 = 1000;
const CONTRACTS: u64 = 20;
const HOLDERS: u64 = 500;

/// The same logs in the two forms.
struct Input {
    ours: LogBuf,
    theirs: Vec<LogData>,
}

fn address(kind: u64, index: u64) -> Address {
    Address::from_word(B256::from(U256::from(kind << 32 | index)))
}

fn input(data: impl Fn(u64) -> LogData) -> Input {
    let mut ours = LogBuf::default();
    let mut theirs = Vec::new();
    for index in 0..LOGS {
        let log = data(index);
        let mut fields = LogFields {
            address: address(1, index % CONTRACTS),
            block_number: 18_000_000 + index / 10,
            log_index: u32::try_from(index % 10).unwrap_or_default(),
            topic_count: u8::try_from(log.topics().len()).unwrap_or_default(),
            ..Default::default()
        };
        fields.topics[..log.topics().len()].copy_from_slice(log.topics());
        ours.push(&fields, &log.data).expect("small");
        theirs.push(log);
    }
    Input { ours, theirs }
}

fn transfers() -> Input {
    input(|index| {
        let event = Transfer {
            from: address(2, index % HOLDERS),
            to: address(2, (index * 7 + 1) % HOLDERS),
            value: U256::from(index) << 60,
        };
        event.encode_log_data()
    })
}

fn claims() -> Input {
    input(|index| {
        let event = ClaimAdded {
            claimId: B256::from(U256::from(index)),
            topic: U256::from(1),
            scheme: U256::from(1),
            issuer: address(3, index % 10),
            signature: Bytes::from(vec![7; 65]),
            data: Bytes::from(vec![9; 40]),
            uri: "https://claims.example/kyc/2026".to_owned(),
        };
        event.encode_log_data()
    })
}

/// The fields of a transfer out of a run-time walk.
#[derive(Default)]
struct Fields {
    addresses: [Address; 2],
    seen: usize,
    amount: U256,
}

impl<'a> Visit<'a> for Fields {
    fn param(&mut self, _: &str) {}

    #[inline]
    fn word(&mut self, kind: WordKind, word: &'a Word) {
        if kind == WordKind::Address {
            if let Some(slot) = self.addresses.get_mut(self.seen) {
                *slot = word::address(word);
            }
            self.seen += 1;
        } else {
            self.amount = word::uint(word);
        }
    }

    fn bytes(&mut self, bytes: &'a [u8]) {
        black_box(bytes);
    }

    fn text(&mut self, text: &'a [u8]) {
        black_box(text);
    }

    fn hash(&mut self, _: &'a B256) {}
    fn open(&mut self, _: Group) {}
    fn component(&mut self, _: &str) {}
    fn close(&mut self, _: Group) {}
}

fn registry(sources: &[Source]) -> Registry {
    let mut layouts = Layouts::new().expect("built-in ABIs compile");
    Registry::new(&mut layouts, sources).expect("sources compile")
}

/// The event for alloy's dynamic decoder.
fn dynamic(declaration: &str) -> DynSolEvent {
    let event = Event::parse(declaration).expect("a declaration");
    event.resolve().expect("types")
}

fn recognised(registry: &Registry, input: &Input) -> usize {
    let events = input
        .ours
        .iter()
        .filter(|log| matches!(black_box(registry.recognise(*log)), Recognition::Event { .. }));
    events.count()
}

fn transfer(c: &mut Criterion) {
    let input = transfers();
    let any = registry(&[]);
    let listed = registry(&[Source {
        name: "mine".to_owned(),
        abi: SourceAbi::BuiltIn(rwahub::decode::event::Pack::Erc20),
        addresses: SourceAddresses::Listed((0..CONTRACTS).map(|i| address(1, i)).collect()),
        start_block: 0,
        events: Vec::new(),
    }]);
    let declaration = "event Transfer(address indexed from, address indexed to, uint256 value)";
    let dynamic = dynamic(declaration);
    let layouts = Layouts::new().expect("built-in ABIs compile");
    let layout: &Layout = layouts.built_in(EventKind::Erc20Transfer).expect("built in");
    assert_eq!(recognised(&any, &input), input.ours.len());
    assert_eq!(recognised(&listed, &input), input.ours.len());

    let mut group = c.benchmark_group("transfer");
    group.throughput(Throughput::Elements(LOGS));
    group.bench_function("words", |b| b.iter(|| words(&input)));
    group.bench_function("recognise_any", |b| b.iter(|| recognised(&any, &input)));
    group.bench_function("recognise_listed", |b| b.iter(|| recognised(&listed, &input)));
    group.bench_function("run_time_abi", |b| b.iter(|| walked(layout, &input)));
    group.bench_function("sol_raw", |b| {
        b.iter(|| {
            for log in &input.theirs {
                black_box(Transfer::decode_raw_log(log.topics(), &log.data).expect("valid"));
            }
        })
    });
    group.bench_function("sol_raw_validate", |b| {
        b.iter(|| {
            for log in &input.theirs {
                black_box(
                    Transfer::decode_raw_log_validate(log.topics(), &log.data).expect("valid"),
                );
            }
        })
    });
    group.bench_function("dyn_sol_event", |b| {
        b.iter(|| {
            for log in &input.theirs {
                black_box(dynamic.decode_log_data(log).expect("valid"));
            }
        })
    });
    group.finish();
}

fn words(input: &Input) -> U256 {
    let mut sum = U256::ZERO;
    for log in input.ours.iter() {
        if let Ok(RwaEvent::Erc20Transfer(event)) = RwaEvent::read(EventKind::Erc20Transfer, log) {
            black_box((event.from(), event.to()));
            sum = sum.wrapping_add(event.value());
        }
    }
    sum
}

fn walked(layout: &Layout, input: &Input) {
    for log in input.ours.iter() {
        let mut fields = Fields::default();
        layout.program.walk(log, &mut fields).expect("valid");
        black_box(&fields.amount);
        black_box(&fields.addresses);
    }
}

fn claim(c: &mut Criterion) {
    let input = claims();
    let any = registry(&[]);
    let declaration = "event ClaimAdded(bytes32 indexed claimId, uint256 indexed topic, \
         uint256 scheme, address indexed issuer, bytes signature, bytes data, string uri)";
    let dynamic = dynamic(declaration);
    let layouts = Layouts::new().expect("built-in ABIs compile");
    let layout: &Layout = layouts.built_in(EventKind::ClaimAdded).expect("built in");
    assert_eq!(recognised(&any, &input), input.ours.len());

    let mut group = c.benchmark_group("claim");
    group.throughput(Throughput::Elements(LOGS));
    group.bench_function("recognise_any", |b| b.iter(|| recognised(&any, &input)));
    group.bench_function("run_time_abi", |b| b.iter(|| walked(layout, &input)));
    group.bench_function("sol_raw", |b| {
        b.iter(|| {
            for log in &input.theirs {
                black_box(ClaimAdded::decode_raw_log(log.topics(), &log.data).expect("valid"));
            }
        })
    });
    group.bench_function("dyn_sol_event", |b| {
        b.iter(|| {
            for log in &input.theirs {
                black_box(dynamic.decode_log_data(log).expect("valid"));
            }
        })
    });
    group.finish();
}

/// The answer of a node that sends every field, 633 bytes per log. `mixed`: every other log has another
/// order of keys, so that no layout that was learned from one fits the next.
fn answer(input: &Input, mixed: bool) -> Vec<u8> {
    let logs: Vec<String> = input
        .ours
        .iter()
        .zip([false, mixed].iter().cycle())
        .map(|(log, other)| {
            let head = log.head;
            let topics: Vec<String> =
                log.topics().iter().map(|topic| format!("\"{topic}\"")).collect();
            let (front, back) = if *other { ("\"removed\":false,", "") } else { ("", ",\"removed\":false") };
            format!(
                r#"{{{front}"address":"{:#x}","topics":[{}],"data":"{}","blockHash":"{}","blockNumber":"{:#x}","blockTimestamp":"0x64f0b1c7","transactionHash":"{}","transactionIndex":"{:#x}","logIndex":"{:#x}"{back}}}"#,
                head.address,
                topics.join(","),
                Bytes::copy_from_slice(log.data),
                B256::from(U256::from(head.block_number)),
                head.block_number,
                B256::from(U256::from(head.block_number * 7)),
                head.tx_index,
                head.log_index,
            )
        })
        .collect();
    format!("[{}]", logs.join(",")).into_bytes()
}

/// What an alloy user gets: owned logs, then the typed event.
fn json_alloy(answer: &[u8]) -> U256 {
    let logs: Vec<alloy_rpc_types_eth::Log> = serde_json::from_slice(answer).expect("an answer");
    let mut sum = U256::ZERO;
    for log in &logs {
        let event = Transfer::decode_log_validate(&log.inner).expect("a transfer");
        black_box((event.address, event.from, event.to, log.block_number, log.log_index));
        sum = sum.wrapping_add(event.value);
    }
    sum
}

fn json_ours(answer: &[u8], registry: &Registry) -> U256 {
    let logs = rwahub::rpc::wire::logs::parse(answer).expect("an answer");
    let mut sum = U256::ZERO;
    for log in logs.iter() {
        if let Recognition::Event { event: RwaEvent::Erc20Transfer(event), .. } =
            registry.recognise(log)
        {
            black_box((log.head.address, event.from(), event.to(), log.head.block_number));
            sum = sum.wrapping_add(event.value());
        }
    }
    sum
}

fn json(c: &mut Criterion) {
    let unfamiliar = answer(&transfers(), true);
    let answer = answer(&transfers(), false);
    let any = registry(&[]);
    assert_eq!(json_ours(&answer, &any), json_alloy(&answer));
    assert_eq!(json_ours(&unfamiliar, &any), json_alloy(&unfamiliar));

    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(LOGS));
    group.bench_function("serde_json_alloy_sol", |b| b.iter(|| json_alloy(&answer)));
    group.bench_function("scanner_registry_words", |b| b.iter(|| json_ours(&answer, &any)));
    group.bench_function("unfamiliar_layout", |b| b.iter(|| json_ours(&unfamiliar, &any)));
    group.finish();
}

criterion_group!(benches, transfer, claim, json);
criterion_main!(benches);
