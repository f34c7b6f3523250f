//! Our own contracts as their users run them: under a Safe and a timelock, created by a factory. The hub
//! shows every log of theirs without configuration, and what it says of the bond equals the chain.

use std::collections::BTreeSet;

use alloy_sol_types::private::Address;
use serde_json::{Value, json};

use crate::e2e_backfill::events;
use crate::support::anvil::{Anvil, number};
use crate::support::hub::{Hub, Setup};
use crate::support::suite::{self, Suite, account, bonds, case, read};

/// Rights of an agent that may mint (`contracts/src/lib/Rights.sol`).
const SUPPLY: u64 = 1;
/// The timelock's delay in the demo.
const DELAY_SECS: u64 = 3_600;
/// ISO 3166-1: Germany, France, Switzerland, which the bond's rules allow.
const COUNTRIES: [u16; 3] = [276, 250, 756];

/// Every log of the chain: (block hash, log index).
fn all_logs(node: &Anvil) -> Vec<(String, u64)> {
    logs(node, json!({"fromBlock": "0x0", "toBlock": "latest"}))
}

fn logs(node: &Anvil, filter: Value) -> Vec<(String, u64)> {
    let logs = node.call("eth_getLogs", json!([filter]));
    let place = |log: &Value| {
        (log["blockHash"].as_str().expect("hash").to_owned(), number(&log["logIndex"]))
    };
    logs.as_array().expect("logs").iter().map(place).collect()
}

/// The events of one name at one contract, oldest first.
fn named(hub: &Hub, node: &Anvil, event: &str, contract: &str) -> Vec<Value> {
    let chain = node.chain_id;
    let path = format!(
        "/api/v1/events?chain_id={chain}&event={event}&contract={contract}&order=asc&limit=100"
    );
    hub.json(&path)["items"].as_array().expect("items").clone()
}

fn assert_all_shown(hub: &Hub, node: &Anvil) {
    let (shown, logged) = (events(hub, node.chain_id), all_logs(node));
    let known: BTreeSet<_> = shown.iter().collect();
    let missed: Vec<_> = logged.iter().filter(|log| !known.contains(log)).collect();
    assert_eq!(shown, logged, "not shown: {missed:?}");
    let unread = hub.json(&format!("/api/v1/events?chain_id={}&limit=1000", node.chain_id));
    for item in unread["items"].as_array().expect("items") {
        assert!(item["event"].is_string(), "undecoded: {item}");
    }
}

/// Balance, freezes, identity and country of every account, supply, count and pause against the chain.
fn assert_bond_equals_chain(hub: &Hub, node: &Anvil, suite: &Suite) {
    let (token, policy) = (suite.at("/demo/token"), suite.at("/demo/policy"));
    let mut expected = BTreeSet::new();
    for index in 0..node.accounts.len() {
        let holder = account(node, index);
        let balance = read(node, token, &suite::balanceOfCall { holder });
        let identity = read(node, policy, &suite::identityCall { wallet: holder });
        if !balance.is_zero() {
            expected.insert((
                holder.to_string(),
                balance.to_string(),
                read(node, token, &suite::getFrozenTokensCall { holder }).to_string(),
                read(node, token, &suite::isFrozenCall { holder }),
                (identity != Address::ZERO).then(|| identity.to_string()),
                Some(u64::from(read(node, policy, &suite::investorCountryCall { wallet: holder }))),
            ));
        }
    }
    let chain = node.chain_id;
    let page = hub.json(&format!("/api/v1/tokens/{chain}/{token}/holders?limit=100"));
    let text = |item: &Value, key: &str| item[key].as_str().map(str::to_owned);
    let shown: BTreeSet<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| {
            (
                text(item, "holder").expect("holder"),
                text(item, "balance").expect("balance"),
                text(item, "frozen").expect("frozen"),
                item["account_frozen"].as_bool().expect("a flag"),
                text(item, "identity"),
                item["country"].as_u64(),
            )
        })
        .collect();
    assert_eq!(shown, expected);
    let record = hub.json(&format!("/api/v1/tokens/{chain}/{token}"));
    assert_eq!(record["holders"].as_u64(), Some(expected.len() as u64), "{record}");
    let supply = read(node, token, &suite::totalSupplyCall {});
    assert_eq!(record["supply"], supply.to_string(), "{record}");
    assert_eq!(record["paused"], read(node, token, &suite::pausedCall {}), "{record}");
    assert_eq!(record["standard"], "erc3643", "{record}");
    let registry = record["identity_registry"].as_str().expect("a registry");
    assert!(registry.eq_ignore_ascii_case(policy), "{record}");
}

