//! The rules of recognition, and agreement with an independent decoder.

use alloy_dyn_abi::DynSolValue;
use alloy_primitives::{Address, B256, I256, U256, hex, keccak256};

use super::error::{AbiError, DecodeError};
use super::event::{EventKind, Pack, RwaEvent};
use super::factory::Child;
use super::filter::FetchFilter;
use super::layout::Layouts;
use super::registry::{Recognition, Registry, Source, SourceAbi, SourceAddresses};
use crate::types::event::{Arg, ArgReader, LayoutId, Position};
use crate::types::log::{LogBuf, LogFields};

const TOKEN: Address = Address::repeat_byte(0xaa);
const OTHER: Address = Address::repeat_byte(0xbb);

/// Topic hashes published with the standards, by their first four bytes.
const PUBLISHED: &str = "\
    Transfer ddf252ad, Approval 8c5be1e5, AddressFrozen 7fa523c8, TokensFrozen a065e63c, \
    TokensUnfrozen 9bed35cb, Paused 62e78cea, Unpaused 5db9ee0a, RecoverySuccess f0c9129a, \
    UpdatedTokenInformation 6a1105ac, IdentityRegistryAdded d2be862d, ComplianceAdded 7f3a8888, \
    AgentAdded f68e73ce, AgentRemoved ed9c8ad8, OwnershipTransferred 8be0079c, \
    IdentityRegistered 6ae73635, IdentityRemoved 59d6590e, IdentityUpdated e9808293, \
    CountryUpdated 04ed3b72, IdentityStorageSet 2fa8b95c, TrustedIssuersRegistrySet 1b98cb79, \
    ClaimTopicsRegistrySet 7170bf15, IdentityStored 0030dea7, IdentityUnstored ca6a4c33, \
    IdentityModified 556ce885, CountryModified 20965fcd, IdentityRegistryBound 500c2501, \
    IdentityRegistryUnbound 51f353eb, TokenBound 2de35142, TokenUnbound 28a4ca71, \
    ModuleAdded ead6a006, ModuleRemoved 0a1ee69f, ModuleInteraction 20d79de7, \
    TREXSuiteDeployed 057adae5, WalletLinked 8e0c7091, WalletUnlinked 35e6fc36, \
    TokenLinked a8261d39, KeyAdded 480000bb, KeyRemoved 585a4aef, ClaimAdded 46149b18, \
    ClaimChanged 3bab293f, ClaimRemoved 3cf57863";

fn one_log(address: Address, topics: &[B256], data: &[u8]) -> LogBuf {
    log_at(Position { block: 10, log_index: 0 }, address, topics, data)
}

fn log_at(at: Position, address: Address, topics: &[B256], data: &[u8]) -> LogBuf {
    let mut fields = LogFields {
        address,
        block_number: at.block,
        log_index: at.log_index,
        topic_count: u8::try_from(topics.len()).expect("at most four"),
        ..Default::default()
    };
    fields.topics[..topics.len()].copy_from_slice(topics);
    let mut buf = LogBuf::default();
    buf.push(&fields, data).expect("small");
    buf
}

fn who(byte: u8) -> B256 {
    B256::left_padding_from(&[byte])
}

fn source(name: &str, abi: SourceAbi, addresses: SourceAddresses) -> Source {
    Source { name: name.to_owned(), abi, addresses, start_block: 0, events: Vec::new() }
}

fn json(text: &str) -> SourceAbi {
    SourceAbi::Json { file: "abi/own.json".to_owned(), text: text.to_owned() }
}

fn registry(sources: &[Source]) -> (Layouts, Registry) {
    let mut layouts = Layouts::new().expect("built-in ABIs compile");
    let registry = Registry::new(&mut layouts, sources).expect("sources compile");
    (layouts, registry)
}

