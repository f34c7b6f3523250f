//! The scanner against `serde_json`: equal on good text, equally strict on bad text.

use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"[{"address":"0x00000000000000000000000000000000000000aa","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"],"data":"0x0102","blockHash":"0x1111111111111111111111111111111111111111111111111111111111111111","blockNumber":"0x10","blockTimestamp":"0x65","transactionHash":"0x2222222222222222222222222222222222222222222222222222222222222222","transactionIndex":"0x1","logIndex":"0x2","removed":false}]"#;

fn scanned(json: &[u8], out: &mut LogBuf) -> Result<(), Unusual> {
    let mut text = Cursor::new(json);
    LogReader::default().array(&mut text, out).and_then(|()| text.end())
}

fn scan(json: &str) -> Option<LogBuf> {
    let mut out = LogBuf::default();
    scanned(json.as_bytes(), &mut out).ok().map(|()| out)
}

#[test]
fn a_log_is_read_by_the_scanner_and_equals_serde() {
    let scanned = scan(GOOD).expect("usual");
    assert_eq!(scanned, parse_with_serde(GOOD.as_bytes()).expect("valid"));
    let log = scanned.get(0).expect("one log");
    assert_eq!((log.head.block_number, log.head.tx_index, log.head.log_index), (16, 1, 2));
    assert_eq!(log.head.timestamp, Some(0x65));
    assert_eq!(log.data, [1, 2]);
    assert_eq!(log.topics().len(), 1);
}

#[test]
fn nothing_and_space_are_fine() {
    assert_eq!(parse(b" [ ] ").expect("valid").len(), 0);
    assert!(scan(&GOOD.replace(',', " ,\n ").replace(':', " : ")).is_some());
}

#[test]
fn escapes_go_to_serde_and_give_the_same_log() {
    let escaped = GOOD.replace("\"address\"", "\"addr\\u0065ss\"");
    assert!(scan(&escaped).is_none());
    assert_eq!(parse(escaped.as_bytes()), parse(GOOD.as_bytes()));
}

