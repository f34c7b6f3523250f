//! Property tests: this room against alloy's dynamic decoder, and against bytes of no meaning.
//!
//! The other decoder builds and reads the payloads; the text of its values is made here by a renderer
//! that shares no code with `render`.

use std::sync::LazyLock;

use alloy_dyn_abi::{DynSolEvent, DynSolType, DynSolValue, Specifier};
use alloy_json_abi::Event;
use alloy_primitives::{Address, B256, I256, U256, hex};
use proptest::prelude::*;

use super::event::{EventKind, RwaEvent};
use super::layout::{Layout, Layouts};
use super::registry::{Recognition, Registry, Source, SourceAbi, SourceAddresses};
use super::source;
use crate::types::event::ArgReader;
use crate::types::log::{LogBuf, LogFields};

static BUILT_IN: LazyLock<(Layouts, Registry)> = LazyLock::new(|| {
    let mut layouts = Layouts::new().expect("built-in ABIs compile");
    let registry = Registry::new(&mut layouts, &[]).expect("built-in packs compile");
    (layouts, registry)
});

/// Numbers from a seed, so that a failing case shrinks and replays.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| u8::try_from(self.roll(256)).expect("below 256")).collect()
    }

    fn word(&mut self) -> U256 {
        match self.roll(4) {
            0 => U256::ZERO,
            1 => U256::MAX,
            2 => U256::from(self.roll(1000)),
            _ => U256::from_be_slice(&self.bytes(32)),
        }
    }

    fn value(&mut self, ty: &DynSolType) -> DynSolValue {
        match ty {
            DynSolType::Bool => DynSolValue::Bool(self.roll(2) == 1),
            DynSolType::Address => DynSolValue::Address(Address::from_slice(&self.bytes(20))),
            DynSolType::Function => panic!("not generated"),
            DynSolType::Uint(bits) => DynSolValue::Uint(self.word() >> (256 - bits), *bits),
            DynSolType::Int(bits) => {
                let value = I256::from_raw(self.word()).asr(256 - bits);
                DynSolValue::Int(value, *bits)
            }
            DynSolType::FixedBytes(len) => {
                DynSolValue::FixedBytes(B256::right_padding_from(&self.bytes(*len)), *len)
            }
            DynSolType::Bytes => {
                let len = usize::try_from(self.roll(70)).expect("small");
                DynSolValue::Bytes(self.bytes(len))
            }
            DynSolType::String => {
                let letters = ["a", "\"", "\\", "\n", "é", "資", "\u{1}"];
                let len = self.roll(40);
                let text = (0..len).map(|_| {
                    let index = usize::try_from(self.roll(letters.len() as u64)).expect("small");
                    letters[index]
                });
                DynSolValue::String(text.collect())
            }
            DynSolType::Array(item) => {
                let len = self.roll(4);
                DynSolValue::Array((0..len).map(|_| self.value(item)).collect())
            }
            DynSolType::FixedArray(item, len) => {
                DynSolValue::FixedArray((0..*len).map(|_| self.value(item)).collect())
            }
            DynSolType::Tuple(types) => {
                DynSolValue::Tuple(types.iter().map(|ty| self.value(ty)).collect())
            }
        }
    }

    fn ty(&mut self, depth: u32) -> DynSolType {
        let size = usize::try_from(self.roll(32)).expect("small") + 1;
        match self.roll(if depth == 0 { 7 } else { 10 }) {
            0 => DynSolType::Bool,
            1 => DynSolType::Address,
            2 => DynSolType::Uint(size * 8),
            3 => DynSolType::Int(size * 8),
            4 => DynSolType::FixedBytes(size),
            5 => DynSolType::Bytes,
            6 => DynSolType::String,
            7 => DynSolType::Array(Box::new(self.ty(depth - 1))),
            8 => DynSolType::FixedArray(Box::new(self.ty(depth - 1)), size % 3 + 1),
            _ => DynSolType::Tuple((0..size % 3 + 1).map(|_| self.ty(depth - 1)).collect()),
        }
    }
}

