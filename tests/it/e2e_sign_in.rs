//! Sign-in as wallets do it, against the daemon and a real chain: a Safe, a Safe that is not deployed
//! yet, a key; what a repeated request does across `kill -9`; the trail, exported and tampered with.

use std::process::Command;

use alloy_primitives::{Address, B256, Bytes, U256, eip191_hash_message, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};

use crate::support::anvil::Anvil;
use crate::support::http::{self, Answer};
use crate::support::hub::{Hub, Setup, program};
use crate::support::{root, skip};

sol! {
    function setup(
        address[] owners, uint256 threshold, address to, bytes data, address fallbackHandler,
        address paymentToken, uint256 payment, address paymentReceiver
    );
    function createProxyWithNonce(address singleton, bytes initializer, uint256 saltNonce)
        returns (address proxy);
}

/// Compiled contracts of Safe 1.5, which come with the toolchain.
const SAFE: &str =
    ".toolchain/node_modules/@safe-global/safe-smart-account/build/artifacts/contracts";
/// Repeats of a request around the kill.
const REPEATS: usize = 20;

pub(crate) fn owner(seed: u8) -> (SigningKey, Address) {
    let key = SigningKey::from_slice(&[seed; 32]).expect("a key");
    let point = key.verifying_key().to_encoded_point(false);
    let address = Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]);
    (key, address)
}

fn sign(key: &SigningKey, hash: B256) -> Vec<u8> {
    let (signature, id) = key.sign_prehash_recoverable(hash.as_slice()).expect("signed");
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(27 + id.to_byte());
    bytes
}

/// The three contracts that every Safe needs, and its owners' set-up.
struct Safes {
    singleton: Address,
    factory: Address,
    initializer: Vec<u8>,
}

impl Safes {
    fn deploy(node: &Anvil) -> Option<Self> {
        let folder = root().join(SAFE);
        if !folder.exists() {
            skip("Safe", "its artifacts are not installed; scripts/toolchain installs them");
            return None;
        }
        let code = |file: &str| -> String {
            let text = std::fs::read_to_string(folder.join(file)).expect("an artifact");
            let artifact: Value = serde_json::from_str(&text).expect("JSON");
            artifact["bytecode"].as_str().expect("bytecode").to_owned()
        };
        let singleton = deploy(node, &code("SafeL2.sol/SafeL2.json"));
        let factory = deploy(node, &code("proxies/SafeProxyFactory.sol/SafeProxyFactory.json"));
        let handler = "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler.json";
        let handler = deploy(node, &code(handler));
        let initializer = setupCall {
            owners: vec![owner(7).1, owner(8).1, owner(9).1],
            threshold: U256::from(2),
            to: Address::ZERO,
            data: Bytes::new(),
            fallbackHandler: handler,
            paymentToken: Address::ZERO,
            payment: U256::ZERO,
            paymentReceiver: Address::ZERO,
        };
        Some(Self { singleton, factory, initializer: initializer.abi_encode() })
    }

    fn creation(&self, salt: u64) -> Vec<u8> {
        let initializer = Bytes::from(self.initializer.clone());
        let call = createProxyWithNonceCall {
            singleton: self.singleton,
            initializer,
            saltNonce: U256::from(salt),
        };
        call.abi_encode()
    }

    /// Where the factory puts, or would put, the Safe of this salt.
    fn address(&self, node: &Anvil, salt: u64) -> Address {
        let to = format!("{:#x}", self.factory);
        let word = node.read(&to, &Bytes::from(self.creation(salt)).to_string());
        format!("0x{}", &word[26..]).parse().expect("an address")
    }

    fn create(&self, node: &Anvil, salt: u64) {
        let data = Bytes::from(self.creation(salt)).to_string();
        send(node, Some(self.factory), &data);
    }
}

fn send(node: &Anvil, to: Option<Address>, data: &str) -> Value {
    let mut transaction = json!({"from": node.accounts[0], "data": data, "gas": "0x989680"});
    if let Some(to) = to {
        transaction["to"] = json!(format!("{to:#x}"));
    }
    let hash = node.call("eth_sendTransaction", json!([transaction]));
    node.mine(1);
    let receipt = node.call("eth_getTransactionReceipt", json!([hash]));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    receipt
}

fn deploy(node: &Anvil, code: &str) -> Address {
    let receipt = send(node, None, code);
    receipt["contractAddress"].as_str().expect("an address").parse().expect("an address")
}