/// What a log is, as far as tests compare it.
fn seen(
    registry: &Registry,
    buf: &LogBuf,
) -> (Option<EventKind>, Option<u16>, Option<&'static str>) {
    match registry.recognise(buf.get(0).expect("one log")) {
        Recognition::Event { kind, contract, .. } => (Some(kind), Some(contract), None),
        Recognition::Undecoded { contract, reason } => (None, Some(contract), Some(reason)),
        Recognition::Foreign => (None, None, None),
    }
}

fn transfer() -> B256 {
    keccak256("Transfer(address,address,uint256)")
}

#[test]
fn signature_hashes_are_the_published_ones() {
    let layouts = Layouts::new().expect("built-in ABIs compile");
    for pair in PUBLISHED.split(", ") {
        let (name, prefix) = pair.trim().split_once(' ').expect("name and prefix");
        let hashes: Vec<String> = layouts
            .layouts()
            .into_iter()
            .filter(|layout| layout.event == name)
            .map(|layout| hex::encode(layout.topic0.expect("not anonymous")))
            .collect();
        assert!(hashes.iter().any(|hash| hash.starts_with(prefix)), "{name}: {hashes:?}");
    }
}

#[test]
fn every_built_in_kind_has_one_layout_of_its_own() {
    let layouts = Layouts::new().expect("built-in ABIs compile");
    assert_eq!(layouts.layouts().len(), EventKind::ALL.len());
    for kind in EventKind::ALL {
        assert_eq!(layouts.built_in(kind).map(|layout| layout.kind), Some(kind));
    }
}

#[test]
fn one_signature_has_the_layout_that_topics_and_length_say() {
    let (_, registry) = registry(&[]);
    let word = [7u8; 32];
    let [from, to] = [who(1), who(2)];
    let unindexed = [from.0, to.0, word].concat();
    for (topics, data, kind) in [
        (vec![transfer(), from, to], word.to_vec(), EventKind::Erc20Transfer),
        (vec![transfer(), from, to, B256::new(word)], vec![], EventKind::Erc721Transfer),
        (vec![transfer()], unindexed, EventKind::TransferUnindexed),
    ] {
        assert_eq!(seen(&registry, &one_log(TOKEN, &topics, &data)).0, Some(kind));
    }
    let odd = one_log(TOKEN, &[transfer(), from], &[0; 64]);
    let reason = DecodeError::TopicCount.reason();
    assert_eq!(seen(&registry, &odd), (None, Some(0), Some(reason)), "kept, never skipped");
}

#[test]
fn both_versions_of_a_suite_are_read() {
    let (_, registry) = registry(&[]);
    let topic0 = keccak256("RecoverySuccess(address,address,address)");
    let parts = [who(1), who(2), who(3)];
    let old = one_log(TOKEN, &[topic0], &parts.map(|part| part.0).concat());
    let new = one_log(TOKEN, &[topic0, parts[0], parts[1], parts[2]], &[]);
    for buf in [old, new] {
        let Recognition::Event { event, .. } = registry.recognise(buf.get(0).expect("one log"))
        else {
            panic!("not recognised");
        };
        let lost = match event {
            RwaEvent::RecoverySuccessV3(event) => event.lost_wallet(),
            RwaEvent::RecoverySuccessV4(event) => event.lost_wallet(),
            other => panic!("{other:?}"),
        };
        assert_eq!(lost, Address::from_word(who(1)));
    }
}

#[test]
fn dirty_padding_is_not_an_address() {
    let (_, registry) = registry(&[]);
    let buf = one_log(TOKEN, &[transfer(), B256::repeat_byte(1), who(2)], &[0; 32]);
    assert_eq!(seen(&registry, &buf).2, Some(DecodeError::Padding.reason()));
}

