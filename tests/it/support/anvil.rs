//! A real EVM node: anvil as a child process, ended when dropped.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{free_port, http, tool};

/// Longest start of anvil on a busy machine.
const START: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Anvil {
    child: Child,
    pub(crate) port: u16,
    pub(crate) chain_id: u64,
    pub(crate) accounts: Vec<String>,
}

impl Anvil {
    /// Starts a node that mines only when told. `args` go to anvil.
    pub(crate) fn start(args: &[&str]) -> Option<Self> {
        let Some(anvil) = tool("anvil") else {
            super::skip("anvil", "not installed; scripts/toolchain installs it");
            return None;
        };
        let port = free_port();
        let child = Command::new(anvil)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--no-mining", "--silent"])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let mut node = Self { child, port, chain_id: 0, accounts: Vec::new() };
        let deadline = Instant::now() + START;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "anvil does not listen after {START:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let id = node.call("eth_chainId", json!([]));
        node.chain_id = number(&id);
        let accounts = node.call("eth_accounts", json!([]));
        node.accounts = accounts
            .as_array()
            .expect("accounts")
            .iter()
            .map(|account| account.as_str().expect("address").to_owned())
            .collect();
        Some(node)
    }

    /// A call that must succeed.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        http::rpc(self.port, "/", method, params)
    }

    /// Mines `blocks` blocks.
    pub(crate) fn mine(&self, blocks: u64) {
        self.call("anvil_mine", json!([format!("{blocks:#x}")]));
    }

    /// The head's number.
    pub(crate) fn head(&self) -> u64 {
        number(&self.call("eth_blockNumber", json!([])))
    }

    /// Sends an unsigned transaction of an unlocked account; it waits for the next block.
    pub(crate) fn send(&self, from: &str, to: Option<&str>, data: &str) -> String {
        let mut transaction = json!({"from": from, "data": data, "gas": "0x1e8480"});
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        let hash = self.call("eth_sendTransaction", json!([transaction]));
        hash.as_str().expect("hash").to_owned()
    }

    /// The result of a call at the head.
    pub(crate) fn read(&self, to: &str, data: &str) -> String {
        let answer = self.call("eth_call", json!([{"to": to, "data": data}, "latest"]));
        answer.as_str().expect("hex").to_owned()
    }

    /// Every log of the given addresses from `from` to `to`.
    pub(crate) fn logs(&self, addresses: &[&str], from: u64, to: u64) -> Vec<Value> {
        let filter = json!([{
            "address": addresses, "fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}"),
        }]);
        self.call("eth_getLogs", filter).as_array().expect("logs").clone()
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// A quantity as a number.
pub(crate) fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("not a quantity: {value}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hex")
}
