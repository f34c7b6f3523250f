//! What an operator holds in hands: dashboards, alert rules, units, the install script, backups. Each is
//! judged by the tool that will read it (promtool, systemd-analyze, Prometheus) and by a live daemon.

mod backup;
mod install;
mod promql;
mod traces;
mod watch;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rwahub::sim::{ProviderSettings, Settings, Sim};

use crate::support::hub::Setup;
use crate::support::{skip, tool};

/// Longest wait for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tool of the system, or a counted skip that says how to get it.
fn system_tool(name: &str) -> Option<PathBuf> {
    let found = tool(name);
    if found.is_none() {
        skip(name, "not installed; scripts/toolchain operations installs it");
    }
    found
}

/// Runs a tool that must succeed.
fn must(command: &mut Command) -> Output {
    let output = command.output().expect("the tool starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
    output
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A simulated chain with two providers, on threads of its own.
struct World {
    runtime: tokio::runtime::Runtime,
    sim: Sim,
}

impl World {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let settings = Settings {
            blocks: 200,
            live: false,
            providers: vec![ProviderSettings::default(), ProviderSettings::default()],
            ..Settings::default()
        };
        let sim = runtime.block_on(Sim::start(settings)).expect("the simulator starts");
        Self { runtime, sim }
    }

    /// A hub on both providers.
    fn setup(&self, extra: &str) -> Setup {
        let second = self.sim.providers[1].port();
        let extra = format!(
            "[[chain.provider]]\nname = \"second\"\nurl = \"http://127.0.0.1:{second}\"\n{extra}"
        );
        Setup::on_port(31_337, self.sim.providers[0].port(), 0, &extra)
    }

    fn head(&self) -> u64 {
        self.sim.truth().head().number
    }
}
