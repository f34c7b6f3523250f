//! What a configuration may say, what it may not, and what is said about it.

use std::collections::HashMap;
use std::path::Path;

use super::load::{EXAMPLE, Override, Sources, load_texts};
use super::{Abi, Addresses, BuiltInAbi, Bus, Cache, Config, Store, Transport, Verify};

const ABI: &str = r#"[{"type":"event","name":"Deployed","inputs":[{"name":"token","type":"address","indexed":true}],"anonymous":false}]"#;

fn read(path: &Path) -> Result<String, String> {
    match path.to_str() {
        Some("abi.json") => Ok(ABI.to_owned()),
        Some("artifact.json") => Ok(format!(r#"{{"contractName":"X","abi":{ABI}}}"#)),
        Some("text.json") => Ok("hello".to_owned()),
        Some("functions.json") => Ok(
            r#"[{"type":"function","name":"f","inputs":[],"outputs":[],"stateMutability":"view"}]"#
                .to_owned(),
        ),
        Some("/run/credentials/hub/nats") => Ok("tls://hub:SECRET@bus.example:4222\n".to_owned()),
        Some("/run/credentials/hub/url") => Ok("wss://node.example/v3/SECRET\n".to_owned()),
        _ => Err("No such file or directory (os error 2)".to_owned()),
    }
}

fn load_with(
    text: &str,
    env: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<(Config, Vec<String>), Vec<String>> {
    let env: HashMap<_, _> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let overrides: Vec<_> = flags
        .iter()
        .map(|(key, value)| Override { key: (*key).to_owned(), value: (*value).to_owned() })
        .collect();
    let file = (!text.is_empty()).then_some(("config.toml", text));
    load_texts(&Sources { file, env, overrides: &overrides, read: &read })
        .map_err(|errors| errors.faults.iter().map(ToString::to_string).collect())
}

fn load(text: &str) -> Config {
    load_with(text, &[], &[]).map(|(config, _)| config).expect("a good configuration")
}

fn faults(text: &str) -> Vec<String> {
    load_with(text, &[], &[]).expect_err("a faulty configuration")
}

const CHAIN: &str = "[[chain]]\nid = 1\nname = \"main\"\n[[chain.provider]]\nurl = \"https://node.example/v3/SECRET\"\n";

#[test]
fn the_example_is_the_list_of_defaults() {
    let from_nothing = load("").to_toml_redacted();
    assert_eq!(from_nothing, load(EXAMPLE).to_toml_redacted());
    assert_eq!(from_nothing, load(&from_nothing).to_toml_redacted(), "what is shown loads again");
    for section in super::keys::SECTIONS {
        for key in section.keys {
            let active = EXAMPLE.lines().any(|line| line.starts_with(&format!("{} = ", key.name)));
            let shown = EXAMPLE.lines().any(|line| line.starts_with(&format!("# {} = ", key.name)));
            let known = active || shown || key.presence == super::keys::Presence::Section;
            assert!(known, "{}.{} is missing in the example", section.path, key.name);
        }
    }
}

#[test]
fn the_commented_keys_of_the_example_are_good_too() {
    let text: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.starts_with("[[") || key.contains(" = ") => key,
            _ => line,
        })
        .filter(|line| !line.starts_with("url_file"))
        // Belongs to another kind of store.
        .filter(|line| !line.starts_with("url = \"mongodb"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = load(&text);
    assert_eq!(config.contracts.len(), 1);
    assert_eq!(config.chains[0].providers[0].rate_limit_rps, Some(25));
}

#[test]
fn a_mongodb_store_is_read_with_its_url_and_shows_no_secret() {
    for url in [
        "mongodb://hub:SECRET@a.example:27017,b.example:27018/rwa?tls=true",
        "mongodb+srv://c.example",
    ] {
        let config = load(&format!("{CHAIN}[store]\nkind = \"mongodb\"\nurl = \"{url}\"\n"));
        let Store::MongoDb { url: read } = &config.store else { panic!("{:?}", config.store) };
        assert_eq!(read.expose(), url);
        let shown = format!("{config:?}{}", config.to_toml_redacted());
        assert!(shown.contains(".example") && !shown.contains("SECRET"), "{shown}");
    }
    for wrong in ["kind = \"mongodb\"", "url = \"mongodb://hub:SECRET@a.example/\""] {
        let got = faults(&format!("{CHAIN}[store]\n{wrong}\n")).join("");
        assert!(got.contains("store.url") && !got.contains("SECRET"), "{got}");
    }
}

#[test]
fn a_chain_of_the_file_replaces_the_built_in_one_and_keeps_its_defaults() {
    let config = load(CHAIN);
    assert_eq!(config.chains.len(), 1);
    let chain = &config.chains[0];
    assert_eq!((chain.id.0, chain.confirmations, chain.verify), (1, 64, Verify::Receipts));
    assert_eq!(chain.providers[0].weight, 1);
    assert_eq!(chain.providers[0].name, "node.example");
    assert_eq!(chain.providers[0].url.transport, Transport::Http);
}

#[test]
fn environment_beats_file_and_flags_beat_environment() {
    let text = format!("{CHAIN}[gateway]\nlisten = \"127.0.0.1:1\"\n");
    let env = [
        ("RWAHUB_GATEWAY__LISTEN", "127.0.0.1:2"),
        ("RWAHUB_GATEWAY__PUBLIC_READ", "false"),
        ("RWAHUB_CHAIN__0__START_BLOCK", "7"),
        ("RWAHUB_CHAIN__0__PROVIDER__1__URL", "ws://127.0.0.1:8546"),
        ("RWAHUB_CHAIN__1__ID", "5"),
        ("RWAHUB_CHAIN__1__PROVIDER__0__URL", "http://127.0.0.1:8545"),
        ("RWAHUB_TEST_REDIS_URL", "passed over"),
        ("HOME", "/root"),
    ];
    let flags = [("gateway.listen", "127.0.0.1:3"), ("chain[1].start_block", "9")];
    let (config, _) = load_with(&text, &env, &flags).expect("good");
    assert_eq!(config.gateway.listen.port(), 3);
    assert!(!config.gateway.public_read);
    assert_eq!(config.chains[0].start_block, 7);
    assert_eq!(config.chains[0].providers[1].url.transport, Transport::WebSocket);
    assert_eq!((config.chains[1].start_block, config.chains[1].confirmations), (9, 64));
    let Store::Embedded { path } = &config.store else { panic!("{:?}", config.store) };
    assert_eq!(path, Path::new("data"));
}

#[test]
fn bad_variables_and_flags_are_faults_that_name_them() {
    let env = [
        ("RWAHUB_GATEWAY__LISTENS", "x"),
        ("RWAHUB_CHAIN__3__ID", "5"),
        ("RWAHUB_GATEWAY__LISTEN__X", "1"),
        ("RWAHUB_CHAIN__0__START_BLOCK", "-1"),
    ];
    let mut got = load_with(CHAIN, &env, &[("chain.id", "3")]).expect_err("faulty");
    got.sort();
    assert_eq!(
        got,
        [
            "chain.3.id (environment RWAHUB_CHAIN__3__ID): chain has 1 entries, so 1 is the next number, not 3; name a key of config.toml.example",
            "chain.id (command line): chain is a list: a number must follow it; name a key of config.toml.example",
            "chain[0].start_block = \"-1\" (environment RWAHUB_CHAIN__0__START_BLOCK): out of range; use a whole number, 0 or above",
            "gateway.listen.x (environment RWAHUB_GATEWAY__LISTEN__X): listen is a value and has no keys of its own; name a key of config.toml.example",
            "gateway.listens (environment RWAHUB_GATEWAY__LISTENS): unknown key; did you mean listen?; or unset RWAHUB_GATEWAY__LISTENS",
        ]
    );
}

#[test]
fn secrets_come_from_variables_and_files_and_do_not_print() {
    let text = "[[chain]]\nid = 1\n\
        [[chain.provider]]\nname = \"a\"\nurl = \"https://user:pw@node.example/${KEY}\"\n\
        [[chain.provider]]\nname = \"b\"\nurl_file = \"${CREDENTIALS_DIRECTORY}/url\"\n\
        [[chain.provider]]\nname = \"c\"\nurl = { file = \"/run/credentials/hub/url\" }\n";
    let env = [("KEY", "SECRET"), ("CREDENTIALS_DIRECTORY", "/run/credentials/hub")];
    let (config, _) = load_with(text, &env, &[]).expect("good");
    let urls: Vec<_> = config.chains[0].providers.iter().map(|p| p.url.expose()).collect();
    let file = "wss://node.example/v3/SECRET";
    assert_eq!(urls, ["https://user:pw@node.example/SECRET", file, file]);
    for shown in [format!("{config:?}"), config.to_toml_redacted()] {
        assert!(!shown.contains("SECRET") && !shown.contains("pw"), "{shown}");
    }
}

#[test]
fn every_fault_is_reported_at_once_and_none_prints_a_secret() {
    let text = r#"
[[chain]]
id = 1
name = "main"
confirmation = 3
[[chain.provider]]
name = "a"
url = "ftp://node.example/SECRET"
[[chain.provider]]
name = "a"
uri = "https://node.example/SECRET"
weight = 0
[[chain.provider]]
url = "https:///SECRET"
[[chain.provider]]
url = "https://node.example/${MISSING}"
[[chain]]
id = 1
name = "main"
[store]
kind = "mongodb"
url = "mongodb://root:SECRET/@db"
[cache]
kind = "rediss"
[gateway]
listen = "localhost:8080"
cors_origins = ["https://a.example/", "https://b.example"]
[telemetry]
log_level = "loud"
log_format = 3
"#;
    let got = faults(text);
    insta::assert_snapshot!(got.join("\n"));
    assert!(!got.join("\n").contains("SECRET"));
}

#[test]
fn contracts_must_fit_their_chain_abi_and_addresses() {
    let contract =
        |body: &str| format!("{CHAIN}[[contract]]\nname = \"x\"\nchain_id = 1\n{body}\n");
    let one = |body: &str| faults(&contract(body)).join("\n");
    let got = [
        one("abi = \"missing.json\"\naddress = \"any\""),
        one("abi = \"erc366\"\naddress = \"any\""),
        one("abi = \"text.json\"\naddress = \"any\""),
        one("abi = \"functions.json\"\naddress = \"any\""),
        one("abi = \"erc20\"\naddress = \"any\"\nevents = [\"Transfers\", \"Minted\"]"),
        one("abi = \"erc20\"\naddress = \"all\""),
        one("abi = \"erc20\"\naddress = []"),
        one("abi = \"erc20\""),
        one(
            "abi = \"erc20\"\naddress = [\"0x5FbDB2315678afecb367f032d93F642f64180aA3\", \"0x12\"]",
        ),
        one(
            "abi = \"erc20\"\naddress = { factory = \"0x5FbDB2315678afecb367f032d93F642f64180aa3\", event = \"Deployed(uint256 id)\", parameter = \"id\" }",
        ),
        one(
            "abi = \"erc20\"\naddress = { factory = \"0x5FbDB2315678afecb367f032d93F642f64180aa3\", event = \"Deployed(address token)\", parameter = \"tok\" }",
        ),
        one(
            "abi = \"erc20\"\naddress = { factory = \"0x5FbDB2315678afecb367f032d93F642f64180aa3\", event = \"Deployed(\", parameter = \"tok\" }",
        ),
        one(
            "abi = \"erc20\"\naddress = \"any\"\n[[contract]]\nname = \"x\"\nchain_id = 2\nabi = \"erc20\"\naddress = \"any\"",
        ),
    ];
    insta::assert_snapshot!(got.join("\n"));
}

#[test]
fn good_contracts_are_read() {
    let text = format!(
        "{CHAIN}[[contract]]\nname = \"a\"\nchain_id = 1\nabi = \"erc3643\"\naddress = \"any\"\nevents = [\"TokensFrozen\"]\n\
         [[contract]]\nname = \"b\"\nchain_id = 1\nabi = \"artifact.json\"\naddress = [\"0x5fbdb2315678afecb367f032d93f642f64180aa3\"]\n\
         [[contract]]\nname = \"c\"\nchain_id = 1\nabi = \"abi.json\"\nstart_block = 5\n\
         address = {{ factory = \"0x5FbDB2315678afecb367f032d93F642f64180aa3\", event = \"Deployed(address indexed token)\", parameter = \"token\" }}\n"
    );
    let config = load(&text);
    assert!(matches!(config.contracts[0].abi, Abi::BuiltIn(BuiltInAbi::Erc3643)));
    assert!(matches!(&config.contracts[1].abi, Abi::Custom { json, .. } if json.starts_with('[')));
    let Addresses::Factory { event, topic0, .. } = &config.contracts[2].addresses else {
        panic!("a factory")
    };
    assert_eq!(event, "event Deployed(address indexed token)");
    assert_eq!(*topic0, alloy_primitives::keccak256("Deployed(address)"));
    assert_eq!(config.to_toml_redacted().matches("[[contract]]").count(), 3);
}

#[test]
fn ports_must_differ_unless_the_addresses_do() {
    let ports = |gateway: &str, metrics: &str| {
        let text = format!(
            "[gateway]\nlisten = \"{gateway}\"\n[telemetry]\nmetrics_listen = \"{metrics}\"\n"
        );
        load_with(&text, &[], &[]).map(|_| ()).map_err(|faults| faults.join("\n"))
    };
    assert_eq!(
        ports("0.0.0.0:9000", "127.0.0.1:9000"),
        Err("telemetry.metrics_listen = \"127.0.0.1:9000\" (config.toml:4): gateway.listen = 0.0.0.0:9000 has this port; give each its own port".to_owned())
    );
    assert_eq!(ports("127.0.0.1:9000", "127.0.0.2:9000"), Ok(()));
    assert_eq!(ports("127.0.0.1:0", "127.0.0.1:0"), Ok(()));
}

#[test]
fn broken_syntax_names_the_line_and_shows_nothing_of_it() {
    let got =
        faults("[gateway]\nlisten = \"127.0.0.1:1\"\n[[chain]]\nid = \nurl = \"https://SECRET\n");
    assert!(got[0].starts_with("config.toml:4: not valid TOML: "), "{got:?}");
    assert!(!got.join("").contains("SECRET"));
}

#[test]
fn doubtful_settings_are_warned_about() {
    let text = "[[chain]]\nid = 1\nverify = \"off\"\nstart_block = 10\n[[chain.provider]]\nurl = \"http://node.example/KEY\"\n\
        [[contract]]\nname = \"a\"\nchain_id = 1\nabi = \"erc20\"\naddress = \"any\"\nstart_block = 5\n";
    let (_, warnings) = load_with(text, &[], &[]).expect("good");
    insta::assert_snapshot!(warnings.join("\n"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    /// Lines of the example in any order and number, cut and salted, never panic, and every fault
    /// is one line.
    #[test]
    fn any_text_is_a_configuration_or_a_list_of_faults(
        picks in proptest::collection::vec((0usize..80, 0usize..40, ".{0,6}"), 0..30),
    ) {
        let lines: Vec<&str> = EXAMPLE.lines().collect();
        let text: String = picks
            .iter()
            .map(|(line, cut, salt)| {
                let line = lines[line % lines.len()].trim_start_matches("# ");
                let head: String = line.chars().take(line.chars().count().saturating_sub(*cut)).collect();
                if cut % 3 == 0 { format!("{line}\n") } else { format!("{head}{salt}\n") }
            })
            .collect();
        if let Err(faults) = load_with(&text, &[], &[]) {
            proptest::prop_assert!(!faults.is_empty());
            for fault in faults {
                proptest::prop_assert!(!fault.contains('\n'), "{fault:?}");
            }
        }
    }
}

#[test]
fn engines_are_read_with_their_urls_and_no_fault_shows_a_secret() {
    let text = format!(
        "{CHAIN}[cache]\nkind = \"redis\"\nurl = \"rediss://hub:SECRET@cache.example:6380/1\"\n\
         [bus]\nkind = \"nats\"\nurl_file = \"/run/credentials/hub/nats\"\nprefix = \"a\"\n"
    );
    let config = load(&text);
    let (Cache::Redis { url, prefix }, Bus::Nats { url: nats, prefix: nats_prefix }) =
        (&config.cache, &config.bus)
    else {
        panic!("{config:?}")
    };
    assert_eq!(url.expose(), "rediss://hub:SECRET@cache.example:6380/1");
    assert_eq!((prefix.as_str(), nats_prefix.as_str()), ("rwahub", "a"));
    assert_eq!(nats.redacted(), "tls://bus.example:4222");
    let shown = format!("{} {config:?}", config.to_toml_redacted());
    assert!(!shown.contains("SECRET"), "{shown}");

    let got = faults(&format!(
        "{CHAIN}[cache]\nkind = \"redis\"\nurl = \"https://u:SECRET@h\"\nprefix = \"a b\"\n\
         [bus]\nkind = \"nats\"\n"
    ));
    assert_eq!(
        got,
        [
            "cache.prefix = \"a b\" (config.toml:9): not fit for names of keys; use 1 to 64 letters, digits, '-' or '_'",
            "cache.url (config.toml:8): not a URL with redis or rediss; write it as redis://user:password@host:port",
            "bus.url (built-in default): missing; add url = \"..\" or url_file = \"..\"",
        ]
    );
    let (_, warnings) =
        load_with(&format!("{CHAIN}[cache]\nurl = \"redis://h\"\n"), &[], &[]).expect("loads");
    assert_eq!(warnings, ["cache.url: not used by this kind; set kind = \"redis\" or remove it"]);
}
