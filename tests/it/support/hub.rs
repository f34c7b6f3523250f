//! The daemon as its users run it: the real binary, a configuration file, signals.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::anvil::Anvil;
use super::{free_port, http};

/// Longest start until the daemon serves.
const START: Duration = Duration::from_secs(30);
/// Longest drain after SIGTERM.
const STOP: Duration = Duration::from_secs(20);

/// A configuration and a store of their own.
#[derive(Debug)]
pub(crate) struct Setup {
    dir: tempfile::TempDir,
    pub(crate) config: PathBuf,
    pub(crate) port: u16,
    pub(crate) metrics_port: u16,
}

impl Setup {
    /// A hub on `node`, over WebSocket and HTTP, with extra TOML appended.
    pub(crate) fn new(node: &Anvil, extra: &str) -> Self {
        let ws = format!(
            "[[chain.provider]]\nname = \"ws\"\nurl = \"ws://127.0.0.1:{}\"\nweight = 1\n",
            node.port
        );
        Self::with(node.chain_id, node.port, 0, &ws, extra)
    }

    /// A hub on a node that speaks HTTP alone, from `start_block` on.
    pub(crate) fn on_port(chain_id: u64, port: u16, start_block: u64, extra: &str) -> Self {
        Self::with(chain_id, port, start_block, "", extra)
    }

    fn with(chain_id: u64, node: u16, start_block: u64, providers: &str, extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (port, metrics_port) = (free_port(), free_port());
        let text = format!(
            r#"
[[chain]]
id = {id}
name = "test"
confirmations = 4
start_block = {start_block}

{providers}
[[chain.provider]]
name = "http"
url = "http://127.0.0.1:{node}"
weight = 1

[store]
kind = "embedded"
path = "{data}"

[gateway]
listen = "127.0.0.1:{port}"

[telemetry]
metrics_listen = "127.0.0.1:{metrics_port}"

{extra}
"#,
            id = chain_id,
            data = dir.path().join("data").display(),
        );
        let config = dir.path().join("config.toml");
        std::fs::write(&config, text).expect("config written");
        Self { dir, config, port, metrics_port }
    }

    /// The directory that everything lives in.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a sub-command to its end.
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        program(args).arg("--config").arg(&self.config).output().expect("rwahub runs")
    }

    /// `backfill --to N --json`, which must succeed, and its report.
    pub(crate) fn backfill(&self, chain: u64, to: u64) -> Value {
        let (chain, to) = (chain.to_string(), to.to_string());
        let output = self.command(&["backfill", "--chain", &chain, "--to", &to, "--json"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "backfill failed: {complaint}");
        serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) fn run(&self) -> Hub {
        let mut child = program(&["run", "--config"])
            .arg(&self.config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("rwahub starts");
        let stderr = child.stderr.take().expect("piped");
        let (ready, wait) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.starts_with("listening on http://") && ready.send(()).is_err() {
                    break;
                }
            }
        });
        wait.recv_timeout(START).expect("the daemon serves");
        Hub { child, port: self.port }
    }
}

/// The program with a clean environment.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rwahub"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RWAHUB_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// A running daemon, ended when dropped.
#[derive(Debug)]
pub(crate) struct Hub {
    child: Child,
    pub(crate) port: u16,
}

impl Hub {
    /// `GET path` as JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = http::get(self.port, path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.json()
    }

    /// Waits until the chain is indexed up to this very block.
    pub(crate) fn wait_for_block(&self, node: &Anvil, number: u64) {
        let block =
            node.call("eth_getBlockByNumber", serde_json::json!([format!("{number:#x}"), false]));
        let hash = block["hash"].as_str().expect("a block").to_owned();
        let path = format!("/api/v1/chains/{}", node.chain_id);
        let deadline = Instant::now() + START;
        loop {
            let chain = self.json(&path);
            if chain["indexed_hash"] == hash.as_str() {
                return;
            }
            assert!(Instant::now() < deadline, "not at block {number} {hash}: {chain}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `-HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// SIGTERM; the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().expect("kill");
        let deadline = Instant::now() + STOP;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running {STOP:?} after SIGTERM");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