#[test]
fn governance_is_shown_step_by_step_and_refused_shortcuts_leave_no_trace() {
    let Some((node, suite)) = Suite::govern() else { return };
    let setup = Setup::new(&node, "");
    let report = setup.backfill(node.chain_id, node.head());
    assert_eq!(report["undecoded"], 0, "{report}");
    let hub = setup.run();
    hub.wait_for_block(&node, node.head());
    assert_all_shown(&hub, &node);
    assert_bond_equals_chain(&hub, &node, &suite);

    let (token, versions) = (suite.at("/demo/token"), suite.at("/contracts/VersionRegistry"));
    let (timelock, safe) = (suite.at("/governance/timelock"), suite.at("/governance/safe"));
    let count = |event: &str, contract: &str| named(&hub, &node, event, contract).len();
    // Two proposals and one right taken away went through the Safe; nothing that was refused did.
    assert_eq!(count("ExecutionSuccess", safe), 3);
    assert_eq!(count("ExecutionFailure", safe), 0);
    // The hand-over of the deployment went through the timelock too; everything proposed was executed.
    let wanted = [versions.to_lowercase(), token.to_lowercase()];
    let target = |event: &Value| event["args"]["target"].as_str().expect("one").to_lowercase();
    let scheduled = named(&hub, &node, "CallScheduled", timelock);
    let executed = named(&hub, &node, "CallExecuted", timelock);
    assert_eq!(scheduled.len(), executed.len());
    for steps in [&scheduled, &executed] {
        let last: Vec<_> = steps[steps.len() - 2..].iter().map(target).collect();
        assert_eq!(last, wanted, "the listing of the version, then the upgrade");
    }
    assert!(
        scheduled.last().expect("one")["timestamp"].as_u64()
            < executed.last().expect("one")["timestamp"].as_u64().map(|at| at - DELAY_SECS + 1),
        "not before the delay has passed"
    );

    let upgraded = named(&hub, &node, "Upgraded", token);
    assert_eq!(upgraded.len(), 2, "deployed and upgraded once: {upgraded:?}");
    assert_eq!(upgraded[1]["tx_hash"], executed[executed.len() - 1]["tx_hash"]);
    let listed = named(&hub, &node, "VersionAdded", versions);
    let newest = listed.last().expect("a version");
    assert_eq!(newest["args"]["version"], "2.0.0");
    assert_eq!(newest["args"]["implementation"], upgraded[1]["args"]["implementation"]);
    assert_eq!(count("Paused", token), 1, "the guardian");
    let rights = named(&hub, &node, "AgentRightsSet", token);
    let last = rights.last().expect("a right taken away");
    assert!(last["args"]["by"].as_str().expect("by").eq_ignore_ascii_case(safe), "{last}");
}

#[test]
fn what_agents_do_to_a_bond_is_what_the_chain_says_of_it() {
    let Some((node, suite)) = Suite::deploy() else { return };
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let (token, engine) = (suite.at("/demo/token"), suite.at("/contracts/ComplianceEngine"));
    let (alice, bob, next) = (account(&node, 5), account(&node, 6), account(&node, 0));
    let agent = |call: &dyn Fn()| {
        call();
        hub.wait_for_block(&node, node.head());
        assert_bond_equals_chain(&hub, &node, &suite);
    };
    // Minted bonds are locked for a minute.
    node.call("evm_increaseTime", json!([61]));
    node.mine(1);
    agent(&|| {
        Suite::send(&node, 5, token, &suite::transferCall { to: bob, amount: bonds(10) });
    });
    agent(&|| {
        let amount = bonds(300);
        Suite::send(&node, 2, token, &suite::freezePartialTokensCall { wallet: alice, amount });
    });
    agent(&|| {
        let amount = bonds(100);
        Suite::send(&node, 2, token, &suite::unfreezePartialTokensCall { wallet: alice, amount });
        let amount = bonds(5_000);
        Suite::send(&node, 2, token, &suite::setFrozenTokensCall { wallet: bob, amount });
    });
    // More than what is free: the rest comes out of what is frozen.
    agent(&|| {
        let (from, to, amount) = (alice, bob, bonds(900));
        Suite::send(
            &node,
            2,
            token,
            &suite::forcedTransferCall { from, to, amount, caseId: case(1) },
        );
    });
    agent(&|| {
        let call = suite::setAddressFrozenCall { wallet: alice, frozen: true };
        Suite::send(&node, 2, token, &call);
        let country = COUNTRIES[2];
        Suite::send(&node, 1, engine, &suite::updateCountryCall { wallet: alice, country });
    });
    agent(&|| {
        let call = suite::registerIdentityCall { wallet: next, id: bob, country: COUNTRIES[1] };
        Suite::send(&node, 1, engine, &call);
    });
    agent(&|| {
        let call = suite::recoveryAddressCall { lost: bob, next, id: bob, caseId: case(2) };
        Suite::send(&node, 2, token, &call);
    });
    agent(&|| {
        Suite::send(&node, 4, token, &suite::pauseCall {});
    });
    agent(&|| {
        node.call("anvil_reorg", json!([3, []]));
        node.mine(1);
    });
    assert_all_shown(&hub, &node);
    assert_eq!(hub.stop(), Some(0));
}