/// An ABI's entry for a type; every second tuple names its components.
fn input(name: &str, ty: &DynSolType, indexed: Option<bool>) -> String {
    let mark = indexed.map(|indexed| format!(r#","indexed":{indexed}"#)).unwrap_or_default();
    let mut sizes = String::new();
    let mut inner = ty;
    loop {
        match inner {
            DynSolType::Array(item) => {
                sizes.insert_str(0, "[]");
                inner = item;
            }
            DynSolType::FixedArray(item, len) => {
                sizes.insert_str(0, &format!("[{len}]"));
                inner = item;
            }
            DynSolType::Tuple(types) => {
                let parts: Vec<String> = types
                    .iter()
                    .enumerate()
                    .map(|(index, ty)| {
                        let named = types.len() > 1;
                        input(&if named { format!("part{index}") } else { String::new() }, ty, None)
                    })
                    .collect();
                let parts = parts.join(",");
                return format!(
                    r#"{{"name":"{name}","type":"tuple{sizes}","components":[{parts}]{mark}}}"#
                );
            }
            leaf => {
                return format!(r#"{{"name":"{name}","type":"{leaf}{sizes}"{mark}}}"#);
            }
        }
    }
}

/// The value's text by the rules that `render` documents.
fn text(value: &DynSolValue, inside: bool) -> String {
    let quoted =
        |text: String| if inside { serde_json::Value::String(text).to_string() } else { text };
    match value {
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Address(value) => quoted(value.to_checksum(None)),
        DynSolValue::Uint(value, _) => quoted(value.to_string()),
        DynSolValue::Int(value, _) => quoted(value.to_string()),
        DynSolValue::FixedBytes(word, len) => quoted(hex::encode_prefixed(&word[..*len])),
        DynSolValue::Bytes(bytes) => quoted(hex::encode_prefixed(bytes)),
        DynSolValue::String(text) => quoted(text.clone()),
        DynSolValue::Array(items) | DynSolValue::FixedArray(items) => {
            let items: Vec<String> = items.iter().map(text_inside).collect();
            format!("[{}]", items.join(","))
        }
        DynSolValue::Tuple(parts) if parts.len() > 1 => {
            let parts: Vec<String> = parts
                .iter()
                .enumerate()
                .map(|(index, part)| format!("\"part{index}\":{}", text_inside(part)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        DynSolValue::Tuple(parts) => {
            format!("[{}]", parts.iter().map(text_inside).collect::<Vec<_>>().join(","))
        }
        DynSolValue::Function(_) => panic!("not generated"),
    }
}

fn text_inside(value: &DynSolValue) -> String {
    text(value, true)
}

/// An event with this many parameters of any type, up to three of them indexed.
fn any_event(dice: &mut Dice) -> (String, Event) {
    let count = dice.roll(5) + 1;
    let mut indexed = 0;
    let inputs: Vec<String> = (0..count)
        .map(|index| {
            let mark = indexed < 3 && dice.roll(3) == 0;
            indexed += u64::from(mark);
            let ty = dice.ty(3);
            input(&format!("p{index}"), &ty, Some(mark))
        })
        .collect();
    let json = format!(
        r#"{{"type":"event","name":"E","anonymous":false,"inputs":[{}]}}"#,
        inputs.join(",")
    );
    let event = source::event(&json).expect("an event");
    (json, event)
}

/// A log of the event with values as the other decoder encodes them, and their text.
fn encode(event: &Event, dice: &mut Dice) -> (Vec<B256>, Vec<u8>, Vec<String>) {
    let mut topics = vec![alloy_primitives::keccak256(event.signature())];
    let (mut body, mut texts) = (Vec::new(), Vec::new());
    for input in &event.inputs {
        let ty = input.resolve().expect("a type");
        let value = dice.value(&ty);
        match (input.indexed, value.as_word()) {
            (true, Some(word)) => {
                topics.push(word);
                texts.push(text(&value, false));
            }
            (true, None) => {
                let hash = B256::from(dice.word());
                topics.push(hash);
                texts.push(hex::encode_prefixed(hash));
            }
            (false, _) => {
                texts.push(text(&value, false));
                body.push(value);
            }
        }
    }
    let data = DynSolValue::Tuple(body).abi_encode_params();
    (topics, data, texts)
}

fn log(topics: &[B256], data: &[u8]) -> LogBuf {
    let mut fields = LogFields {
        topic_count: u8::try_from(topics.len()).expect("at most four"),
        ..Default::default()
    };
    fields.topics[..topics.len()].copy_from_slice(topics);
    let mut buf = LogBuf::default();
    buf.push(&fields, data).expect("small");
    buf
}

fn texts(layout: &Layout, buf: &LogBuf) -> Result<Vec<String>, String> {
    let args = layout.args(buf.get(0).expect("one log")).map_err(|fault| fault.to_string())?;
    Ok(args.into_iter().map(|arg| arg.value).collect())
}

/// The other decoder's reading, in the order of the ABI; `None` where it refuses.
fn theirs(event: &Event, topics: &[B256], data: &[u8]) -> Option<Vec<String>> {
    let resolved: DynSolEvent = event.resolve().expect("an event");
    let decoded = resolved.decode_log_parts(topics.iter().copied(), data).ok()?;
    let (mut indexed, mut body) = (decoded.indexed.iter(), decoded.body.iter());
    let values = event.inputs.iter().map(|input| {
        text((if input.indexed { indexed.next() } else { body.next() })?, false).into()
    });
    values.collect()
}

fn compile(json: &str) -> (Layouts, Registry) {
    let mut layouts = BUILT_IN.0.clone();
    let source = Source {
        name: "own".to_owned(),
        abi: SourceAbi::Json { file: "own.json".to_owned(), text: format!("[{json}]") },
        addresses: SourceAddresses::Any,
        start_block: 0,
        events: Vec::new(),
    };
    let registry = Registry::new(&mut layouts, &[source]).expect("compiles");
    (layouts, registry)
}

/// Bends a payload a little: what a hostile or broken encoder might send.
fn bend(data: &mut Vec<u8>, dice: &mut Dice) {
    let at = usize::try_from(dice.roll(data.len() as u64)).expect("small");
    match dice.roll(4) {
        0 => data.truncate(at),
        1 => data.extend(dice.bytes(at % 40)),
        2 if !data.is_empty() => {
            let bytes = dice.word().to_be_bytes::<32>();
            let word = at / 32 * 32;
            let room = data.len().min(word + 32);
            data[word..room].copy_from_slice(&bytes[..room - word]);
        }
        _ => {
            if let Some(byte) = data.get_mut(at) {
                *byte = u8::try_from(dice.roll(256)).expect("below 256");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every built-in event: recognised as itself, and its arguments are the encoder's values.
    #[test]
    fn built_in_events_agree(seed in any::<u64>()) {
        let (layouts, registry) = &*BUILT_IN;
        let mut dice = Dice(seed);
        for kind in EventKind::ALL {
            let event = source::event(kind.json()).expect("an event");
            let (topics, data, expected) = encode(&event, &mut dice);
            let buf = log(&topics, &data);
            let view = buf.get(0).expect("one log");
            let Recognition::Event { layout, kind: seen, event, .. } = registry.recognise(view) else {
                return Err(TestCaseError::fail(format!("{kind:?} not recognised")));
            };
            prop_assert_eq!(seen, kind);
            prop_assert_eq!(event.kind(), kind);
            let args = layouts.args(layout, view).map_err(TestCaseError::fail)?;
            let values: Vec<String> = args.into_iter().map(|arg| arg.value).collect();
            prop_assert_eq!(values, expected, "{:?}", kind);
        }
    }

    /// Any ABI: what an encoder writes is read back exactly.
    #[test]
    fn run_time_abis_agree(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let (json, event) = any_event(&mut dice);
        let (layouts, registry) = compile(&json);
        let (topics, data, expected) = encode(&event, &mut dice);
        let buf = log(&topics, &data);
        let Recognition::Event { layout, .. } = registry.recognise(buf.get(0).expect("one log")) else {
            return Err(TestCaseError::fail(format!("not recognised: {json}")));
        };
        let layout = layouts.get(layout).expect("known");
        prop_assert_eq!(texts(layout, &buf), Ok(expected), "{}", json);
    }

    /// Bent payloads: whatever this room accepts, the other decoder reads in the same way.
    #[test]
    fn what_is_accepted_is_read_alike(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let (json, event) = any_event(&mut dice);
        let (layouts, registry) = compile(&json);
        let (topics, mut data, _) = encode(&event, &mut dice);
        for _ in 0..8 {
            bend(&mut data, &mut dice);
            let buf = log(&topics, &data);
            let recognition = registry.recognise(buf.get(0).expect("one log"));
            if let Recognition::Event { layout, .. } = recognition {
                let ours = texts(layouts.get(layout).expect("known"), &buf);
                let ours = ours.map_err(TestCaseError::fail)?;
                // Text that is not UTF-8 has no common form.
                if let Some(theirs) = theirs(&event, &topics, &data)
                    && !theirs.iter().any(|text| text.contains('\u{fffd}'))
                {
                    prop_assert_eq!(ours, theirs, "{} {}", json, hex::encode(&data));
                }
            }
        }
    }

    /// Bytes of no meaning, under every signature: an answer, never a panic.
    #[test]
    fn nothing_panics(
        seed in any::<u64>(),
        count in 0usize..=4,
        data in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let (layouts, registry) = &*BUILT_IN;
        let mut dice = Dice(seed);
        for kind in EventKind::ALL {
            let layout = layouts.built_in(kind).expect("built in");
            let mut topics: Vec<B256> = (0..count).map(|_| B256::from(dice.word())).collect();
            if let (Some(first), Some(hash)) = (topics.first_mut(), layout.info.topic0) {
                *first = hash;
            }
            let mut data = data.clone();
            bend(&mut data, &mut dice);
            let buf = log(&topics, &data);
            let view = buf.get(0).expect("one log");
            let read = RwaEvent::read(kind, view);
            // A typed view and the arguments accept the same logs.
            prop_assert_eq!(read.is_ok(), layout.args(view).is_ok(), "{:?}", kind);
            let mut out = Vec::new();
            layout.participants(view, &mut out);
            if let Recognition::Event { layout, .. } = registry.recognise(view) {
                prop_assert!(layouts.args(layout, view).is_ok());
            }
        }
    }
}
