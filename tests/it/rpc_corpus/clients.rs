//! ethers, viem and web3.py: the same script against the node and through the hub, the same report.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::scene::Scene;
use crate::support::{root, skip};

#[test]
fn ethers_cannot_tell_the_hub_from_the_node() {
    compare("ethers", |scene, http, ws| {
        node_script("ethers", "ethers-compare.mjs", scene, http, ws)
    });
}

#[test]
fn viem_cannot_tell_the_hub_from_the_node() {
    compare("viem", |scene, http, ws| node_script("viem", "viem-compare.mjs", scene, http, ws));
}

#[test]
fn web3_py_cannot_tell_the_hub_from_the_node() {
    compare("web3.py", |scene, http, ws| {
        let packages = root().join(".toolchain/python");
        if !packages.join("web3").exists() {
            skip("web3.py", "not installed; scripts/toolchain installs it");
            return None;
        }
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", packages).arg(root().join("tests/it/py/web3_compare.py"));
        Some(report(&mut python, scene, http, ws))
    });
}

fn compare(library: &str, run: impl Fn(&Scene, &str, &str) -> Option<Value>) {
    let Some(scene) = Scene::build() else { return };
    scene.node.call("evm_setAutomine", json!([true]));
    let url = |scheme: &str, rest: &str| format!("{scheme}://127.0.0.1:{rest}");
    let direct = scene.node.port.to_string();
    let Some(node) = run(&scene, &url("http", &direct), &url("ws", &direct)) else { return };
    let setup = scene.hub();
    let hub = setup.run();
    let door = format!("{}/rpc/{}", hub.port, scene.node.chain_id);
    let ours = run(&scene, &url("http", &door), &url("ws", &door)).expect("it ran before");
    let said = node.as_object().expect("an object");
    assert!(said.len() >= 10, "{library} reports little: {node}");
    for (key, value) in said {
        assert_eq!(ours[key], *value, "{library}: {key}");
    }
    assert_eq!(ours.as_object().map(serde_json::Map::len), Some(said.len()), "{library}");
}

fn node_script(module: &str, file: &str, scene: &Scene, http: &str, ws: &str) -> Option<Value> {
    let modules = root().join(".toolchain/node_modules");
    if !modules.join(module).exists() {
        skip(module, "not installed; scripts/toolchain installs it");
        return None;
    }
    let script = beside(&modules, file);
    Some(report(Command::new("node").arg(script), scene, http, ws))
}

/// Modules resolve from the script's own folder upwards, so the script runs beside them.
fn beside(modules: &Path, file: &str) -> PathBuf {
    let script = modules.parent().expect("a folder").join(file);
    std::fs::copy(root().join("tests/it/js").join(file), &script).expect("copied");
    script
}

/// Runs `command HTTP_URL WS_URL TOKEN HOLDER RECEIVER` and reads the JSON object that it prints.
fn report(command: &mut Command, scene: &Scene, http: &str, ws: &str) -> Value {
    let output = command
        .args([http, ws, &scene.tokens.coin, &scene.node.accounts[1], &scene.node.accounts[2]])
        .output()
        .expect("the script starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "at {http}: {complaint}");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
