//! Servers of a test's own, which it may stop, freeze and kill.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{free_port, skip, tool};

/// A server process; killed when dropped.
pub(super) struct Server {
    child: Option<Child>,
    program: PathBuf,
    arguments: Vec<String>,
    pub(super) port: u16,
    _data: tempfile::TempDir,
}

impl Server {
    /// A Redis that keeps every write, or a counted skip.
    pub(super) fn redis() -> Option<Self> {
        Self::start("redis-server", |port, data| {
            let data = data.display();
            format!(
                "--bind 127.0.0.1 --port {port} --dir {data} --appendonly yes --appendfsync always \
                 --daemonize no --set-proc-title no"
            )
        })
    }

    /// A NATS server with JetStream, or a counted skip.
    pub(super) fn nats() -> Option<Self> {
        Self::start("nats-server", |port, data| {
            format!("--addr 127.0.0.1 --port {port} --jetstream --store_dir {}", data.display())
        })
    }

    fn start(name: &str, arguments: impl Fn(u16, &Path) -> String) -> Option<Self> {
        let Some(program) = tool(name) else {
            skip(name, "no program; `scripts/services up` installs it");
            return None;
        };
        let data = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let arguments = arguments(port, data.path());
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        let mut server = Self { child: None, program, arguments, port, _data: data };
        server.up();
        Some(server)
    }

    /// Starts it again over the same data.
    pub(super) fn up(&mut self) {
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?} is not up", self.program);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The same if it is down.
    pub(super) fn up_again(&mut self) {
        if self.child.is_none() {
            self.up();
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    /// SIGSTOP: accepts connections, answers nothing.
    pub(super) fn freeze(&self) {
        self.signal("-STOP");
    }

    fn signal(&self, signal: &str) {
        let Some(child) = &self.child else { return };
        let done = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(done.expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