#[test]
fn children_of_the_factory_are_indexed_from_their_first_log_also_after_a_restart() {
    let Some((node, suite)) = Suite::deploy() else { return };
    let factory = suite.at("/contracts/TokenFactory");
    let setup = Setup::new(&node, &factory_config(&node, factory));
    let hub = setup.run();
    hub.wait_for_block(&node, node.head());
    let mut children = vec![suite.at("/demo/token").to_owned()];
    assert_children(&hub, &node, factory, &children);

    // One created while the hub runs, which logs in the very block that creates it.
    let receipt = Suite::send(&node, 0, factory, &terms(&node, "second"));
    hub.wait_for_block(&node, node.head());
    let created = named(&hub, &node, "TokenDeployed", factory);
    let second = created.last().expect("a second token");
    assert_eq!(second["tx_hash"], receipt["transactionHash"]);
    children.push(second["args"]["token"].as_str().expect("an address").to_owned());
    assert_children(&hub, &node, factory, &children);
    assert_eq!(hub.stop(), Some(0));

    // One created while it is down; all go on after the restart.
    Suite::send(&node, 0, factory, &terms(&node, "third"));
    let hub = setup.run();
    hub.wait_for_block(&node, node.head());
    let created = named(&hub, &node, "TokenDeployed", factory);
    let third = created.last().expect("a third token")["args"]["token"].as_str();
    children.push(third.expect("an address").to_owned());
    for child in &children {
        let mint = suite::mintCall { to: account(&node, 5), amount: bonds(1) };
        Suite::send(&node, 2, child, &mint);
    }
    hub.wait_for_block(&node, node.head());
    assert_children(&hub, &node, factory, &children);
}

/// The factory's children, and nothing of the rest of the suite.
fn factory_config(node: &Anvil, factory: &str) -> String {
    format!(
        r#"
[[contract]]
name = "bonds"
chain_id = {}
abi = "rwahub"
address = {{ factory = "{factory}", event = "TokenDeployed(address indexed token, address indexed policy, address indexed deployer, address owner, address engine, string name, string symbol, uint8 decimals)", parameter = "token" }}
"#,
        node.chain_id
    )
}

fn terms(node: &Anvil, salt: &str) -> suite::deployTokenCall {
    let rules = suite::RuleSet {
        maxBalance: 0,
        holderCap: 0,
        requiredTopics: 0,
        lockupSecs: 0,
        countryMode: 0,
        senderAttested: false,
    };
    let terms = suite::TokenTerms {
        name: format!("The {salt} bond"),
        symbol: salt.to_uppercase(),
        isin: String::new(),
        assetType: "bond".to_owned(),
        salt: salt.to_owned(),
        decimals: 6,
        onchainId: Address::ZERO,
        owner: account(node, 0),
        rules,
        countries: Vec::new(),
        agents: vec![account(node, 2)],
        rights: vec![alloy_sol_types::private::U256::from(SUPPLY)],
    };
    suite::deployTokenCall { terms }
}

/// Every log of every child and every creation is there, under the entry's name, and nothing else.
fn assert_children(hub: &Hub, node: &Anvil, factory: &str, children: &[String]) {
    let created = named(hub, node, "TokenDeployed", factory);
    assert_eq!(created.len(), children.len(), "{created:?}");
    let filter = json!({"address": children, "fromBlock": "0x0", "toBlock": "latest"});
    let mut expected: BTreeSet<_> = logs(node, filter).into_iter().collect();
    expected.extend(created.iter().map(|event| {
        let hash = event["block_hash"].as_str().expect("hash").to_owned();
        (hash, event["log_index"].as_u64().expect("index"))
    }));
    let shown: BTreeSet<_> = events(hub, node.chain_id).into_iter().collect();
    assert_eq!(shown, expected);
    for child in children {
        let chain = node.chain_id;
        let path = format!("/api/v1/events?chain_id={chain}&contract={child}&limit=1000");
        for item in hub.json(&path)["items"].as_array().expect("items") {
            assert_eq!(item["contract"], "bonds", "{item}");
            assert!(item["event"].is_string(), "undecoded: {item}");
        }
        let record = hub.json(&format!("/api/v1/tokens/{chain}/{child}"));
        let supply = read(node, child, &suite::totalSupplyCall {});
        assert_eq!(record["supply"], supply.to_string(), "{record}");
    }
}