/// What owners of a Safe sign for a text: `SafeMessage(bytes message)` over the hash of the text.
fn safe_signature(chain: u64, safe: Address, text: &str, owners: &[u8]) -> Vec<u8> {
    let message = keccak256(eip191_hash_message(text).abi_encode());
    let message_type = keccak256("SafeMessage(bytes message)");
    let structure = keccak256([message_type.as_slice(), message.as_slice()].concat());
    let domain_type = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
    let domain = keccak256((domain_type, U256::from(chain), safe).abi_encode());
    let hash = keccak256([&[0x19, 0x01], domain.as_slice(), structure.as_slice()].concat());
    let mut owners: Vec<_> = owners.iter().map(|seed| owner(*seed)).collect();
    owners.sort_by_key(|(_, address)| *address);
    owners.iter().flat_map(|(key, _)| sign(key, hash)).collect()
}

fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn post(hub: &Hub, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    http::request(hub.port, "POST", path, &all, &body.to_string()).expect("an answer")
}

fn message(hub: &Hub, chain: u64, address: Address) -> String {
    let nonce = post(hub, "/auth/nonce", &[], &json!({})).json()["nonce"].clone();
    format!(
        "127.0.0.1:{port} wants you to sign in with your Ethereum account:\n{}\n\n\
         Sign in to the hub.\n\nURI: http://127.0.0.1:{port}/\nVersion: 1\nChain ID: {chain}\n\
         Nonce: {}\nIssued At: {}",
        address.to_checksum(None),
        nonce.as_str().expect("a nonce"),
        now(),
        port = hub.port,
    )
}

fn verify(hub: &Hub, text: &str, signature: &[u8]) -> Answer {
    let signature = Bytes::copy_from_slice(signature).to_string();
    post(hub, "/auth/verify", &[], &json!({"message": text, "signature": signature}))
}

/// Signs a key in; the Authorization header.
pub(crate) fn bearer(hub: &Hub, chain: u64, seed: u8) -> String {
    let (key, address) = owner(seed);
    let text = message(hub, chain, address);
    let answer = verify(hub, &text, &sign(&key, eip191_hash_message(&text)));
    assert_eq!(answer.status, 200, "{}", answer.body);
    format!("Bearer {}", answer.json()["access_token"].as_str().expect("a token"))
}

fn wallets(hub: &Hub, bearer: &str) -> Value {
    let answer = http::request(hub.port, "GET", "/auth/me", &[("authorization", bearer)], "");
    answer.expect("an answer").json()["wallets"].clone()
}

#[test]
fn a_safe_signs_in_with_its_threshold_and_one_that_is_not_deployed_yet_does_too() {
    let Some(node) = Anvil::start(&[]) else { return };
    let Some(safes) = Safes::deploy(&node) else { return };
    safes.create(&node, 1);
    // The address was asked for before the Safe was there; afterwards the factory refuses.
    let Some(safe) = deployed_safe(&node, &safes) else { panic!("no Safe") };
    let hub = Setup::new(&node, "");
    let hub = hub.run();
    let chain = node.chain_id;

    let text = message(&hub, chain, safe);
    let one = safe_signature(chain, safe, &text, &[7]);
    let answer = verify(&hub, &text, &one);
    assert_eq!(answer.status, 401, "one of two owners: {}", answer.body);
    let strangers = safe_signature(chain, safe, &text, &[7, 6]);
    assert_eq!(verify(&hub, &text, &strangers).status, 401, "a stranger's signature");
    let two = safe_signature(chain, safe, &text, &[7, 9]);
    let answer = verify(&hub, &text, &two);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let bearer = format!("Bearer {}", answer.json()["access_token"].as_str().expect("a token"));
    assert_eq!(wallets(&hub, &bearer), json!([format!("{safe:#x}")]));
    let refresh = json!({"refresh_token": answer.json()["refresh_token"]});
    assert_eq!(post(&hub, "/auth/refresh", &[], &refresh).status, 200, "asked again: still yes");

    // Counterfactual: nothing is at the address, and nothing is afterwards.
    let future = safes.address(&node, 77);
    let code = node.call("eth_getCode", json!([format!("{future:#x}"), "latest"]));
    assert_eq!(code, "0x");
    let wrap = |signature: Vec<u8>| -> Vec<u8> {
        let inner = (safes.factory, Bytes::from(safes.creation(77)), Bytes::from(signature));
        [inner.abi_encode_params(), [0x64, 0x92].repeat(16)].concat()
    };
    let text = message(&hub, chain, future);
    let wrong = wrap(safe_signature(chain, future, &text, &[7]));
    assert_eq!(verify(&hub, &text, &wrong).status, 401, "one of two owners");
    let another = wrap(safe_signature(chain, safe, &text, &[7, 8]));
    assert_eq!(verify(&hub, &text, &another).status, 401, "signed for another Safe");
    let right = wrap(safe_signature(chain, future, &text, &[7, 8]));
    let answer = verify(&hub, &text, &right);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let code = node.call("eth_getCode", json!([format!("{future:#x}"), "latest"]));
    assert_eq!(code, "0x", "checking deploys nothing");
    // A wallet of somebody else that the factory's call does not make is not theirs.
    let (_, stranger) = owner(50);
    let text = message(&hub, chain, stranger);
    let stolen = wrap(safe_signature(chain, stranger, &text, &[7, 8]));
    assert_eq!(verify(&hub, &text, &stolen).status, 401);
    assert_eq!(hub.stop(), Some(0));
}

