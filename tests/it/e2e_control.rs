//! The running daemon under its operator's hands: the control socket, `rwahub providers`, reload under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rwahub::sim::{ProviderSettings, Settings, Sim};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::http;
use crate::support::hub::Setup;

const CHAIN: u64 = 31_337;
const RPC: &str = "/rpc/31337";

async fn sim() -> Sim {
    let settings = Settings {
        chain_id: CHAIN,
        blocks: 60,
        logs_per_block: 3,
        contracts: 2,
        holders: 6,
        live: false,
        providers: vec![ProviderSettings::default(); 3],
        ..Settings::default()
    };
    Sim::start(settings).await.expect("a simulated chain")
}

/// `[[chain.provider]]` for a provider of the simulation.
fn entry(sim: &Sim, at: usize, scheme: &str, more: &str) -> String {
    let address = sim.providers[at];
    format!(
        "[[chain.provider]]\nname = \"p{at}\"\nurl = \"{scheme}://{address}/KEY{at}\"\n{more}\n"
    )
}

fn orders(setup: &Setup, args: &[&str]) -> Value {
    let mut all = vec!["providers"];
    all.extend(args);
    all.push("--json");
    let output = setup.command(&all);
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {complaint}");
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

fn provider<'a>(list: &'a Value, name: &str) -> &'a Value {
    let items = list["items"].as_array().expect("items");
    items.iter().find(|item| item["name"] == name).expect("a provider of this name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_of_a_running_daemon_are_listed_drained_enabled_and_judged() {
    let sim = sim().await;
    let setup = Setup::on_port(CHAIN, sim.providers[0].port(), 0, &entry(&sim, 1, "ws", ""));
    let without = setup.command(&["providers", "list"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&without.stderr).contains("no daemon answers"));
    let (setup, sim) = tokio::task::spawn_blocking(move || {
        let hub = setup.run();
        let listed = orders(&setup, &["list"]);
        assert_eq!(provider(&listed, "p1")["breaker"], "closed", "{listed}");
        assert!(!listed.to_string().contains("KEY"), "{listed}");
        assert_eq!(orders(&setup, &["drain", "http"])["drained"], true);
        let before = sim.calls(0).values().sum::<u64>();
        for _ in 0..20 {
            http::rpc(hub.port, RPC, "eth_getBlockByNumber", json!(["finalized", false]));
        }
        // A call that was on its way when the order came may still arrive.
        assert!(sim.calls(0).values().sum::<u64>() <= before + 1, "drained and still asked");
        assert_eq!(provider(&orders(&setup, &["list"]), "http")["drained"], true);
        assert_eq!(orders(&setup, &["enable", "http"])["drained"], false);
        assert_eq!(orders(&setup, &["scorecard"])["items"], json!([]));
        assert!(orders(&setup, &["test"])["items"].as_array().is_some_and(|list| list.len() == 2));
        let unknown = setup.command(&["providers", "drain", "nobody"]);
        assert_eq!(unknown.status.code(), Some(1));
        assert_eq!(hub.stop(), Some(0));
        (setup, sim)
    })
    .await
    .expect("no panic");
    assert!(!setup.dir().join("data/control.sock").exists(), "gone with the daemon");
    drop(sim);
}

