//! The proxy between clients and providers that lie and fail: every fault × every workload, judged by
//! the simulated chain's own truth.
//!
//! RWAHUB_TEST_CHAOS_SEED, _CELL (part of a cell's name) and _SIZE (requests per round) choose what
//! runs; a cell that fails prints the line that runs it again. `make chaos` runs more of everything.

mod workloads;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use rwahub::config::Transport;
use rwahub::sim::{Caps, Fault, FaultRule, ProviderSettings, Settings, Vendor};
use serde_json::json;
use tokio::time::Instant;

use self::workloads::Workload;
use self::world::{Dice, PROVIDERS, World, request, settings};

/// Share of requests that a fault strikes.
const RATE: f64 = 0.3;
/// Cells under way at once: most of their time is waiting.
const CELLS_AT_ONCE: usize = 32;
/// Longest that one cell may take.
const CELL_MAX: Duration = Duration::from_secs(90);

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("RWAHUB_TEST_CHAOS_{name}")).ok().filter(|text| !text.is_empty())
}

fn number(name: &str, otherwise: usize) -> usize {
    variable(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// One fault, one workload, and how many of the three providers have the fault.
#[derive(Debug, Clone, Copy)]
struct Cell {
    fault: Fault,
    workload: Workload,
    faulty: usize,
}

impl Cell {
    fn name(self) -> String {
        format!("{}/{}/{}", self.fault.name(), self.workload.name(), self.faulty)
    }

    fn all() -> Vec<Self> {
        let wanted = variable("CELL").unwrap_or_default();
        let faulty_max = number("FAULTY", 1).min(PROVIDERS - 1);
        let cells = Fault::ALL.into_iter().flat_map(|fault| {
            Workload::ALL.into_iter().flat_map(move |workload| {
                (1..=faulty_max).map(move |faulty| Self { fault, workload, faulty })
            })
        });
        cells.filter(|cell| cell.name().contains(&wanted)).collect()
    }

    async fn run(self, seed: u64, size: usize) -> Result<(), String> {
        let mut dice = Dice::new(seed, &self.name());
        let socket = self.fault.name().starts_with("ws-");
        let transports = match (socket, self.faulty) {
            (true, _) => [Transport::WebSocket; PROVIDERS],
            // Both ways fail where two providers do; one of the honest ones pushes where one does.
            (_, 2) => [Transport::Http, Transport::WebSocket, Transport::Http],
            _ => [Transport::Http, Transport::Http, Transport::WebSocket],
        };
        let settings = Settings { seed: seed + dice.below(1_000), ..settings(seed) };
        let world = World::start(settings, transports).await;
        world.strike(&[FaultRule::new(self.fault, RATE)], self.faulty);
        match tokio::time::timeout(CELL_MAX, self.workload.run(&world, &mut dice, size)).await {
            Ok(outcome) => outcome,
            Err(_) => Err("the cell did not end".into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_an_answer_wrong_or_loses_an_item() {
    let (seed, size) = (number("SEED", 1) as u64, number("SIZE", 2));
    let cells = Cell::all();
    assert!(!cells.is_empty(), "no such cell");
    let started = Instant::now();
    let runs = cells.iter().map(|cell| async move {
        let at = Instant::now();
        (cell.name(), cell.run(seed, size).await, at.elapsed())
    });
    let mut failures = Vec::new();
    let mut runs = futures_util::stream::iter(runs).buffer_unordered(CELLS_AT_ONCE);
    let mut slowest = (Duration::ZERO, String::new());
    while let Some((name, outcome, took)) = runs.next().await {
        if took > slowest.0 {
            slowest = (took, name.clone());
        }
        if let Err(error) = outcome {
            let faulty = &name[name.len() - 1..];
            failures.push(format!(
                "{name}: {error}\n  again: RWAHUB_TEST_CHAOS_SEED={seed} RWAHUB_TEST_CHAOS_SIZE={size} \
                 RWAHUB_TEST_CHAOS_FAULTY={faulty} RWAHUB_TEST_CHAOS_CELL={name} cargo test --test it chaos::no_fault"
            ));
        }
    }
    failures.sort();
    let spent = started.elapsed();
    assert!(
        failures.is_empty(),
        "{} of {} cells failed in {spent:?}, slowest {slowest:?}:\n{}",
        failures.len(),
        cells.len(),
        failures.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_best_provider_fails_no_call() {
    let seed = number("SEED", 1) as u64;
    let (rate, seconds) = (number("RPS", 200) as u64, 3);
    let world = Arc::new(World::start(settings(seed), [Transport::Http; PROVIDERS]).await);
    world.settle(false).await.expect("a head");
    let best = world.pool.best(1)[0].clone();
    let best: usize = best.trim_start_matches('p').parse().expect("a number");
    let failed = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
    for at in 0..rate * seconds {
        ticks.tick().await;
        if at == rate * seconds / 3 {
            world.sim.kill(best);
        }
        let (world, failed) = (world.clone(), failed.clone());
        tasks.spawn(async move {
            // A question that no cache can answer: every call goes to a provider.
            let body = request(1, "eth_getBlockByNumber", json!(["finalized", false]));
            let (got, truth) = (world.ask(&body).await, world.witness(&body).await);
            if got.as_ref().ok() != Some(&truth) {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    assert_eq!(failed.load(Ordering::Relaxed), 0, "failed calls of {}", rate * seconds);
    assert!(world.sim.calls(best).values().sum::<u64>() > 0, "the killed one was asked before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_log_queries_miss_nothing_and_add_nothing() {
    let (seed, queries) = (number("SEED", 1) as u64, number("LOGS", 300));
    let mut settings = settings(seed);
    let lying = |text: &str| text.parse::<FaultRule>().expect("a fault");
    settings.providers[0] = ProviderSettings {
        faults: vec![lying("omit-logs=0.2"), lying("empty-logs=0.1"), lying("drop-log=0.2")],
        ..ProviderSettings::default()
    };
    settings.providers[1] = ProviderSettings {
        faults: vec![lying("truncated-json=0.2"), lying("corrupt-log-index=0.1")],
        lag_blocks: 3,
        ..ProviderSettings::default()
    };
    settings.providers[2].caps = Caps {
        vendor: Vendor::Alchemy,
        blocks_max: Some(10),
        results_max: Some(40),
        batch_max: None,
    };
    let world = World::start(settings, [Transport::Http; PROVIDERS]).await;
    world.settle(false).await.expect("a head");
    let mut dice = Dice::new(seed, "logs");
    let asked: Vec<_> = (0..queries).map(|_| workloads::logs(&world, &mut dice)).collect();
    let world = &world;
    let judged = asked.into_iter().map(|(method, params)| workloads::one(world, method, params));
    let wrong: Vec<String> = futures_util::stream::iter(judged)
        .buffer_unordered(8)
        .filter_map(|outcome| std::future::ready(outcome.err()))
        .collect()
        .await;
    let shown: Vec<_> = wrong.iter().take(5).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} of {queries} wrong:\n{}", wrong.len(), shown.join("\n"));
}