/// The address of the Safe that the factory has made, from its event.
fn deployed_safe(node: &Anvil, safes: &Safes) -> Option<Address> {
    let factory = format!("{:#x}", safes.factory);
    let logs = node.logs(&[&factory], 0, node.head());
    let topic = logs.last()?["topics"][1].as_str()?.to_owned();
    format!("0x{}", topic.get(26..)?).parse().ok()
}

#[test]
fn a_repeated_request_has_one_effect_and_one_answer_across_kill_9() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    let (_, admin) = owner(1);
    let added = setup.command(&["users", "add", "--admin", "--wallet", &format!("{admin:#x}")]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let mut answers: Vec<String> = Vec::new();
    let body = json!({"wallet": format!("{:#x}", owner(2).1), "name": "once"}).to_string();
    let mut bearer_text = String::new();
    for round in 0..3 {
        let hub = setup.run();
        if bearer_text.is_empty() {
            bearer_text = bearer(&hub, node.chain_id, 1);
        }
        let port = hub.port;
        let calls: Vec<_> = (0..REPEATS)
            .map(|_| {
                let (body, bearer) = (body.clone(), bearer_text.clone());
                std::thread::spawn(move || {
                    let headers = [
                        ("content-type", "application/json"),
                        ("authorization", bearer.as_str()),
                        ("idempotency-key", "the-one"),
                    ];
                    http::request(port, "POST", "/api/v1/users", &headers, &body).ok()
                })
            })
            .collect();
        if round < 2 {
            // In the middle of it, if the machine allows: some are answered, some are cut off.
            std::thread::sleep(std::time::Duration::from_millis(3 + 10 * round));
            hub.kill();
        }
        for call in calls {
            let Some(answer) = call.join().expect("a thread") else { continue };
            if answer.status == 201 {
                answers.push(answer.body);
            } else {
                // 0: the connection was cut before a whole head came.
                assert!([0, 409].contains(&answer.status), "{}: {}", answer.status, answer.body);
            }
        }
    }
    assert!(!answers.is_empty(), "the last round is not killed");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let listed = setup.command(&["users", "list"]);
    let users: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let once = users.as_array().expect("users").iter().filter(|user| user["name"] == "once");
    assert_eq!(once.count(), 1, "{users}");
    // The trail tells of it once, and holds.
    let export = setup.dir().join("trail.jsonl");
    let export = export.to_str().expect("a path");
    let exported = setup.command(&["audit", "export", "--out", export]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let text = std::fs::read_to_string(export).expect("the export");
    let added = text.lines().filter(|line| line.contains(r#""action":"user.add""#)).count();
    assert_eq!(added, 2, "the administrator and one more:\n{text}");
    let key = setup.command(&["audit", "key"]);
    let key = String::from_utf8(key.stdout).expect("text");
    let check = |file: &str| {
        let output = program(&["audit", "verify", file, "--public-key", key.trim()]).output();
        output.expect("rwahub runs").status.code()
    };
    assert_eq!(check(export), Some(0));
    let tampered = setup.dir().join("tampered.jsonl");
    let tampered = tampered.to_str().expect("a path");
    std::fs::write(tampered, text.replace("user.add", "user.bad")).expect("written");
    assert_eq!(check(tampered), Some(1));
    let lines: Vec<_> = text.lines().collect();
    std::fs::write(tampered, lines[..lines.len() - 1].join("\n")).expect("written");
    assert_eq!(check(tampered), Some(1));
}

#[test]
fn signing_keys_are_changed_by_command_beside_the_running_daemon() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let bearer_text = bearer(&hub, node.chain_id, 3);
    let me = |bearer: &str| {
        let answer = http::request(hub.port, "GET", "/auth/me", &[("authorization", bearer)], "");
        answer.expect("an answer").status
    };
    assert!(setup.command(&["keys", "rotate", "--now"]).status.success());
    assert_eq!(me(&bearer_text), 200, "tokens of the old key live on");
    let fresh = bearer(&hub, node.chain_id, 4);
    assert_eq!(me(&fresh), 200);
    assert!(setup.command(&["keys", "rotate", "--revoke", "--why", "stolen"]).status.success());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while me(&fresh) != 401 {
        assert!(std::time::Instant::now() < deadline, "a withdrawn key still counts");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(me(&bearer(&hub, node.chain_id, 5)), 200);
    assert_eq!(hub.stop(), Some(0));
}