#[test]
fn wrong_text_is_refused_by_both() {
    let topic = "\"0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef\"";
    let bad = [
        GOOD.replace("\"0x10\"", "\"10\""),
        GOOD.replace("\"0x10\"", "null"),
        GOOD.replace("\"0x0102\"", "\"0x01020\""),
        GOOD.replace("\"0x0102\"", "\"0xzz\""),
        GOOD.replace("0xddf252", "0xddf2"),
        GOOD.replace(topic, &[topic; 5].join(",")),
        GOOD.replace("\"logIndex\":\"0x2\",", ""),
        GOOD.replace("\"logIndex\":\"0x2\"", "\"logIndex\":\"0x100000000\""),
        GOOD.replace("\"removed\":false", "\"removed\":0"),
        GOOD.replace("\"removed\":false", "\"removed\":false,\"removed\":false"),
        GOOD.replace("]", ""),
        GOOD.replace("}]", "},]"),
        format!("{GOOD}x"),
        String::new(),
        "null".into(),
    ];
    for text in bad {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
}

/// Logs of one layout, of which each is damaged or changed in one place.
fn row(logs: usize, at: usize, byte: u8, which: usize) -> Vec<u8> {
    let log = &GOOD.as_bytes()[1..GOOD.len() - 1];
    let mut json = vec![b'['];
    for index in 0..logs {
        if index > 0 {
            json.push(b',');
        }
        let from = json.len();
        json.extend_from_slice(log);
        if index == which {
            json[from + at % log.len()] = byte;
        }
    }
    json.push(b']');
    json
}

#[test]
fn a_removed_log_in_a_learned_row_is_seen() {
    let other = GOOD.replace("false", "true").replace("0x0102", "0x").replace("[\"0xdd", "[\"0xaa");
    let json = format!(
        "[{},{},{}]",
        &GOOD[1..GOOD.len() - 1],
        &other[1..other.len() - 1],
        &GOOD[1..GOOD.len() - 1]
    );
    let logs = parse(json.as_bytes()).expect("valid");
    let seen: Vec<_> = logs.iter().map(|l| (l.head.removed, l.data.len())).collect();
    assert_eq!(seen, [(false, 2), (true, 0), (false, 2)]);
    assert_eq!(logs, parse_with_serde(json.as_bytes()).expect("valid"));
}

#[derive(Debug, Clone)]
struct Shape {
    order: Vec<usize>,
    topics: Vec<[u8; 32]>,
    data: Vec<u8>,
    numbers: (u64, u32, u32, Option<u64>),
    space: String,
    extra: Option<&'static str>,
    removed: Option<bool>,
}

fn shapes() -> impl Strategy<Value = Shape> {
    (
        Just((0..9usize).collect::<Vec<_>>()).prop_shuffle(),
        prop::collection::vec(any::<[u8; 32]>(), 0..=5),
        prop::collection::vec(any::<u8>(), 0..200),
        any::<(u64, u32, u32, Option<u64>)>(),
        prop::sample::select(vec!["", " ", "\n\t "]),
        prop::option::of(prop::sample::select(vec![
            "\"x\":{\"a\":[1,\"}\"]}",
            "\"logType\":null",
            "\"é\":1",
            "\"x\":1e5",
            "\"x\":nul",
            "\"logIndex\":\"0x1\"",
        ])),
        any::<Option<bool>>(),
    )
        .prop_map(|(order, topics, data, numbers, space, extra, removed)| Shape {
            order,
            topics,
            data,
            numbers,
            space: space.to_owned(),
            extra,
            removed,
        })
}

fn text(shape: &Shape) -> String {
    let hex = |bytes: &[u8]| format!("\"0x{}\"", faster_hex::hex_string(bytes));
    let (number, tx, index, time) = shape.numbers;
    let space = &shape.space;
    let topics: Vec<_> = shape.topics.iter().map(|t| hex(t)).collect();
    let all = [
        format!("\"address\":{space}{}", hex(&[7; 20])),
        format!("\"topics\":[{}]", topics.join(&format!("{space},"))),
        format!("\"data\":{}", hex(&shape.data)),
        format!("\"blockNumber\":\"{number:#x}\""),
        format!("\"blockHash\":{space}{}", hex(&[8; 32])),
        format!("\"transactionHash\"{space}:{}", hex(&[9; 32])),
        format!("\"transactionIndex\":\"{tx:#x}\""),
        format!("\"logIndex\":\"{index:#x}\""),
        time.map_or("\"blockTimestamp\":null".into(), |t| format!("\"blockTimestamp\":\"{t:#x}\"")),
    ];
    let mut parts: Vec<String> = shape.order.iter().map(|i| all[*i].clone()).collect();
    parts.extend(shape.extra.map(str::to_owned));
    parts.extend(shape.removed.map(|r| format!("\"removed\":{r}")));
    format!("{{{space}{}{space}}}", parts.join(&format!("{space},{space}")))
}

proptest! {
    #[test]
    fn scanner_and_serde_agree_on_any_shape(shapes in prop::collection::vec(shapes(), 0..4)) {
        let logs: Vec<_> = shapes.iter().map(text).collect();
        let json = format!("[{}]", logs.join(","));
        let slow = parse_with_serde(json.as_bytes());
        prop_assert_eq!(&parse(json.as_bytes()), &slow);
        if let Some(fast) = scan(&json) {
            prop_assert_eq!(Ok(fast), slow);
        }
    }

    #[test]
    fn scanner_and_serde_agree_on_damaged_text(at in 0..GOOD.len(), byte in any::<u8>()) {
        let mut json = GOOD.as_bytes().to_vec();
        json[at] = byte;
        let mut fast = LogBuf::default();
        if scanned(&json, &mut fast).is_ok() {
            prop_assert_eq!(Ok(fast), parse_with_serde(&json));
        }
    }

    #[test]
    fn learned_rows_and_serde_agree_on_any_damage(
        at in 0usize..700,
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"0f\"x,]}[".to_vec())],
        which in 0usize..4,
    ) {
        let json = row(4, at, byte, which);
        prop_assert_eq!(parse(&json), parse_with_serde(&json));
        let mut fast = LogBuf::default();
        if scanned(&json, &mut fast).is_ok() {
            prop_assert_eq!(Ok(fast), parse_with_serde(&json));
        }
    }

    #[test]
    fn one_layout_with_any_values_is_read_as_serde_reads_it(shapes in prop::collection::vec(shapes(), 1..6)) {
        let first = shapes[0].clone();
        let logs: Vec<_> = shapes
            .into_iter()
            .map(|shape| Shape { order: first.order.clone(), space: first.space.clone(), extra: None, removed: first.removed, ..shape })
            .map(|shape| text(&shape))
            .collect();
        let json = format!("[{}]", logs.join(","));
        prop_assert_eq!(parse(json.as_bytes()), parse_with_serde(json.as_bytes()));
    }
}
