//! Many networks in one process: what befalls one is not felt by the others.

use std::time::{Duration, Instant};

use rwahub::sim::{ProviderSettings, Settings, Sim};

use crate::support::hub::{Hub, Setup};

const BAD: u64 = 41;
const GOOD: u64 = 42;
/// Longest time for a few blocks of a chain whose provider is well.
const SOON: Duration = Duration::from_secs(30);

async fn world(chain_id: u64, blocks: u64, logs_per_block: u32) -> Sim {
    let settings = Settings {
        seed: chain_id,
        chain_id,
        blocks,
        logs_per_block,
        contracts: 2,
        holders: 30,
        live: false,
        finalized_depth: 10,
        providers: vec![ProviderSettings::default()],
        ..Settings::default()
    };
    Sim::start(settings).await.expect("the simulated chain starts")
}

fn setup(bad: &Sim, good: &Sim) -> Setup {
    let other = format!(
        "[[chain]]\nid = {GOOD}\nname = \"good\"\nstart_block = 0\npoll_interval_ms = 100\n\
         [[chain.provider]]\nname = \"good\"\nurl = \"http://{}\"\nweight = 1\n",
        good.providers[0]
    );
    Setup::on_port(BAD, bad.providers[0].port(), 0, &other)
}

fn indexed(hub: &Hub, chain: u64) -> Option<u64> {
    hub.json(&format!("/api/v1/chains/{chain}"))["indexed"].as_u64()
}

async fn wait_for(hub: &Hub, sim: &Sim, chain: u64) {
    let head = sim.truth().head();
    let deadline = Instant::now() + SOON;
    while hub.json(&format!("/api/v1/chains/{chain}"))["indexed_hash"] != head.hash.to_string() {
        assert!(Instant::now() < deadline, "chain {chain} is not at {}", head.number);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_stalls_forks_or_fails_stops_no_other() {
    let (bad, good) = (world(BAD, 60, 5).await, world(GOOD, 60, 5).await);
    let setup = setup(&bad, &good);
    let hub = setup.run();
    wait_for(&hub, &bad, BAD).await;
    wait_for(&hub, &good, GOOD).await;
    // Its only provider is gone.
    bad.kill(0);
    for _ in 0..3 {
        good.mine(2).expect("mines");
        wait_for(&hub, &good, GOOD).await;
    }
    assert_eq!(indexed(&hub, BAD), Some(60), "the stalled chain stands where it was");
    // It comes back on another fork, and the good one hears nothing of it.
    bad.restore(0).await.expect("restores");
    bad.fork(5, 7).expect("forks");
    good.mine(1).expect("mines");
    wait_for(&hub, &good, GOOD).await;
    wait_for(&hub, &bad, BAD).await;
    // A reorg below its final block is more than any chain can undo: it stops alone.
    bad.fork(40, 42).expect("forks");
    let deadline = Instant::now() + SOON;
    loop {
        good.mine(1).expect("mines");
        wait_for(&hub, &good, GOOD).await;
        let status = hub.json("/api/v1/status");
        let components = status["components"].as_array().expect("components");
        let failed =
            |one: &serde_json::Value| one["name"] == format!("chain:{BAD}") && one["state"] != "ok";
        if components.iter().any(failed) {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    good.mine(3).expect("mines");
    wait_for(&hub, &good, GOOD).await;
    assert_eq!(hub.stop(), Some(0));
}
