//! The daemon on the MongoDB store: indexer and server killed with -9 at random instants while the chain
//! forks, and a writer that slept through a takeover. In the end the index is what the simulator says.
//!
//! The server is a FerretDB of this test's own, since it dies. `make mongo-kills N=200` runs many kills,
//! `make test` a few.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rwahub::sim::{ProviderSettings, Settings, Sim};

use crate::sim_index::{
    CHAIN, Daemon, Feed, between, compare, contracts, from_env, judge_feed, own_port, settle,
};
use crate::support::tokens::Dice;
use crate::support::{skip, tool};

/// Kills of `make test`.
const KILLS: u64 = 20;
/// Seconds of sleep of `make test`; the full run sleeps 30.
const SLEEP_SECONDS: u64 = 5;
/// Longest start of the server, and of the daemon on it.
const START: Duration = Duration::from_secs(60);

/// A FerretDB that keeps its files when it is killed.
struct Server {
    program: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    fn start() -> Option<Self> {
        let Some(program) = tool("ferretdb") else {
            skip("ferretdb", "not installed; scripts/services installs it");
            return None;
        };
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut server = Self { program, dir, port: own_port(), child: None };
        server.up();
        Some(server)
    }

    fn up(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("log file");
        let child = Command::new(&self.program)
            .args(["-listen", &format!("127.0.0.1:{}", self.port), "-data"])
            .arg(self.dir.path().join("data"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("ferretdb starts");
        self.child = Some(child);
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "ferretdb does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    fn table(&self) -> String {
        format!("kind = \"mongodb\"\nurl = \"mongodb://127.0.0.1:{}/crash\"", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn world(seed: u64) -> Settings {
    Settings {
        seed,
        chain_id: CHAIN,
        blocks: 60,
        logs_per_block: 4,
        contracts: 2,
        holders: 12,
        live: false,
        finalized_depth: 50,
        safe_depth: 20,
        providers: vec![ProviderSettings::default(); 2],
        ..Settings::default()
    }
}

async fn serves(daemon: &mut Daemon) -> Result<(), String> {
    let started = Instant::now();
    while daemon.json("/api/v1/status").is_none() {
        daemon.alive()?;
        if started.elapsed() > START {
            return Err("the daemon does not serve".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Kills until `kills` have been done; returns how many hit the indexer and how many the server.
async fn torment(
    sim: &Sim,
    daemon: &mut Daemon,
    server: &mut Server,
    dice: &mut Dice,
    kills: u64,
) -> Result<(u64, u64), String> {
    let (mut indexer, mut servers) = (0, 0);
    while indexer + servers < kills {
        tokio::time::sleep(Duration::from_millis(between(dice, 0, 400))).await;
        match dice.below(5) {
            0 | 1 => {
                daemon.kill();
                daemon.start()?;
                indexer += 1;
            }
            2 => {
                server.kill();
                tokio::time::sleep(Duration::from_millis(between(dice, 0, 300))).await;
                server.up();
                servers += 1;
            }
            3 => {
                let depth = between(dice, 1, 6);
                sim.fork(depth, depth + between(dice, 0, 2)).map_err(|error| error.to_string())?;
            }
            _ => {}
        }
        // A daemon that starts while the server is away ends with a fault, as it should.
        if daemon.alive().is_err() {
            daemon.kill();
            daemon.start()?;
        }
        sim.mine(between(dice, 1, 3)).map_err(|error| error.to_string())?;
    }
    Ok((indexer, servers))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_indexer_and_server_end_with_the_simulators_truth() {
    let Some(mut server) = Server::start() else { return };
    let seed = from_env("RWAHUB_TEST_MONGO_SEED", 1);
    let kills = from_env("RWAHUB_TEST_MONGO_KILLS", KILLS);
    let mut dice = Dice(seed);
    let sim = Sim::start(world(seed)).await.expect("simulator");
    let table = server.table();
    let mut daemon = Daemon::with_store(&sim, &contracts(&sim), &mut dice, Some(&table));
    let feed = Arc::new(Mutex::new(Feed::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (feed, stop, port) = (Arc::clone(&feed), Arc::clone(&stop), daemon.port);
        std::thread::spawn(move || Feed::follow(&feed, port, &stop))
    };
    let outcome = async {
        daemon.start()?;
        let (indexer, servers) = torment(&sim, &mut daemon, &mut server, &mut dice, kills).await?;
        if daemon.alive().is_err() {
            daemon.start()?;
        }
        serves(&mut daemon).await?;
        sim.mine(1).map_err(|error| error.to_string())?;
        settle(&sim, &mut daemon).await?;
        compare(&sim, &daemon)?;
        judge_feed(&sim, &feed).await?;
        Ok::<_, String>((indexer, servers))
    };
    let outcome = outcome.await;
    let words = daemon.last_words();
    stop.store(true, Ordering::Relaxed);
    daemon.kill();
    reader.join().expect("the feed's reader");
    match outcome {
        Ok((indexer, servers)) => eprintln!(
            "seed {seed}: {indexer} kills of the indexer, {servers} of FerretDB, {} forks: right",
            sim.forks().len()
        ),
        Err(error) => panic!("seed {seed}: {error}\n{words}"),
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_indexer_that_slept_through_a_takeover_writes_nothing_more() {
    let Some(server) = Server::start() else { return };
    let sleep = Duration::from_secs(from_env("RWAHUB_TEST_MONGO_SLEEP", SLEEP_SECONDS));
    let mut dice = Dice(7);
    let sim = Sim::start(world(7)).await.expect("simulator");
    let table = server.table();
    let mut old = Daemon::with_store(&sim, &contracts(&sim), &mut dice, Some(&table));
    old.start().expect("starts");
    settle(&sim, &mut old).await.expect("the first indexer is at the head");
    // It is put to sleep while it has blocks to write.
    sim.mine(3).expect("mines");
    signal(old.child.as_ref().expect("runs"), "-STOP");

    let slept = Instant::now();
    let mut new = Daemon::with_store(&sim, &contracts(&sim), &mut dice, Some(&table));
    new.start().expect("starts");
    serves(&mut new).await.expect("serves");
    while slept.elapsed() < sleep {
        sim.fork(3, 4).expect("forks");
        sim.mine(1).expect("mines");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    settle(&sim, &mut new).await.expect("the second indexer is at the head");
    signal(old.child.as_ref().expect("runs"), "-CONT");
    // Both see the same new blocks; one may write them.
    for _ in 0..6 {
        sim.mine(1).expect("mines");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    settle(&sim, &mut new).await.expect("the second indexer goes on");
    compare(&sim, &new).expect("the index is right");
    let words = std::fs::read_to_string(old.log()).unwrap_or_default();
    old.kill();
    assert!(words.contains("is held by another writer"), "{words}");
    assert!(!new.last_words().contains("is held by another writer"), "{}", new.last_words());
}
