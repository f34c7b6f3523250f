//! Backups as their operator meets them: made under load, listed, restored, drilled, killed, damaged,
//! opened with the wrong key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::{World, wait_until};
use crate::support::http;
use crate::support::hub::{Setup, program};

/// Kills during backups, spread over their duration.
const KILLS: u64 = 8;

struct Keys {
    identity: PathBuf,
    public: String,
}

fn keygen(folder: &Path, name: &str) -> Keys {
    let identity = folder.join(name);
    let output =
        program(&["backup", "keygen", "--out"]).arg(&identity).output().expect("rwahub runs");
    assert!(output.status.success(), "{output:?}");
    let public = String::from_utf8(output.stdout).expect("text").trim().to_owned();
    assert!(public.starts_with("age1"), "{public}");
    Keys { identity, public }
}

/// A hub with backups, and the key that opens them.
fn with_backups(world: &World) -> (Setup, tempfile::TempDir, Keys) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keygen(folder.path(), "identity");
    let extra = format!(
        "[backup]\npath = \"{}\"\nrecipients = [\"{}\"]\nkeep = 3\n",
        folder.path().join("backups").display(),
        keys.public
    );
    (world.setup(&extra), folder, keys)
}

fn run(setup: &Setup, args: &[&str]) -> (bool, Value, String) {
    let output = setup.command(&[&["backup", "--json"], args].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let data = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), data, said)
}

fn done(setup: &Setup, args: &[&str]) -> Value {
    let (ok, data, said) = run(setup, args);
    assert!(ok, "{args:?}: {said}");
    data
}

#[test]
fn a_backup_made_under_load_restores_to_a_store_that_goes_on_where_it_stood() {
    let world = World::start();
    let (setup, folder, keys) = with_backups(&world);
    let identity = keys.identity.display().to_string();
    let hub = setup.run();
    wait_until("something is indexed", || {
        hub.json("/api/v1/chains/31337")["indexed"].as_u64() > Some(50)
    });
    let mining = &world.sim;
    let made = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            (0..40).for_each(|_| {
                mining.mine(1).expect("mines");
                std::thread::sleep(Duration::from_millis(10));
            })
        });
        let made = done(&setup, &["create"]);
        load.join().expect("no panic");
        made
    });
    let mark = &made["manifest"]["chains"][0];
    assert!(mark["block"].as_u64() > Some(50) && mark["events"].as_u64() > Some(0), "{made}");

    let drill = done(&setup, &["verify", "--identity", &identity]);
    assert_eq!(drill["passed"], true, "{drill}");
    assert!(drill["rows"].as_u64() > Some(500), "{drill}");
    assert!(drill["rto_seconds"].as_f64() > Some(0.0), "{drill}");
    assert!(drill["rpo_seconds"].as_f64() > Some(0.0), "{drill}");
    wait_until("the daemon shows the drill", || {
        let scrape = http::get(setup.metrics_port, "/metrics").body;
        scrape.contains("rwahub_backup_verified_state 1")
            && scrape.contains("rwahub_backup_configured_state 1")
            && !scrape.contains("rwahub_backup_recovery_time_seconds 0\n")
    });
    drop(hub);

    let into = folder.path().join("restored");
    done(&setup, &["restore", "--identity", &identity, "--into", &into.display().to_string()]);
    let output =
        setup.command(&["status", "--json", "--set", &format!("store.path={}", into.display())]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let block = mark["block"].as_u64().expect("a block");
    assert!(text.contains(&block.to_string()), "stands at {block}: {text}");

    let (ok, _, said) =
        run(&setup, &["restore", "--identity", &identity, "--into", &into.display().to_string()]);
    assert!(!ok && said.contains("is not empty"), "{said}");
}

#[test]
fn a_wrong_key_a_damaged_archive_and_no_recipient_are_told_apart() {
    let world = World::start();
    let (setup, folder, keys) = with_backups(&world);
    setup.backfill(31_337, 60);
    let made = done(&setup, &["create"]);
    let path = PathBuf::from(made["path"].as_str().expect("a path"));

    let other = keygen(folder.path(), "other").identity.display().to_string();
    let (ok, drill, _) = run(&setup, &["verify", "--identity", &other]);
    assert!(!ok, "{drill}");
    assert!(drill["fault"].as_str().expect("a fault").contains("another key"), "{drill}");

    let identity = keys.identity.display().to_string();
    let sealed = path.join("rwahub.sqlite.age");
    let mut bytes = fs::read(&sealed).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&sealed, bytes).expect("written");
    let (ok, drill, _) = run(&setup, &["verify", "--identity", &identity]);
    assert!(!ok && drill["fault"].as_str().expect("a fault").contains("damaged"), "{drill}");
    let into = folder.path().join("restored");
    let (ok, _, said) =
        run(&setup, &["restore", "--identity", &identity, "--into", &into.display().to_string()]);
    assert!(!ok && said.contains("damaged"), "{said}");
    let left = fs::read_dir(&into).map(|entries| entries.count()).unwrap_or_default();
    assert_eq!(left, 0, "half a store must not look like one");

    let output = setup.command(&["backup", "create", "--set", "backup.recipients=[]"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("always encrypted"), "{said}");
}

#[test]
fn killed_backups_leave_whole_ones_or_none_and_old_ones_go() {
    let world = World::start();
    let (setup, folder, keys) = with_backups(&world);
    setup.backfill(31_337, 120);
    for kill in 0..KILLS {
        let mut child = program(&["backup", "create", "--config"])
            .arg(&setup.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rwahub starts");
        std::thread::sleep(Duration::from_millis(20 + kill * 40));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
    let identity = keys.identity.display().to_string();
    for backup in done(&setup, &["list"]).as_array().expect("a list") {
        let id = backup["manifest"]["id"].as_str().expect("an id").to_owned();
        let drill = done(&setup, &["verify", &id, "--identity", &identity]);
        assert_eq!(drill["passed"], true, "{drill}");
    }
    for _ in 0..5 {
        done(&setup, &["create"]);
    }
    let kept = done(&setup, &["list"]).as_array().expect("a list").len();
    assert_eq!(kept, 3, "[backup] keep");
    let names: Vec<String> = fs::read_dir(folder.path().join("backups"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.iter().any(|name| name.starts_with(".partial")), "{names:?}");
    assert!(!setup.dir().join("data/.backup-scratch").exists(), "no unsealed copy is left");
}