#[test]
fn a_log_without_topics_is_foreign_unless_its_address_is_ours() {
    let (_, any) = registry(&[]);
    assert_eq!(seen(&any, &one_log(TOKEN, &[], &[1, 2, 3])), (None, None, None));
    let listed =
        source("mine", SourceAbi::BuiltIn(Pack::Erc20), SourceAddresses::Listed(vec![TOKEN]));
    let (_, listed) = registry(&[listed]);
    let reason = Some(DecodeError::Anonymous.reason());
    assert_eq!(seen(&listed, &one_log(TOKEN, &[], &[1, 2, 3])), (None, Some(0), reason));
    let reason = Some(DecodeError::UnknownEvent.reason());
    assert_eq!(seen(&listed, &one_log(TOKEN, &[who(9)], &[])), (None, Some(0), reason));
    assert_eq!(seen(&listed, &one_log(OTHER, &[who(9)], &[])), (None, None, None));
}

#[test]
fn anonymous_events_are_read_by_their_shape() {
    let abi = r#"[{"type":"event","name":"Note","anonymous":true,"inputs":[
        {"name":"who","type":"address","indexed":true},{"name":"n","type":"uint8","indexed":false}]}]"#;
    let (layouts, registry) =
        registry(&[source("notes", json(abi), SourceAddresses::Listed(vec![TOKEN]))]);
    let buf = one_log(TOKEN, &[who(1)], &who(5).0);
    let log = buf.get(0).expect("one log");
    let Recognition::Event { layout, .. } = registry.recognise(log) else { panic!("not read") };
    let args = layouts.args(layout, log).expect("fits");
    assert_eq!(args[1], Arg { name: "n".to_owned(), value: "5".to_owned() });
    assert!(layouts.get(layout).expect("known").info.signature.ends_with("anonymous"));
    assert_eq!(seen(&registry, &one_log(TOKEN, &[who(1)], &[1; 32])).0, None, "uint8 is strict");
}

#[test]
fn listed_contracts_come_before_any() {
    let sources = [
        source("all", SourceAbi::BuiltIn(Pack::Erc20), SourceAddresses::Any),
        source("one", SourceAbi::BuiltIn(Pack::Erc20), SourceAddresses::Listed(vec![TOKEN])),
        source("two", SourceAbi::BuiltIn(Pack::Erc3643), SourceAddresses::Listed(vec![TOKEN])),
    ];
    let (_, registry) = registry(&sources);
    let topics = [transfer(), who(1), who(2)];
    assert_eq!(seen(&registry, &one_log(TOKEN, &topics, &[0; 32])).1, Some(1));
    assert_eq!(seen(&registry, &one_log(OTHER, &topics, &[0; 32])).1, Some(0));
    let frozen = [keccak256("TokensFrozen(address,uint256)"), who(1)];
    assert_eq!(
        seen(&registry, &one_log(TOKEN, &frozen, &[0; 32])).1,
        Some(2),
        "the one that can read"
    );
    assert_eq!(registry.contract_names(), ["all", "one", "two"]);
}

#[test]
fn start_blocks_and_event_names_are_respected() {
    let mut own =
        source("own", SourceAbi::BuiltIn(Pack::Erc20), SourceAddresses::Listed(vec![TOKEN]));
    own.start_block = 11;
    own.events = vec!["Transfer".to_owned()];
    let (_, registry) = registry(&[own]);
    let topics = [transfer(), who(1), who(2)];
    let at = |block| log_at(Position { block, log_index: 0 }, TOKEN, &topics, &[0; 32]);
    assert_eq!(seen(&registry, &at(10)).0, None);
    assert_eq!(seen(&registry, &at(11)).0, Some(EventKind::Erc20Transfer));
    let approval = [keccak256("Approval(address,address,uint256)"), who(1), who(2)];
    let approval = log_at(Position { block: 11, log_index: 0 }, TOKEN, &approval, &[0; 32]);
    assert_eq!(seen(&registry, &approval), (None, None, None), "not asked for");
    let expected =
        FetchFilter { addresses: vec![TOKEN], topics0: vec![transfer()], from_block: 11 };
    assert_eq!(registry.filters(), [expected]);
}

