//! Our own contract suite on a test chain, put there by the suite's own scripts, and its accounts:
//! 0 deploys, 1 does KYC, 2 is the bond's agent, 3 attests, 4 may only pause, 5 and 6 invest.

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use alloy_sol_types::private::{Address, FixedBytes, U256};
use alloy_sol_types::{SolCall, sol};
use serde_json::{Value, json};

use super::anvil::Anvil;
use super::{root, skip, tool};

sol! {
    function balanceOf(address holder) returns (uint256);
    function getFrozenTokens(address holder) returns (uint256);
    function isFrozen(address holder) returns (bool);
    function identity(address wallet) returns (address);
    function investorCountry(address wallet) returns (uint16);
    function totalSupply() returns (uint256);
    function paused() returns (bool);

    function mint(address to, uint256 amount);
    function transfer(address to, uint256 amount);
    function freezePartialTokens(address wallet, uint256 amount);
    function unfreezePartialTokens(address wallet, uint256 amount);
    function setFrozenTokens(address wallet, uint256 amount);
    function setAddressFrozen(address wallet, bool frozen);
    function forcedTransfer(address from, address to, uint256 amount, bytes32 caseId);
    function recoveryAddress(address lost, address next, address id, bytes32 caseId);
    function registerIdentity(address wallet, address id, uint16 country);
    function updateCountry(address wallet, uint16 country);
    function pause();

    struct RuleSet {
        uint128 maxBalance; uint32 holderCap; uint16 requiredTopics; uint32 lockupSecs;
        uint8 countryMode; bool senderAttested;
    }
    struct TokenTerms {
        string name; string symbol; string isin; string assetType; string salt; uint8 decimals;
        address onchainId; address owner; RuleSet rules; uint16[] countries; address[] agents;
        uint256[] rights;
    }
    function deployToken(TokenTerms terms);
}

/// Longest wait for a node that mines at once.
const MINED: Duration = Duration::from_secs(10);

/// Compiling the same project twice at a time would write the same files.
static SCRIPTS: Mutex<()> = Mutex::new(());

/// The contracts' addresses, as the deployment wrote them.
#[derive(Debug)]
pub(crate) struct Suite {
    addresses: Value,
}

impl Suite {
    /// A node that mines every transaction at once, with the suite on it. `None`: a counted skip.
    pub(crate) fn deploy() -> Option<(Anvil, Self)> {
        Self::script(&["demo"])
    }

    /// The same, with the governance scenario played to its end.
    pub(crate) fn govern() -> Option<(Anvil, Self)> {
        Self::script(&["governance"])
    }

    fn script(args: &[&str]) -> Option<(Anvil, Self)> {
        if tool("forge").is_none() {
            skip("forge", "not installed; scripts/toolchain installs it");
            return None;
        }
        let node = Anvil::start(&["--slots-in-an-epoch", "8"])?;
        node.call("evm_setAutomine", json!([true]));
        let url = format!("http://127.0.0.1:{}", node.port);
        let name = format!("31337-test-{}", node.port);
        let lock = SCRIPTS.lock();
        let output = Command::new(root().join("contracts/run"))
            .args(args)
            .arg(&url)
            .env("ANVIL_URL", &url)
            .env("DEPLOYMENT", &name)
            .output()
            .expect("contracts/run runs");
        drop(lock);
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (told(&output.stdout), told(&output.stderr));
        assert!(output.status.success(), "contracts/run {args:?}:\n{out}\n{err}");
        let file = root().join("contracts/deployments").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&file).expect("the addresses");
        std::fs::remove_file(&file).expect("removed");
        let addresses = serde_json::from_str(&text).expect("JSON");
        Some((node, Self { addresses }))
    }

    /// An address by its place in the file, e.g. `/demo/token`.
    pub(crate) fn at(&self, pointer: &str) -> &str {
        let found = self.addresses.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {}", self.addresses))
    }

    /// Sends a call of an account, which must succeed; the receipt.
    pub(crate) fn send(node: &Anvil, account: usize, to: &str, call: &impl SolCall) -> Value {
        let hash = node.send(&node.accounts[account], Some(to), &hex(&call.abi_encode()));
        let deadline = Instant::now() + MINED;
        loop {
            let receipt = node.call("eth_getTransactionReceipt", json!([hash]));
            if receipt.is_object() {
                assert_eq!(receipt["status"], "0x1", "{receipt}");
                return receipt;
            }
            assert!(Instant::now() < deadline, "{hash} is not mined");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads a value at the head.
pub(crate) fn read<C: SolCall>(node: &Anvil, to: &str, call: &C) -> C::Return {
    let text = node.read(to, &hex(&call.abi_encode()));
    let digits = text.trim_start_matches("0x").as_bytes();
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")
    };
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    C::abi_decode_returns(&bytes).expect("the declared type")
}

/// The address of an account.
pub(crate) fn account(node: &Anvil, index: usize) -> Address {
    node.accounts[index].parse().expect("an address")
}

/// A case id.
pub(crate) fn case(number: u8) -> FixedBytes<32> {
    FixedBytes::with_last_byte(number)
}

/// Units of the bond, which has six decimals.
pub(crate) fn bonds(count: u64) -> U256 {
    U256::from(count * 1_000_000)
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}
