//! What is stored can be trusted and mended: documents from the raw logs without a node, planted gaps
//! found and filled, a contract added later, and one digest for one history, whatever way led there.

use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;
use rwahub::sim::{ProviderSettings, Settings, Sim};
use serde_json::{Value, json};

use crate::support::hub::{Setup, program};
use crate::support::tokens::Dice;

const CHAIN: u64 = 31_337;
const BLOCKS: u64 = 240;

async fn world(seed: u64) -> Sim {
    let settings = Settings {
        seed,
        chain_id: CHAIN,
        blocks: BLOCKS,
        logs_per_block: 8,
        contracts: 3,
        holders: 20,
        live: false,
        finalized_depth: 20,
        providers: vec![ProviderSettings::default()],
        ..Settings::default()
    };
    Sim::start(settings).await.expect("the simulated chain starts")
}

/// The addresses of each suite of the simulated chain.
fn suites(sim: &Sim) -> Vec<Vec<String>> {
    let listed = crate::support::http::get(sim.control.port(), "/truth/contracts").json();
    let keys = ["token", "identity_registry", "compliance"];
    let suite = |suite: &Value| keys.map(|key| suite[key].as_str().expect("address").to_owned());
    listed.as_array().expect("contracts").iter().map(|one| suite(one).to_vec()).collect()
}

fn contract(name: &str, abi: &str, addresses: &[String]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[[contract]]\nname = \"{name}\"\nchain_id = {CHAIN}\nabi = \"{abi}\"\naddress = [{}]\n",
        addresses.join(", ")
    )
}

fn setup(sim: &Sim, contracts: &str) -> Setup {
    Setup::on_port(CHAIN, sim.providers[0].port(), 0, contracts)
}

/// The same store under other contracts.
fn reconfigure(setup: &Setup, contracts: &str) {
    let text = std::fs::read_to_string(&setup.config).expect("config");
    let (base, _) = text.split_once("[[contract]]").expect("has contracts");
    std::fs::write(&setup.config, format!("{base}{contracts}")).expect("config written");
}

