//! The chain that the corpus asks about: tokens, transactions of every type, one that failed, one that
//! waits.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::exchange::{Exchange, essence};
use crate::support::anvil::Anvil;
use crate::support::http;
use crate::support::hub::Setup;
use crate::support::tokens::{Tokens, transfers};

/// Ids of every kind, one after the other: each must come back as it was written.
const IDS: &[&str] = &[
    "1",
    "0",
    "-7",
    "18446744073709551615",
    "123456789012345678901234567890",
    "1.50",
    "\"a\\u0062\"",
    "\"\"",
    "null",
    "\"7b2d-\u{e9}\"",
];

/// A node with a history, and the names that the corpus uses for it.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) node: Anvil,
    pub(super) tokens: Tokens,
    pub(super) names: BTreeMap<&'static str, String>,
}

impl Scene {
    /// `None`: a counted skip.
    pub(super) fn build() -> Option<Self> {
        let node = Anvil::start(&[])?;
        let tokens = Tokens::deploy(&node)?;
        transfers(&node, &tokens.coin, 5);
        node.mine(40);
        let mut names = BTreeMap::new();
        let account = |at: usize| node.accounts[at].to_lowercase();
        for (at, name) in ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"].into_iter().enumerate() {
            names.insert(name, account(at));
        }
        names.insert("a9", account(9));
        names.insert("a0Upper", node.accounts[0].clone());
        names.insert("coin", tokens.coin.clone());
        names.insert("security", tokens.security.clone());
        names.insert("nobody", format!("0x{}", "9".repeat(40)));
        names.insert("bytes32", format!("0x{}", "12".repeat(32)));
        let topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
        names.insert("transferTopic", topic.to_owned());
        names.insert("a1Topic", word(&account(1)));
        names.insert("balanceOf", format!("0x70a08231{}", bare(&word(&account(1)))));
        let transfer = |amount: &str| format!("0xa9059cbb{}{amount}", bare(&word(&account(2))));
        names.insert("transfer", transfer(&format!("{:0>64}", "1")));
        names.insert("tooMuch", transfer(&"0f".repeat(32)));
        let mut scene = Self { node, tokens, names };
        scene.transactions();
        Some(scene)
    }

    fn transactions(&mut self) {
        let name = |name: &str| self.names[name].clone();
        let send = |tx: Value| text(&self.node.call("eth_sendTransaction", json!([tx])));
        let gas = "0x1e8480";
        let tx =
            json!({"from": name("a1"), "to": name("coin"), "data": name("transfer"), "gas": gas});
        let plain = send(tx.clone());
        let create =
            send(json!({"from": name("a2"), "data": "0x602a60005260206000f3", "gas": gas}));
        let mut failing = tx;
        failing["data"] = json!(name("tooMuch"));
        failing["from"] = json!(name("a3"));
        let failed = send(failing);
        let price = "0x77359400";
        let legacy = send(
            json!({"from": name("a4"), "to": name("a1"), "value": "0x1", "gas": gas, "gasPrice": price}),
        );
        let list = json!([{"address": name("coin"), "storageKeys": [name("bytes32")]}]);
        let listed = send(
            json!({"from": name("a4"), "to": name("a1"), "gas": gas, "gasPrice": price, "accessList": list}),
        );
        self.node.mine(1);
        let pending =
            send(json!({"from": name("a9"), "to": name("a1"), "value": "0x3", "gas": gas}));
        let sign = |from: &str, nonce: u64, value: &str| {
            let tx = json!({
                "from": name(from), "to": name("a1"), "value": value, "gas": "0x5208",
                "nonce": format!("{nonce:#x}"), "maxFeePerGas": price, "maxPriorityFeePerGas": "0x1",
            });
            text(&self.node.call("eth_signTransaction", json!([tx])))
        };
        let nonce = |from: &str| {
            let count = self.node.call("eth_getTransactionCount", json!([name(from), "latest"]));
            crate::support::anvil::number(&count)
        };
        let raw = sign("a5", nonce("a5"), "0x5");
        let poor = sign("a7", nonce("a7"), "0xffffffffffffffffffffffff");
        let stale = sign("a0", 0, "0x6");
        let head = self.node.call("eth_getBlockByNumber", json!(["latest", false]));
        let early = self.node.call("eth_getBlockByNumber", json!(["0x8", false]));
        let head_hash = text(&head["hash"]);
        self.names.extend([
            ("tx", plain),
            ("txCreate", create),
            ("txFailed", failed),
            ("txLegacy", legacy),
            ("txAccessList", listed),
            ("txPending", pending),
            ("raw", raw),
            ("rawPoor", poor),
            ("rawStale", stale),
            ("head", text(&head["number"])),
            ("headHashUpper", format!("0x{}", bare(&head_hash).to_uppercase())),
            ("headHash", head_hash),
            ("early", "0x8".to_owned()),
            ("earlyHash", text(&early["hash"])),
        ]);
    }

    /// A hub that reaches the node over HTTP: over a WebSocket this node itself gives unknown methods
    /// another code (-32602 instead of -32601), and what it says over HTTP is what we compare with.
    pub(super) fn hub(&self) -> Setup {
        Setup::on_port(self.node.chain_id, self.node.port, 0, "")
    }

    /// What the node itself says.
    pub(super) fn ask_node(&self, exchange: &Exchange) -> String {
        let (_, said) = essence(&post(self.node.port, "/", &exchange.body("1")));
        self.settle(exchange, &said);
        said
    }

    /// Takes back what the exchange changed.
    pub(super) fn settle(&self, exchange: &Exchange, said: &str) {
        if exchange.drop {
            let hash = said.strip_prefix("result ").unwrap_or_else(|| panic!("{exchange}: {said}"));
            let hash: Value = serde_json::from_str(hash).expect("a hash");
            self.node.call("anvil_dropTransaction", json!([hash]));
        }
    }

    /// The hub's door on `port`.
    pub(super) fn door(&self, port: u16) -> Door<'_> {
        Door { scene: self, port, path: format!("/rpc/{}", self.node.chain_id) }
    }
}

