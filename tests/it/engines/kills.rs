//! Indexer, gateway and worker as processes of their own over one store, with Redis and NATS, each killed
//! at random while a forking chain is indexed: what the gateway shows and what a consumer of the bus has
//! acted on must be what the simulator says is right.
//!
//! `make kills N=200` kills more often than `make test` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rwahub::bus::nats::Nats;
use rwahub::bus::relay::EVENTS;
use rwahub::pipeline::bus::{Bus, Message, Replay, Terms, Verdict};
use rwahub::sim::{ProviderSettings, Settings, Sim};
use serde_json::Value;
use tokio::time::sleep;

use super::servers::Server;
use crate::sim_index::{
    CHAIN, between, contracts, difference, from_env, one_in, own_port, true_logs,
};
use crate::support::http;
use crate::support::hub::program;
use crate::support::tokens::Dice;

/// Kills of `make test`.
const KILLS: u64 = 15;
const SEED: u64 = 7;
/// From the last change of the world until everything must be right. An indexer waits up to 3.5 s for the
/// lease of a dead one, a relay as long.
const SETTLE: Duration = Duration::from_secs(60);

/// One role's process, killed when dropped.
pub(super) struct Process {
    role: &'static str,
    config: PathBuf,
    port: u16,
    pub(super) metrics_port: u16,
    log: PathBuf,
    pub(super) child: Option<Child>,
}

impl Process {
    pub(super) fn new(role: &'static str, dir: &std::path::Path) -> Self {
        Self::named(role, role, dir)
    }

    /// One of several of a role.
    pub(super) fn named(role: &'static str, name: &str, dir: &std::path::Path) -> Self {
        let config = dir.join("config.toml");
        let log = dir.join(format!("{name}.log"));
        Self { role, config, port: own_port(), metrics_port: own_port(), log, child: None }
    }

