//! `kill -9` at random instants, during history and at the head: the same final state, nothing twice.

use std::process::Stdio;
use std::time::Duration;

use crate::e2e_backfill::{assert_same_state, contracts};
use crate::support::anvil::Anvil;
use crate::support::hub::{Setup, program};
use crate::support::tokens::{Dice, Tokens};

const KILLS_IN_HISTORY: usize = 10;
const KILLS_AT_THE_HEAD: usize = 10;

#[test]
fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let Some(node) = Anvil::start(&["--slots-in-an-epoch", "8"]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    tokens.traffic(&node, 21, 300);
    node.mine(3000);
    tokens.traffic(&node, 22, 100);
    let setup = Setup::new(&node, &contracts(&node, &tokens));
    let mut dice = Dice(0xdead);

    for _ in 0..KILLS_IN_HISTORY {
        let mut child = program(&["backfill", "--json", "--chain"])
            .args([node.chain_id.to_string(), "--to".to_owned(), node.head().to_string()])
            .arg("--config")
            .arg(&setup.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rwahub starts");
        std::thread::sleep(Duration::from_millis(30 + dice.below(400) as u64));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
    for round in 0..KILLS_AT_THE_HEAD {
        let hub = setup.run();
        tokens.traffic(&node, 100 + round as u64, 10);
        if round % 3 == 2 {
            node.call("anvil_reorg", serde_json::json!([3, []]));
            node.mine(1);
        }
        std::thread::sleep(Duration::from_millis(dice.below(150) as u64));
        hub.kill();
    }
    let hub = setup.run();
    hub.wait_for_block(&node, node.head());
    assert_same_state(&hub, &node, &tokens);
}
