//! A new operator's path: install script, units judged by systemd, configuration, Prometheus from the
//! distribution, and an alert that fires when a provider is killed and resolves when it is back.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{PATIENCE, World, must, system_tool, wait_until};
use crate::support::{free_port, http, root};

/// Exposure that units may have by `systemd-analyze security`, times ten.
const EXPOSURE_MAX: &str = "15";

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

fn install(into: &Path) {
    must(
        Command::new(root().join("scripts/install"))
            .args(["--binary", env!("CARGO_BIN_EXE_rwahub"), "--root"])
            .arg(into),
    );
}

#[test]
fn installed_units_are_valid_and_confined() {
    let Some(analyze) = system_tool("systemd-analyze") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    install(folder.path());
    let units = folder.path().join("usr/lib/systemd/system");
    // systemd verifies against the files below the root; those of the system itself are not there.
    for target in [
        "sysinit.target",
        "basic.target",
        "shutdown.target",
        "network-online.target",
        "multi-user.target",
        "sockets.target",
        "timers.target",
        "time-set.target",
        "time-sync.target",
    ] {
        fs::write(units.join(target), "[Unit]\nDescription=stand-in\nDefaultDependencies=no\n")
            .expect("written");
    }
    let names = [
        "rwahub.service",
        "rwahub@indexer.service",
        "rwahub.socket",
        "rwahub-backup.timer",
        "rwahub-backup.service",
        "rwahub-drill.timer",
        "rwahub-drill.service",
    ];
    let mut verify = Command::new(&analyze);
    verify.arg("verify").arg("--man=no").arg(format!("--root={}", folder.path().display()));
    let said = must(verify.args(names));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    for name in ["rwahub", "Unknown", "ignoring"] {
        assert!(!said.contains(name), "systemd-analyze verify: {said}");
    }
    for name in
        ["rwahub.service", "rwahub@.service", "rwahub-backup.service", "rwahub-drill.service"]
    {
        must(
            Command::new(&analyze)
                .args(["security", "--offline=true", "--threshold", EXPOSURE_MAX])
                .arg(units.join(name)),
        );
    }
    // A unit that is not confined does not pass: the gate can fail.
    let open = folder.path().join("open.service");
    fs::write(&open, "[Service]\nExecStart=/bin/true\n").expect("written");
    let judged = Command::new(&analyze)
        .args(["security", "--offline=true", "--threshold", EXPOSURE_MAX])
        .arg(open)
        .output()
        .expect("runs");
    assert!(!judged.status.success());

    for file in [
        "usr/share/man/man1/rwahub.1",
        "usr/share/man/man1/rwahub-backup.1",
        "usr/share/bash-completion/completions/rwahub",
        "usr/share/zsh/vendor-completions/_rwahub",
        "usr/share/rwahub/grafana/alerts/rwahub.yml",
        "usr/share/doc/rwahub/runbook.md",
    ] {
        let size =
            fs::metadata(folder.path().join(file)).map(|meta| meta.len()).unwrap_or_default();
        assert!(size > 100, "{file} has {size} bytes");
    }
    let page = fs::read_to_string(folder.path().join("usr/share/man/man1/rwahub.1")).expect("text");
    assert!(page.starts_with(".ie") || page.contains(".TH rwahub 1"), "{page}");
    let config = folder.path().join("etc/rwahub/config.toml");
    fs::write(&config, "# mine\n").expect("written");
    install(folder.path());
    assert_eq!(fs::read_to_string(config).expect("text"), "# mine\n", "a configuration is kept");
}