#[test]
fn children_are_matched_from_their_block_on_and_forgotten_on_a_reorg() {
    let topic0 =
        keccak256("TREXSuiteDeployed(address,address,address,address,address,address,string)");
    let factory = SourceAddresses::Factory {
        factory: OTHER,
        topic0,
        event: String::new(),
        parameter: "_token".to_owned(),
    };
    let (_, mut registry) =
        registry(&[source("suite", SourceAbi::BuiltIn(Pack::Erc3643), factory)]);
    let creation = log_at(
        Position { block: 20, log_index: 5 },
        OTHER,
        &[topic0, TOKEN.into_word(), who(9)],
        &[who(1).0, who(2).0, who(3).0, who(4).0, who(5).0].concat(),
    );
    assert_eq!(seen(&registry, &creation).0, Some(EventKind::TrexSuiteDeployed));
    let topics = [transfer(), who(1), who(2)];
    let at = |block, log_index| log_at(Position { block, log_index }, TOKEN, &topics, &[0; 32]);
    assert_eq!(seen(&registry, &at(20, 6)).0, None, "not learned yet");
    let mut found = Vec::new();
    registry.created(creation.get(0).expect("one log"), &mut found);
    let from = Position { block: 20, log_index: 5 };
    assert_eq!(found, [Child { address: TOKEN, contract: 0, from }]);
    assert!(registry.learn(found[0]));
    assert!(!registry.learn(found[0]), "known");
    assert_eq!(seen(&registry, &at(20, 2)).0, Some(EventKind::Erc20Transfer), "its constructor");
    assert_eq!(seen(&registry, &at(19, 0)).0, None);
    assert_eq!(registry.filters().len(), 2);
    registry.forget_above(20);
    assert_eq!(registry.children().len(), 1);
    registry.forget_above(19);
    assert_eq!(registry.children(), []);
    assert_eq!(registry.learn_from(creation.iter()), 1);
    registry.forget_above(0);
    assert_eq!(seen(&registry, &at(21, 0)), (None, None, None));
}

#[test]
fn own_abis_of_known_events_keep_their_names_and_their_kind() {
    let abi = r#"{"abi":[{"type":"event","name":"Transfer","inputs":[
        {"name":"src","type":"address","indexed":true},{"name":"dst","type":"address","indexed":true},
        {"name":"wad","type":"uint256","indexed":false}]}],"bytecode":{"object":"0x__$placeholder$__"}}"#;
    let (layouts, registry) = registry(&[source("weth", json(abi), SourceAddresses::Any)]);
    let buf = one_log(TOKEN, &[transfer(), who(1), who(2)], &who(3).0);
    let log = buf.get(0).expect("one log");
    let Recognition::Event { layout, kind, event, .. } = registry.recognise(log) else {
        panic!("not read");
    };
    assert_eq!(kind, EventKind::Erc20Transfer);
    assert!(matches!(event, RwaEvent::Erc20Transfer(event) if event.value() == U256::from(3)));
    let names: Vec<String> =
        layouts.args(layout, log).expect("fits").into_iter().map(|arg| arg.name).collect();
    assert_eq!(names, ["src", "dst", "wad"]);
}

