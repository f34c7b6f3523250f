//! Two indexers over one MongoDB-protocol store, the active one put to sleep: the other takes over in time,
//! and what the first one does when it wakes leaves no trace.

use std::process::Command;
use std::time::{Duration, Instant};

use rwahub::sim::Sim;
use tokio::time::sleep;

use super::kills::{Process, shown, world};
use super::servers::Server;
use super::{prefix, url};
use crate::sim_index::{CHAIN, contracts, from_env, true_logs};
use crate::support::http;

/// Seconds of sleep of `make test`; `make kills` sleeps 30.
const SLEEP_SECONDS: u64 = 8;
/// What is promised from the active one's last sign of life until the stand-by commits.
const TAKEOVER: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

fn write_config(dir: &std::path::Path, sim: &Sim, store: &str, redis: u16) {
    let mut text = format!(
        "[[chain]]\nid = {CHAIN}\nname = \"sim\"\nstart_block = 0\npoll_interval_ms = 100\n"
    );
    for (index, address) in sim.providers.iter().enumerate() {
        text += &format!(
            "[[chain.provider]]\nname = \"p{index}\"\nurl = \"http://{address}\"\nweight = 1\n"
        );
    }
    text += &format!(
        "[store]\nkind = \"mongodb\"\nurl = \"{store}\"\n\
         [cache]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{redis}/\"\n{}",
        contracts(sim)
    );
    std::fs::write(dir.join("config.toml"), text).expect("config written");
}

/// Whether this process is the one that indexes.
fn active(process: &Process) -> bool {
    let answer = http::request(process.metrics_port, "GET", "/metrics", &[], "");
    let line = format!("rwahub_chain_active_state{{chain=\"{CHAIN}\"}} 1");
    answer.is_ok_and(|answer| answer.body.contains(&line))
}

fn signal(process: &Process, name: &str) {
    let id = process.child.as_ref().expect("runs").id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().expect("kill").success());
}

/// How long until `done`; panics past [`PATIENCE`].
async fn until(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

fn at_head(sim: &Sim, gateway: &Process) -> bool {
    let chain = gateway.json(&format!("/api/v1/chains/{CHAIN}")).unwrap_or_default();
    chain["indexed_hash"].as_str() == Some(&sim.truth().head().hash.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stand_by_takes_over_in_time_and_the_sleeper_writes_nothing_more() {
    let (Some(store), Some(redis)) = (url("MONGODB"), Server::redis()) else { return };
    let slept = Duration::from_secs(from_env("RWAHUB_TEST_KILLS_SLEEP", SLEEP_SECONDS));
    let sim = world(3).await;
    let dir = tempfile::tempdir().expect("a folder");
    let store = format!("{}/{}", store.trim_end_matches('/'), prefix("takeover"));
    write_config(dir.path(), &sim, &store, redis.port);

    let mut old = Process::new("indexer", dir.path());
    old.start();
    until("the first is active", || active(&old)).await;
    let mut new = Process::named("indexer", "second", dir.path());
    new.start();
    new.wait_for("/livez").await;
    let mut gateway = Process::new("gateway", dir.path());
    gateway.start();
    gateway.wait_for("/livez").await;
    until("the index is at the head", || at_head(&sim, &gateway)).await;
    assert!(active(&old) && !active(&new), "one is active, the other stands by");
    new.wait_for("/readyz").await;

    signal(&old, "-STOP");
    let begun = Instant::now();
    sim.fork(2, 3).expect("forks");
    until("the second is active", || active(&new)).await;
    let took = begun.elapsed();
    assert!(took <= TAKEOVER, "the stand-by took over after {took:?}");
    until("the second commits", || at_head(&sim, &gateway)).await;
    let committed = begun.elapsed();
    while begun.elapsed() < slept {
        sim.fork(3, 4).expect("forks");
        sleep(Duration::from_millis(700)).await;
    }
    signal(&old, "-CONT");
    for _ in 0..5 {
        sim.mine(1).expect("mines");
        sleep(Duration::from_millis(300)).await;
    }
    until("the second goes on", || at_head(&sim, &gateway)).await;
    until("the first stands by", || !active(&old)).await;
    assert!(active(&new), "the sleeper took nothing back");
    old.alive();
    new.alive();
    let truth: Vec<String> = true_logs(&sim)
        .into_iter()
        .map(|(hash, index)| format!("{CHAIN}:{hash}:{index}"))
        .collect();
    assert_eq!(shown(&gateway).expect("events"), truth, "{}", old.last_words());

    // And back: a holder that ends in order is followed at once.
    let begun = Instant::now();
    signal(&new, "-TERM");
    until("the first is active again", || active(&old)).await;
    let handed = begun.elapsed();
    eprintln!(
        "taken over after {took:?}, committed after {committed:?}; handed over after {handed:?}"
    );
    assert!(handed <= TAKEOVER, "handed over after {handed:?}");
}