#[test]
fn from_install_to_an_alert_that_fires_on_a_killed_provider_and_resolves() {
    let Some(prometheus) = system_tool("prometheus") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let system = folder.path().join("root");
    install(&system);
    let world = World::start();
    let (port, metrics_port) = (free_port(), free_port());
    let config = system.join("etc/rwahub/config.toml");
    let providers: String = world
        .sim
        .providers
        .iter()
        .enumerate()
        .map(|(index, address)| {
            format!("[[chain.provider]]\nname = \"p{index}\"\nurl = \"http://{address}\"\n")
        })
        .collect();
    fs::write(
        &config,
        format!(
            "[[chain]]\nid = 31337\nname = \"sim\"\npoll_interval_ms = 100\n{providers}\
         [store]\npath = \"{}\"\n[gateway]\nlisten = \"127.0.0.1:{port}\"\n\
         [telemetry]\nmetrics_listen = \"127.0.0.1:{metrics_port}\"\n",
            system.join("var/lib/rwahub").display()
        ),
    )
    .expect("written");

    // What systemd would be: a socket that hears READY=1 and WATCHDOG=1.
    let manager = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
    manager.set_read_timeout(Some(PATIENCE)).expect("set");
    let daemon = Command::new(system.join("usr/bin/rwahub"))
        .args(["run", "--config"])
        .arg(&config)
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "2000000")
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let _daemon = Running(daemon);
    hear(&manager, "READY=1");
    hear(&manager, "WATCHDOG=1");

    let web = prometheus_on(&prometheus, folder.path(), &system, metrics_port);
    wait_until("Prometheus scrapes the daemon", || {
        query(web.1, "up{job=\"rwahub\"}").contains("\"1\"]")
            && query(web.1, "rwahub_chain_head_block").contains(&format!("\"{}\"]", world.head()))
    });
    assert!(!firing(web.1).contains("RwaHubProviderDown"), "all is well");
    world.sim.kill(1);
    wait_until("the alert fires", || {
        world.sim.mine(1).expect("mines");
        let alerts = firing(web.1);
        alerts.contains("RwaHubProviderDown") && alerts.contains("\"provider\":\"p1\"")
    });
    assert!(!firing(web.1).contains("RwaHubAllProvidersDown"), "one is left");
    world.runtime.block_on(world.sim.restore(1)).expect("back");
    wait_until("the alert resolves", || {
        world.sim.mine(1).expect("mines");
        !firing(web.1).contains("RwaHubProviderDown")
    });
}

fn hear(manager: &UnixDatagram, wanted: &str) {
    let mut buffer = [0; 4096];
    let heard = (0..200).any(|_| {
        let length = manager.recv(&mut buffer).expect("the daemon speaks");
        String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == wanted)
    });
    assert!(heard, "never heard {wanted}");
}

/// Prometheus with our rules. Waits of minutes become seconds, so that the test need not take them.
fn prometheus_on(program: &Path, folder: &Path, system: &Path, target: u16) -> (Running, u16) {
    let ours = system.join("usr/share/rwahub/grafana/alerts");
    for file in ["rwahub.yml", "recording.yml"] {
        let text = fs::read_to_string(ours.join(file)).expect("rules");
        let quick: String = text
            .lines()
            .map(|line| match line.trim().strip_prefix("for: ") {
                Some(wait) => format!("        for: {}s\n", wait.trim_end_matches('m').len()),
                None => format!("{line}\n"),
            })
            .collect();
        fs::write(folder.join(file), quick).expect("written");
    }
    let example = fs::read_to_string(ours.join("prometheus.example.yml")).expect("example");
    let text =
        example.replace("15s", "1s").replace("127.0.0.1:9464", &format!("127.0.0.1:{target}"));
    let config = folder.join("prometheus.yml");
    fs::write(&config, text).expect("written");
    let web = free_port();
    let child = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{web}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus starts");
    let running = Running(child);
    wait_until("Prometheus answers", || {
        std::thread::sleep(Duration::from_millis(50));
        http::request(web, "GET", "/-/ready", &[], "").is_ok_and(|answer| answer.status == 200)
    });
    (running, web)
}

fn query(web: u16, expression: &str) -> String {
    let encoded: String = expression
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    http::get(web, &format!("/api/v1/query?query={encoded}")).body
}

fn firing(web: u16) -> String {
    query(web, "ALERTS{alertstate=\"firing\"}")
}

#[test]
fn a_socket_that_the_manager_holds_takes_the_place_of_listen() {
    let Some(activate) = system_tool("systemd-socket-activate") else { return };
    let world = World::start();
    let setup = world.setup("");
    let held = free_port();
    let child = Command::new(activate)
        .arg(format!("--listen=127.0.0.1:{held}"))
        .arg(env!("CARGO_BIN_EXE_rwahub"))
        .args(["run", "--config"])
        .arg(&setup.config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let _child = Running(child);
    wait_until("the daemon answers on the held socket", || {
        let answer = http::request(held, "GET", "/livez", &[], "");
        answer.is_ok_and(|answer| answer.status == 200)
    });
    let own = std::net::TcpStream::connect(("127.0.0.1", setup.port));
    assert!(own.is_err(), "gateway.listen is not opened besides");
}
