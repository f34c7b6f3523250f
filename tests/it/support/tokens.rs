//! The demo's token set on a test chain, and mixed traffic on it from a seed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use alloy_sol_types::private::{Address, U256};
use alloy_sol_types::{SolCall, SolValue, sol};
use serde_json::{Value, json};

use super::anvil::Anvil;
use super::{root, skip, tool};

sol! {
    function mint(address to, uint256 value);
    function burn(address from, uint256 value);
    function transfer(address to, uint256 value);
    function approve(address spender, uint256 value);
    function balanceOf(address holder);
    function registerIdentity(address wallet, address id, uint16 country);
    function updateCountry(address wallet, uint16 country);
    function freezePartialTokens(address wallet, uint256 value);
    function setAddressFrozen(address wallet, bool frozen);
}

/// A plain ERC-20 and a token with ERC-3643 events, and what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) coin: String,
    pub(crate) security: String,
    pub(crate) registry: String,
    pub(crate) compliance: String,
}

impl Tokens {
    /// Deploys the set and gives every account something to move. `None`: a counted skip.
    pub(crate) fn deploy(node: &Anvil) -> Option<Self> {
        let owner = node.accounts[0].clone();
        let coin = deploy(
            node,
            "DemoCoin",
            &("Demo Dollar".to_owned(), "DUSD".to_owned()).abi_encode_params(),
        )?;
        let registry = deploy(node, "DemoRegistry", &[])?;
        let compliance = deploy(node, "DemoCompliance", &[])?;
        let arguments = (
            "Harbour Street Bond".to_owned(),
            "HSB".to_owned(),
            address(&registry),
            address(&compliance),
        );
        let security = deploy(node, "DemoSecurity", &arguments.abi_encode_params())?;
        for account in &node.accounts {
            let wallet = address(account);
            let register = registerIdentityCall { wallet, id: wallet, country: 76 };
            node.send(&owner, Some(&registry), &hex(&register.abi_encode()));
            let mint = mintCall { to: wallet, value: U256::from(1_000_000) };
            node.send(&owner, Some(&security), &hex(&mint.abi_encode()));
            node.send(&owner, Some(&coin), &hex(&mint.abi_encode()));
            node.mine(1);
        }
        Some(Self { coin, security, registry, compliance })
    }

    /// Every address of the set.
    pub(crate) fn addresses(&self) -> [&str; 4] {
        [&self.coin, &self.security, &self.registry, &self.compliance]
    }

    /// Sends `count` mixed transactions and mines them, one to five a block. The same seed gives the
    /// same traffic. Some of it reverts on chain, as in real life.
    pub(crate) fn traffic(&self, node: &Anvil, seed: u64, count: usize) {
        let mut dice = Dice(seed);
        let mut waiting = 0;
        for _ in 0..count {
            let (from, to, data) = self.random_call(node, &mut dice);
            node.send(&from, Some(&to), &data);
            waiting += 1;
            if waiting > dice.below(5) {
                node.mine(1);
                waiting = 0;
            }
        }
        node.mine(1);
    }

    fn random_call(&self, node: &Anvil, dice: &mut Dice) -> (String, String, String) {
        let owner = node.accounts[0].clone();
        let pick = |dice: &mut Dice| node.accounts[dice.below(node.accounts.len())].clone();
        let (from, to) = (pick(dice), address(&pick(dice)));
        let value = U256::from(dice.below(5_000));
        let (from, token, data) = match dice.below(12) {
            0 => (owner, &self.coin, mintCall { to, value }.abi_encode()),
            1 => (owner, &self.security, mintCall { to, value }.abi_encode()),
            2 => (owner, &self.security, burnCall { from: to, value }.abi_encode()),
            3 => {
                (owner, &self.security, freezePartialTokensCall { wallet: to, value }.abi_encode())
            }
            4 => {
                let frozen = dice.below(4) == 0;
                (owner, &self.security, setAddressFrozenCall { wallet: to, frozen }.abi_encode())
            }
            5 => {
                let country = u16::try_from(dice.below(800)).expect("small") + 1;
                (owner, &self.registry, updateCountryCall { wallet: to, country }.abi_encode())
            }
            6 => (from, &self.coin, approveCall { spender: to, value }.abi_encode()),
            7 | 8 => (from, &self.security, transferCall { to, value }.abi_encode()),
            _ => (from, &self.coin, transferCall { to, value }.abi_encode()),
        };
        (from, token.clone(), hex(&data))
    }

    /// `balanceOf` of every account that may hold `token`, above zero, from the node.
    pub(crate) fn balances(&self, node: &Anvil, token: &str) -> BTreeSet<(String, String)> {
        let mut balances = BTreeSet::new();
        for account in &node.accounts {
            let call = balanceOfCall { holder: address(account) }.abi_encode();
            let word = node.read(token, &hex(&call));
            let balance = U256::from_str_radix(word.trim_start_matches("0x"), 16).expect("a word");
            if !balance.is_zero() {
                balances.insert((account.to_lowercase(), balance.to_string()));
            }
        }
        balances
    }
}

/// Runs `count` transfers of the coin, all in one block.
pub(crate) fn transfers(node: &Anvil, coin: &str, count: usize) {
    for index in 0..count {
        let from = &node.accounts[index % node.accounts.len()];
        let to = address(&node.accounts[(index + 1) % node.accounts.len()]);
        let call = transferCall { to, value: U256::from(index + 1) };
        node.send(from, Some(coin), &hex(&call.abi_encode()));
    }
    node.mine(1);
}

/// Deploys a compiled demo contract; its address.
fn deploy(node: &Anvil, name: &str, arguments: &[u8]) -> Option<String> {
    let artifact = compiled()?.join(format!("{name}.sol/{name}.json"));
    let text = std::fs::read_to_string(&artifact).expect("compiled contract");
    let artifact: Value = serde_json::from_str(&text).expect("artifact");
    let code = artifact["bytecode"]["object"].as_str().expect("bytecode").to_owned();
    let data = code + hex(arguments).trim_start_matches("0x");
    let hash = node.send(&node.accounts[0], None, &data);
    node.mine(1);
    let receipt = node.call("eth_getTransactionReceipt", json!([hash]));
    assert_eq!(receipt["status"], "0x1", "{name} deploys: {receipt}");
    Some(receipt["contractAddress"].as_str().expect("address").to_owned())
}

/// The output folder of the demo contracts, compiled once.
fn compiled() -> Option<&'static PathBuf> {
    static OUT: OnceLock<Option<PathBuf>> = OnceLock::new();
    OUT.get_or_init(|| {
        let (Some(forge), Some(solc)) = (tool("forge"), tool("solc")) else {
            skip("forge", "not installed; scripts/toolchain installs it");
            return None;
        };
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("demo-contracts");
        let output = Command::new(forge)
            .args(["build", "--offline", "--root"])
            .arg(root().join("tests/it/contracts"))
            .arg("--use")
            .arg(solc)
            .arg("--out")
            .arg(target.join("out"))
            .arg("--cache-path")
            .arg(target.join("cache"))
            .output()
            .expect("forge runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(target.join("out"))
    })
    .as_ref()
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

/// A small generator (splitmix64), so that a seed names the traffic.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % limit as u64).expect("below a usize")
    }
}