    pub(super) fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let child = program(&["run", "--role", self.role, "--config"])
            .arg(&self.config)
            .args(["--set", &format!("gateway.listen=127.0.0.1:{}", self.port)])
            .args(["--set", &format!("telemetry.metrics_listen=127.0.0.1:{}", self.metrics_port)])
            .stdout(Stdio::null())
            .stderr(log.expect("log file"))
            .spawn()
            .expect("rwahub starts");
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// Panics when it has ended by itself: no engine that is away may bring that about.
    pub(super) fn alive(&mut self) {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("wait"));
        assert!(ended.is_none(), "{} ended by itself, {ended:?}: {}", self.role, self.last_words());
    }

    pub(super) fn json(&self, path: &str) -> Option<Value> {
        let answer = http::request(self.port, "GET", path, &[], "").ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    pub(super) async fn wait_for(&mut self, path: &str) {
        let begun = Instant::now();
        while !http::request(self.port, "GET", path, &[], "").is_ok_and(|a| a.status == 200) {
            self.alive();
            assert!(begun.elapsed() < SETTLE, "{} does not serve {path}", self.role);
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) async fn world(seed: u64) -> Sim {
    let settings = Settings {
        seed,
        chain_id: CHAIN,
        blocks: 120,
        logs_per_block: 6,
        contracts: 4,
        holders: 20,
        live: false,
        finalized_depth: 48,
        safe_depth: 20,
        providers: vec![ProviderSettings::default(), ProviderSettings::default()],
        ..Settings::default()
    };
    Sim::start(settings).await.expect("the chain")
}

fn write_config(dir: &std::path::Path, sim: &Sim, redis: u16, nats: u16) {
    let mut text = format!(
        "[[chain]]\nid = {CHAIN}\nname = \"sim\"\nstart_block = 0\npoll_interval_ms = 100\n"
    );
    for (index, address) in sim.providers.iter().enumerate() {
        let scheme = if index == 0 { "ws" } else { "http" };
        text += &format!(
            "[[chain.provider]]\nname = \"p{index}\"\nurl = \"{scheme}://{address}\"\nweight = 1\n"
        );
    }
    text += &format!(
        "[store]\nkind = \"embedded\"\npath = \"{}\"\n\
         [cache]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{redis}/\"\n\
         [bus]\nkind = \"nats\"\nurl = \"nats://127.0.0.1:{nats}\"\nprefix = \"hub\"\n{}",
        dir.join("data").display(),
        contracts(sim)
    );
    std::fs::write(dir.join("config.toml"), text).expect("config written");
}

/// A consumer that acts once per message id, however often a message comes.
#[derive(Debug, Default)]
struct Effects {
    acted: BTreeSet<String>,
    held: BTreeSet<String>,
    faults: Vec<String>,
}

impl Effects {
    fn act(&mut self, message: &Message) {
        if !self.acted.insert(message.id.clone()) {
            return;
        }
        let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
        let id = body["id"].as_str().unwrap_or_default().to_owned();
        match body["phase"].as_str() {
            Some("observed") if !self.held.insert(id.clone()) => {
                self.faults.push(format!("{id} observed twice"));
            }
            Some("retracted") if !self.held.remove(&id) => {
                self.faults.push(format!("{id} retracted and was not held"));
            }
            _ => {}
        }
    }
}

/// Consumes until stopped, and now and then dies between act and verdict.
async fn consume(bus: Arc<Nats>, effects: Arc<Mutex<Effects>>, stop: Arc<AtomicBool>, seed: u64) {
    let mut dice = Dice(seed);
    let terms = Terms { ack_wait: Duration::from_secs(1), attempts_max: 1_000 };
    while !stop.load(Ordering::Relaxed) {
        if bus.subscribe(EVENTS, "effects", terms).await.is_err() {
            sleep(Duration::from_millis(100)).await;
            continue;
        }
        while let Ok(due) = bus.fetch(EVENTS, "effects", Duration::from_millis(200)).await {
            for delivery in due {
                effects.lock().expect("effects").act(&delivery.stored.message);
                if !one_in(&mut dice, 40) {
                    // Not heard is not lost: it comes again and is known.
                    drop(bus.settle(EVENTS, "effects", &delivery, Verdict::Done).await);
                }
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Every message of the stream: each id once, and what they add up to.
async fn stream_adds_up(bus: &Nats, truth: &BTreeSet<String>) -> Result<(), String> {
    let (mut all, mut from) = (Effects::default(), 1);
    let mut ids = BTreeMap::new();
    loop {
        let page = bus.replay(EVENTS, Replay::Sequence(from), 500).await;
        let page = page.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else { break };
        from = last.seq + 1;
        for stored in &page {
            if let Some(first) = ids.insert(stored.message.id.clone(), stored.seq) {
                return Err(format!(
                    "{} is stored at {first} and {}",
                    stored.message.id, stored.seq
                ));
            }
            all.act(&stored.message);
        }
    }
    if let Some(fault) = all.faults.first() {
        return Err(format!("stream: {fault}"));
    }
    difference("stream", &all.held, truth)
}

/// All events of the gateway as ids, in order.
pub(super) fn shown(gateway: &Process) -> Result<Vec<String>, String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/events?chain_id={CHAIN}&order=asc&limit=100{cursor}");
        let page = gateway.json(&path).ok_or("the gateway does not answer")?;
        let items = page["items"].as_array().expect("items").iter();
        ids.extend(items.map(|item| item["id"].as_str().expect("id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}

async fn judged(
    sim: &Sim,
    gateway: &Process,
    bus: &Nats,
    effects: &Mutex<Effects>,
) -> Result<(), String> {
    let truth: Vec<String> =
        true_logs(sim).into_iter().map(|(hash, index)| format!("{CHAIN}:{hash}:{index}")).collect();
    let set: BTreeSet<String> = truth.iter().cloned().collect();
    let shown = shown(gateway)?;
    difference("gateway", &shown.iter().cloned().collect(), &set)?;
    if shown != truth {
        return Err("gateway: doubled or out of order".to_owned());
    }
    stream_adds_up(bus, &set).await?;
    let effects = effects.lock().expect("effects");
    if let Some(fault) = effects.faults.first() {
        return Err(format!("effects: {fault} ({} faults)", effects.faults.len()));
    }
    difference("effects", &effects.held, &set)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_every_part_lose_no_event_and_deliver_none_twice() {
    let (Some(mut redis), Some(mut nats)) = (Server::redis(), Server::nats()) else { return };
    rwahub::app::install_tls();
    let kills = from_env("RWAHUB_TEST_KILLS", KILLS);
    let seed = from_env("RWAHUB_TEST_KILLS_SEED", SEED);
    let mut dice = Dice(seed);
    let sim = world(seed).await;
    let dir = tempfile::tempdir().expect("a folder");
    write_config(dir.path(), &sim, redis.port, nats.port);
    let mut parts = ["indexer", "gateway", "worker"].map(|role| Process::new(role, dir.path()));
    for part in &mut parts {
        part.start();
        part.wait_for("/livez").await;
    }
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let bus = Arc::new(Nats::open(&url, "hub").await.expect("nats"));
    let (effects, stop) =
        (Arc::new(Mutex::new(Effects::default())), Arc::new(AtomicBool::new(false)));
    let consumer =
        tokio::spawn(consume(Arc::clone(&bus), Arc::clone(&effects), Arc::clone(&stop), seed));

    for _ in 0..kills {
        sleep(Duration::from_millis(between(&mut dice, 0, 900))).await;
        parts.iter_mut().for_each(Process::alive);
        match dice.below(5) {
            0 => redis.kill(),
            1 => nats.kill(),
            at => parts[at - 2].kill(),
        }
        if one_in(&mut dice, 2) {
            let depth = between(&mut dice, 1, 6);
            sim.fork(depth, depth + between(&mut dice, 0, 3)).expect("forks");
        }
        sim.mine(between(&mut dice, 1, 4)).expect("mines");
        sleep(Duration::from_millis(between(&mut dice, 0, 400))).await;
        redis.up_again();
        nats.up_again();
        for part in &mut parts {
            if part.child.is_none() {
                part.start();
            }
        }
    }
    sim.mine(1).expect("mines");

    let begun = Instant::now();
    loop {
        let outcome = judged(&sim, &parts[1], &bus, &effects).await;
        let Err(error) = outcome else { break };
        parts.iter_mut().for_each(Process::alive);
        let words: Vec<String> = parts.iter().map(Process::last_words).collect();
        assert!(
            begun.elapsed() < SETTLE,
            "{error}\nagain: RWAHUB_TEST_KILLS={kills} RWAHUB_TEST_KILLS_SEED={seed}\n{}",
            words.join("\n---\n")
        );
        sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    consumer.await.expect("the consumer did not panic");
}