fn run(setup: &Setup, args: &[&str]) -> Value {
    let output = setup.command(args);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {complaint}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn status(setup: &Setup) -> Value {
    run(setup, &["status", "--json"])["chains"][0].clone()
}

fn verify(setup: &Setup, extra: &[&str]) -> Value {
    let output = setup.command(&[&["verify", "--chain", "31337", "--json"][..], extra].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim())
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn database(setup: &Setup) -> Connection {
    Connection::open(setup.dir().join("data/rwahub.sqlite")).expect("opens")
}

/// Everything that an index of this history says of itself.
fn whole(setup: &Setup) -> Value {
    let status = status(setup);
    let keys = ["indexed_hash", "blocks", "logs", "events", "undecoded", "digest", "parked"];
    let mut said: Value = keys.iter().map(|key| ((*key).to_owned(), status[key].clone())).collect();
    let views = ["v_token", "v_holder"];
    for view in views {
        let connection = database(setup);
        let mut select = connection.prepare(&format!("SELECT * FROM {view}")).expect("a view");
        let columns = select.column_count();
        let mut rows: Vec<String> = select
            .query_map([], |row| {
                let value = |at| row.get::<_, rusqlite::types::Value>(at);
                (0..columns).map(|at| value(at).map(|value| format!("{value:?}"))).collect()
            })
            .expect("rows")
            .map(|row: Result<Vec<String>, _>| row.expect("a row").join(" "))
            .collect();
        rows.sort();
        assert!(!rows.is_empty(), "{view}");
        said[view] = json!(rows);
    }
    said
}

fn events(setup: &Setup) -> Vec<String> {
    let connection = database(setup);
    let sql = "SELECT block_number || ' ' || log_index || ' ' || contract || ' ' ||
               coalesce(event, '-') FROM v_event ORDER BY row";
    let mut select = connection.prepare(sql).expect("a view");
    let rows = select.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reindex_asks_no_node_survives_kills_and_ends_where_it_was() {
    let sim = world(1).await;
    let all = suites(&sim).concat();
    let setup = setup(&sim, &contract("suite", "erc3643", &all));
    setup.backfill(CHAIN, BLOCKS);
    let before = whole(&setup);
    assert_ne!(before["digest"], json!(format!("0x{}", "00".repeat(32))));
    let calls = sim.calls(0);
    let mut dice = Dice(7);
    for _ in 0..8 {
        let mut child = program(&["reindex", "--config"])
            .arg(&setup.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rwahub starts");
        std::thread::sleep(Duration::from_millis(40 + dice.below(250) as u64));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
    let report = run(&setup, &["reindex", "--chain", "31337", "--json"]);
    assert_eq!(report["chains"][0]["digest"], before["digest"]);
    assert_eq!(whole(&setup), before);
    assert_eq!(sim.calls(0), calls, "not one call to a node");
    assert_eq!(status(&setup)["rebuilt_below"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_was_cut_short_is_finished_by_the_next_start() {
    let sim = world(2).await;
    let all = suites(&sim).concat();
    let setup = setup(&sim, &contract("suite", "erc3643", &all));
    setup.backfill(CHAIN, BLOCKS - 40);
    // As a kill right after the first transaction of a rebuild leaves it.
    let connection = database(&setup);
    connection
        .execute_batch(
            "DELETE FROM holding; DELETE FROM token; DELETE FROM identity; DELETE FROM undo;
             UPDATE chain SET rebuild = 0;",
        )
        .expect("planted");
    drop(connection);
    assert_eq!(status(&setup)["rebuilt_below"], 0);
    setup.backfill(CHAIN, BLOCKS);
    let fresh = self::setup(&sim, &contract("suite", "erc3643", &all));
    fresh.backfill(CHAIN, BLOCKS);
    assert_eq!(whole(&setup), whole(&fresh));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_history_has_one_digest_however_it_was_indexed() {
    let sim = world(3).await;
    let all = contract("suite", "erc3643", &suites(&sim).concat());
    let at_once = setup(&sim, &all);
    at_once.backfill(CHAIN, BLOCKS);
    let piece_by_piece = setup(&sim, &all);
    for to in [1, 17, 120, BLOCKS - 21, BLOCKS - 3, BLOCKS] {
        piece_by_piece.backfill(CHAIN, to);
    }
    let once = whole(&at_once);
    assert_eq!(once, whole(&piece_by_piece));
    let other = world(4).await;
    let other_setup = setup(&other, &contract("suite", "erc3643", &suites(&other).concat()));
    other_setup.backfill(CHAIN, BLOCKS);
    assert_ne!(whole(&other_setup)["digest"], once["digest"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_finds_planted_gaps_and_repairs_them_with_what_follows_from_them() {
    let sim = world(5).await;
    let setup = setup(&sim, &contract("suite", "erc3643", &suites(&sim).concat()));
    setup.backfill(CHAIN, BLOCKS);
    let right = whole(&setup);
    let listed = events(&setup);
    let clean = verify(&setup, &["--all"]);
    assert_eq!((&clean["faults"], &clean["asked"]), (&json!([]), &json!(BLOCKS + 1)), "{clean}");
    assert_eq!(verify(&setup, &[])["asked"], 0, "everything is proven and gives its digest");

    let connection = database(&setup);
    let with_logs = |above: i64| -> i64 {
        let sql =
            "SELECT min(l.row >> 19 & 0xFFFFFFFFF) FROM log l WHERE l.row >> 19 & 0xFFFFFFFFF > ?1";
        connection.query_row(sql, [above], |row| row.get(0)).expect("a block with logs")
    };
    let [lost, altered, gone, unproven] = [20, 60, 100, 140].map(with_logs);
    let plant = |sql: &str, block: i64| {
        assert!(connection.execute(sql, [block]).expect(sql) > 0, "{sql} {block}");
    };
    plant("DELETE FROM log WHERE row >> 19 & 0xFFFFFFFFF = ?1", lost);
    plant(
        "UPDATE log SET data = zeroblob(length(data)) WHERE row >> 19 & 0xFFFFFFFFF = ?1",
        altered,
    );
    plant("DELETE FROM block WHERE row >> 19 & 0xFFFFFFFFF = ?1", gone);
    plant("UPDATE block SET proof = 0 WHERE row >> 19 & 0xFFFFFFFFF = ?1", unproven);
    drop(connection);

    let found = verify(&setup, &[]);
    let faults: Vec<i64> = found["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| fault["block"].as_i64().expect("number"))
        .collect();
    assert_eq!(faults, [lost, altered, gone], "{found}");
    assert_eq!((&found["repaired"], &found["unverified"]), (&json!(false), &json!(1)));
    assert_eq!(setup.command(&["verify", "--chain", "31337"]).status.code(), Some(1));

    let mended = verify(&setup, &["--repair"]);
    assert_eq!(mended["repaired"], true, "{mended}");
    assert_eq!(mended["verified_through"], BLOCKS, "{mended}");
    assert_eq!(whole(&setup), right);
    assert_eq!(events(&setup), listed);
    assert_eq!(verify(&setup, &["--all"])["faults"], json!([]));
    assert_eq!(setup.command(&["verify", "--chain", "31337"]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_added_later_is_as_if_it_had_been_there_from_the_start() {
    let sim = world(6).await;
    let suites = suites(&sim);
    let first = contract("one", "erc3643", &suites[0]);
    let both = format!("{first}{}", contract("others", "erc3643", &suites[1..].concat()));
    let setup = setup(&sim, &first);
    setup.backfill(CHAIN, BLOCKS);
    let alone = whole(&setup);
    reconfigure(&setup, &both);
    let mut dice = Dice(11);
    for _ in 0..6 {
        let mut child = program(&["backfill", "--chain", "31337", "--to"])
            .arg(BLOCKS.to_string())
            .arg("--config")
            .arg(&setup.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rwahub starts");
        std::thread::sleep(Duration::from_millis(40 + dice.below(250) as u64));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
    setup.backfill(CHAIN, BLOCKS);
    let fresh = self::setup(&sim, &both);
    fresh.backfill(CHAIN, BLOCKS);
    assert_ne!(whole(&fresh)["digest"], alone["digest"]);
    assert_eq!(whole(&setup), whole(&fresh));
    assert_eq!(events(&setup), events(&fresh));
    // Nothing is searched twice.
    let calls = sim.calls(0);
    setup.backfill(CHAIN, BLOCKS);
    let logs = |calls: &std::collections::BTreeMap<String, u64>| calls.get("eth_getLogs").copied();
    assert_eq!(logs(&sim.calls(0)), logs(&calls));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_read_when_an_abi_for_them_comes() {
    let sim = world(8).await;
    let all = suites(&sim).concat();
    let setup = setup(&sim, &contract("suite", "erc20", &all));
    setup.backfill(CHAIN, BLOCKS);
    let dead = status(&setup)["undecoded"].as_u64().expect("a count");
    assert!(dead > 0, "erc20 cannot read the events of a suite");
    reconfigure(&setup, &contract("suite", "erc3643", &all));
    let report = run(&setup, &["reindex", "--json"]);
    let fresh = self::setup(&sim, &contract("suite", "erc3643", &all));
    fresh.backfill(CHAIN, BLOCKS);
    assert_eq!(whole(&setup), whole(&fresh));
    assert_eq!(events(&setup), events(&fresh));
    assert_eq!(report["chains"][0]["undecoded"], status(&fresh)["undecoded"]);
}