/// A hub's `/rpc`.
#[derive(Debug)]
pub(super) struct Door<'a> {
    scene: &'a Scene,
    pub(super) port: u16,
    pub(super) path: String,
}

impl Door<'_> {
    /// The hub's answer; its id must be the one asked with, to the byte.
    pub(super) fn ask(&self, exchange: &Exchange) -> String {
        let said = self.ask_as(exchange, 0);
        self.scene.settle(exchange, &said);
        said
    }

    /// The same with one of several ids, and without taking anything back.
    pub(super) fn ask_as(&self, exchange: &Exchange, which: usize) -> String {
        let sent = id(exchange, which);
        let (came, said) = essence(&post(self.port, &self.path, &exchange.body(sent)));
        assert_eq!(came, sent, "the id of {exchange}");
        said
    }

    pub(super) fn post(&self, body: &str) -> String {
        post(self.port, &self.path, body)
    }
}

/// An id for an exchange: another kind for each.
pub(super) fn id(exchange: &Exchange, which: usize) -> &'static str {
    let length = exchange.params.as_ref().map_or(0, String::len);
    IDS[(length + exchange.method.len() + which) % IDS.len()]
}

fn post(port: u16, path: &str, body: &str) -> String {
    let answer = http::request(port, "POST", path, &[("content-type", "application/json")], body)
        .unwrap_or_else(|error| panic!("{body}: {error}"));
    assert_eq!(answer.status, 200, "{body}: {}", answer.body);
    answer.body
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}")).to_owned()
}

fn bare(hex: &str) -> &str {
    hex.trim_start_matches("0x")
}

/// An address as a 32-byte word.
fn word(address: &str) -> String {
    format!("0x{:0>64}", bare(address))
}