#[test]
fn values_are_shown_exactly() {
    let abi = r#"[{"type":"event","name":"All","inputs":[
        {"name":"key","type":"string","indexed":true},
        {"name":"text","type":"string"},{"name":"raw","type":"bytes"},{"name":"neg","type":"int64"},
        {"name":"yes","type":"bool"},{"name":"who","type":"address"},{"name":"id","type":"bytes4"},
        {"name":"pairs","type":"tuple[]","components":[
            {"name":"to","type":"address"},{"name":"amount","type":"uint256"}]},
        {"name":"","type":"uint8[2]"}]}]"#;
    let (layouts, registry) = registry(&[source("all", json(abi), SourceAddresses::Any)]);
    let address = Address::from_word(who(1));
    let pair =
        DynSolValue::Tuple(vec![DynSolValue::Address(address), DynSolValue::Uint(U256::MAX, 256)]);
    let values = DynSolValue::Tuple(vec![
        DynSolValue::String("a \"b\"\n".to_owned()),
        DynSolValue::Bytes(vec![1, 2]),
        DynSolValue::Int(I256::MINUS_ONE, 64),
        DynSolValue::Bool(true),
        DynSolValue::Address(address),
        DynSolValue::FixedBytes(B256::right_padding_from(&[0xab, 0xcd, 0, 1]), 4),
        DynSolValue::Array(vec![pair]),
        DynSolValue::FixedArray(vec![
            DynSolValue::Uint(U256::ONE, 8),
            DynSolValue::Uint(U256::ZERO, 8),
        ]),
    ]);
    let topic0 = keccak256(
        "All(string,string,bytes,int64,bool,address,bytes4,(address,uint256)[],uint8[2])",
    );
    let buf = one_log(TOKEN, &[topic0, B256::repeat_byte(7)], &values.abi_encode_params());
    let log = buf.get(0).expect("one log");
    let Recognition::Event { layout, .. } = registry.recognise(log) else { panic!("not read") };
    let args = layouts.args(layout, log).expect("fits");
    let shown: Vec<String> = args.iter().map(|arg| format!("{}={}", arg.name, arg.value)).collect();
    let hash = format!("key=0x{}", "07".repeat(32));
    let who = address.to_checksum(None);
    let pairs = format!("pairs=[{{\"to\":\"{who}\",\"amount\":\"{}\"}}]", U256::MAX);
    let expected = [
        hash.as_str(),
        "text=a \"b\"\n",
        "raw=0x0102",
        "neg=-1",
        "yes=true",
        &format!("who={who}"),
        "id=0xabcd0001",
        &pairs,
        "arg8=[\"1\",\"0\"]",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn text_that_is_not_utf8_is_shown_as_hex() {
    let (layouts, registry) = registry(&[]);
    let topic0 = keccak256("RoleAdded(address,string)");
    let data = DynSolValue::Tuple(vec![DynSolValue::Bytes(vec![0xff, 0xfe])]).abi_encode_params();
    let buf = one_log(TOKEN, &[topic0, who(1)], &data);
    let log = buf.get(0).expect("one log");
    let Recognition::Event { layout, .. } = registry.recognise(log) else { panic!("not read") };
    assert_eq!(layouts.args(layout, log).expect("fits")[1].value, "0xfffe");
}

#[test]
fn participants_are_every_address_once() {
    let (layouts, registry) = registry(&[]);
    let topic0 = keccak256("SafeSetup(address,address[],uint256,address,address)");
    let list = vec![DynSolValue::Address(Address::from_word(who(2))); 3];
    let data = DynSolValue::Tuple(vec![
        DynSolValue::Array(list),
        DynSolValue::Uint(U256::ONE, 256),
        DynSolValue::Address(Address::from_word(who(3))),
        DynSolValue::Address(Address::from_word(who(1))),
    ])
    .abi_encode_params();
    let buf = one_log(TOKEN, &[topic0, who(1)], &data);
    let log = buf.get(0).expect("one log");
    let Recognition::Event { layout, .. } = registry.recognise(log) else { panic!("not read") };
    let mut out = vec![OTHER];
    ArgReader::participants(&layouts, layout, log, &mut out);
    let expected: Vec<Address> =
        std::iter::once(OTHER).chain([1, 2, 3].map(|byte| Address::from_word(who(byte)))).collect();
    assert_eq!(out, expected);
    ArgReader::participants(&layouts, LayoutId(u32::MAX), log, &mut out);
    assert_eq!(out.len(), 4, "an unknown layout names nobody");
}

#[test]
fn payloads_that_refer_to_themselves_are_refused() {
    let abi = r#"[{"type":"event","name":"Deep","inputs":[{"name":"x","type":"bytes[][][]"}]}]"#;
    let (_, registry) = registry(&[source("deep", json(abi), SourceAddresses::Any)]);
    // Each level holds many offsets that all lead to the next level.
    let width = 30u64;
    let mut words: Vec<B256> = vec![who(32)];
    for _ in 0..3 {
        words.push(B256::from(U256::from(width)));
        words.extend((0..width).map(|_| B256::from(U256::from(width * 32))));
    }
    words.extend([who(31); 2]);
    let data: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
    let buf = one_log(TOKEN, &[keccak256("Deep(bytes[][][])")], &data);
    assert_eq!(seen(&registry, &buf).2, Some(DecodeError::Bomb.reason()));
}

#[test]
fn a_factory_whose_abi_nobody_gives_is_read_by_its_declaration() {
    let topic0 = keccak256("Minted(uint256,address)");
    let factory = SourceAddresses::Factory {
        factory: OTHER,
        topic0,
        event: "event Minted(uint256 indexed series, address child)".to_owned(),
        parameter: "child".to_owned(),
    };
    let (_, mut registry) = registry(&[source("notes", SourceAbi::BuiltIn(Pack::Erc20), factory)]);
    let place = Position { block: 7, log_index: 0 };
    let creation = log_at(place, OTHER, &[topic0, who(3)], &TOKEN.into_word().0);
    assert_eq!(registry.learn_from(creation.iter()), 1);
    assert_eq!(registry.children(), [Child { address: TOKEN, contract: 0, from: place }]);
}

#[test]
fn faulty_abis_name_file_fault_and_remedy_all_at_once() {
    let mut layouts = Layouts::new().expect("built-in ABIs compile");
    let mut unknown_event =
        source("d", SourceAbi::BuiltIn(Pack::Erc721), SourceAddresses::Listed(vec![TOKEN]));
    unknown_event.events = vec!["Transfers".to_owned()];
    let bad_type = r#"[{"type":"event","name":"E","inputs":[{"name":"x","type":"fixed128x18"}]}]"#;
    let factory = |topic0, parameter: &str| SourceAddresses::Factory {
        factory: OTHER,
        topic0,
        event: String::new(),
        parameter: parameter.to_owned(),
    };
    let sources = [
        source("a", json("{not json"), SourceAddresses::Any),
        source("a", json("17"), SourceAddresses::Any),
        source("b", json("[]"), SourceAddresses::Any),
        source("c", json(bad_type), SourceAddresses::Any),
        unknown_event,
        source("e", SourceAbi::BuiltIn(Pack::Erc20), factory(B256::ZERO, "x")),
        source("f", SourceAbi::BuiltIn(Pack::Erc20), factory(transfer(), "value")),
    ];
    let mut faults = Registry::new(&mut layouts, &sources).expect_err("seven faults");
    assert!(matches!(faults[0], AbiError::Json { .. }), "{}", faults[0]);
    let second = faults.remove(1);
    assert!(matches!(second, AbiError::Json { .. }), "{second}");
    assert!(matches!(faults[1], AbiError::NoEvents { .. }), "{}", faults[1]);
    assert!(matches!(faults[2], AbiError::Event { .. }), "{}", faults[2]);
    assert!(matches!(faults[3], AbiError::NoSuchEvent { .. }), "{}", faults[3]);
    assert!(matches!(faults[4], AbiError::NoFactoryEvent { .. }), "{}", faults[4]);
    assert!(matches!(faults[5], AbiError::NoFactoryParameter { .. }), "{}", faults[5]);
    assert_eq!(faults.len(), 6);
    assert!(faults[0].to_string().starts_with("contract a: abi/own.json is not a JSON ABI: "));
    assert!(faults[3].to_string().contains("Approval, ApprovalForAll, Transfer"));
}