/// Asks until told to stop; how many calls were made and how many failed.
async fn load(port: u16, stop: Arc<AtomicBool>, made: Arc<AtomicUsize>) -> Vec<String> {
    let mut failed = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let asked = tokio::task::spawn_blocking(move || {
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber",
                "params": ["finalized", false]});
            http::request(
                port,
                "POST",
                RPC,
                &[("content-type", "application/json")],
                &body.to_string(),
            )
        });
        made.fetch_add(1, Ordering::Relaxed);
        match asked.await.expect("no panic") {
            Ok(answer) if answer.json()["result"].is_object() => {}
            other => failed.push(format!("{other:?}")),
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_under_load_fails_no_call_and_closes_no_socket() {
    let sim = sim().await;
    let setup = Arc::new(Setup::on_port(CHAIN, sim.providers[0].port(), 0, ""));
    let base = std::fs::read_to_string(&setup.config).expect("the configuration");
    let starting = setup.clone();
    let hub = tokio::task::spawn_blocking(move || starting.run()).await.expect("starts");
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let url = format!("ws://127.0.0.1:{}{RPC}", hub.port);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("connects");
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]});
        socket.send(Message::text(request.to_string())).await.expect("sends");
        let confirmed = socket.next().await.expect("an answer").expect("a message");
        assert!(confirmed.to_text().expect("text").contains("result"));
        sockets.push(socket);
    }
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> =
        (0..2).map(|_| tokio::spawn(load(hub.port, stop.clone(), made.clone()))).collect();
    let order = |args: &'static [&'static str]| {
        let setup = setup.clone();
        async move { tokio::task::spawn_blocking(move || orders(&setup, args)).await.expect("done") }
    };

    // Two providers come, one with a limit.
    let two = base.clone()
        + &entry(&sim, 1, "ws", "weight = 3")
        + &entry(&sim, 2, "http", "rate_limit_rps = 500");
    std::fs::write(&setup.config, &two).expect("written");
    let answer = order(&["reload"]).await;
    assert_eq!(answer["needs_restart"], json!([]), "{answer}");
    let text = answer.to_string();
    assert!(text.contains("chain[31337].provider[p1].weight") && !text.contains("KEY"), "{text}");
    assert_eq!(order(&["list"]).await["items"].as_array().map(Vec::len), Some(3));

    // The first one goes, a weight changes, and a key that needs a restart is named.
    let start = base.find("[[chain.provider]]").expect("the first provider");
    let end = base.find("[store]").expect("the store");
    let one = base.replace(&base[start..end], &entry(&sim, 1, "ws", "weight = 1"))
        + &entry(&sim, 2, "http", "");
    let one = one.replace("confirmations = 4", "confirmations = 5");
    std::fs::write(&setup.config, &one).expect("written");
    let answer = order(&["reload"]).await;
    assert_eq!(answer["needs_restart"][0]["key"], "chain[31337].confirmations", "{answer}");
    sim.kill(0);

    // A bad file is refused by the command and by SIGHUP; what was stays.
    std::fs::write(&setup.config, one.replace("weight = 1", "weigth = 1")).expect("written");
    let asking = setup.clone();
    let refused = tokio::task::spawn_blocking(move || asking.command(&["providers", "reload"]));
    assert_eq!(refused.await.expect("no panic").status.code(), Some(2));
    hub.signal("-HUP");
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::fs::write(&setup.config, &one).expect("written");
    assert_eq!(order(&["list"]).await["items"].as_array().map(Vec::len), Some(2));

    // SIGHUP takes over as well.
    std::fs::write(&setup.config, one.replace("weight = 1", "weight = 7")).expect("written");
    hub.signal("-HUP");
    let until = Instant::now() + Duration::from_secs(20);
    while provider(&order(&["list"]).await, "p1")["weight"] != 7 {
        assert!(Instant::now() < until, "SIGHUP changed nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // Every socket still lives and hears of the next block.
    let mined = sim.mine(1).expect("mines");
    for socket in &mut sockets {
        loop {
            let heard = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
            let message = heard.expect("a head in time").expect("open").expect("a message");
            let text = message.to_text().unwrap_or_default();
            if text.contains(&format!("\"number\":\"{mined:#x}\"")) {
                break;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut failed = Vec::new();
    for task in tasks {
        failed.extend(task.await.expect("no panic"));
    }
    let made = made.load(Ordering::Relaxed);
    assert!(failed.is_empty(), "{} of {made} calls failed: {:?}", failed.len(), failed.first());
    assert!(made > 50, "{made} calls");
    drop(sockets);
    assert_eq!(tokio::task::spawn_blocking(move || hub.stop()).await.expect("ends"), Some(0));
}
