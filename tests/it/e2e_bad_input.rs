//! Bad input: one line that names key, value and remedy; exit code 2 for configuration, 1 otherwise;
//! nothing lost.

use std::process::Output;

use crate::support::anvil::Anvil;
use crate::support::hub::{Setup, program};

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn edited(setup: &Setup, from: &str, to: &str) {
    let text = std::fs::read_to_string(&setup.config).expect("config");
    assert!(text.contains(from), "the template has {from:?}");
    std::fs::write(&setup.config, text.replace(from, to)).expect("config written");
}

fn refuses(setup: &Setup, args: &[&str], code: i32, words: &[&str]) {
    let output = setup.command(args);
    let text = complaint(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{args:?}: {word:?} is missing in: {text}");
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('{'));
    assert!(lines.count() >= 1, "one line each: {text}");
}

#[test]
fn every_configuration_fault_is_told_at_once_with_code_2() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(
        &node,
        "[[contract]]\nname = \"x\"\nchain_id = 999\nabi = \"erc20\"\naddress = \"any\"\n",
    );
    edited(&setup, "start_block = 0", "start_blok = 0");
    edited(&setup, "weight = 1", "weight = 0");
    refuses(&setup, &["check"], 2, &["start_blok", "start_block", "weight", "999"]);
}

#[test]
fn an_abi_that_is_not_json_is_named_with_its_file() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(
        &node,
        "[[contract]]\nname = \"x\"\nchain_id = 31337\nabi = \"broken.json\"\naddress = \"any\"\n",
    );
    let file = setup.dir().join("broken.json");
    std::fs::write(&file, "this is not json").expect("written");
    edited(&setup, "broken.json", &file.display().to_string());
    refuses(&setup, &["run"], 2, &["abi", "broken.json", "JSON"]);
}

#[test]
fn a_wrong_chain_id_is_found_by_asking_the_provider() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    edited(&setup, "id = 31337", "id = 5");
    refuses(&setup, &["check"], 1, &["31337", "5"]);
    refuses(&setup, &["backfill", "--chain", "5", "--to", "0"], 1, &["31337", "5"]);
}

#[test]
fn an_unreachable_provider_is_named() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    edited(&setup, &format!("127.0.0.1:{}", node.port), "127.0.0.1:1");
    refuses(&setup, &["check"], 1, &["127.0.0.1:1", "check the url"]);
    refuses(&setup, &["backfill", "--chain", "31337", "--to", "0"], 1, &["unreachable"]);
}

#[test]
fn a_start_block_above_the_head_is_told_with_both_numbers() {
    let Some(node) = Anvil::start(&[]) else { return };
    node.mine(3);
    let setup = Setup::new(&node, "");
    edited(&setup, "start_block = 0", "start_block = 1000");
    refuses(
        &setup,
        &["backfill", "--chain", "31337", "--to", "3"],
        1,
        &["1000", "3", "start_block"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    let taken = std::net::TcpListener::bind(("127.0.0.1", setup.port)).expect("free");
    refuses(&setup, &["run"], 1, &["listen", &setup.port.to_string(), "in use"]);
    drop(taken);
}

#[test]
fn a_second_daemon_on_the_same_store_is_refused_and_the_first_lives_on() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let second = setup.command(&["backfill", "--chain", "31337", "--to", "0"]);
    assert_eq!(second.status.code(), Some(1));
    let text = complaint(&second);
    assert!(text.contains("held by another"), "{text}");
    assert!(hub.json("/api/v1/status").is_object());
    assert_eq!(hub.stop(), Some(0));
}

#[test]
fn a_data_path_that_cannot_be_written_is_named() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    // Root may write anywhere, so a file stands where the directory should be.
    std::fs::write(setup.dir().join("data"), "in the way").expect("written");
    refuses(&setup, &["run"], 1, &["path", "data"]);
}

#[test]
fn a_provider_that_closes_mid_answer_ends_as_a_clear_error() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok() {
                let cut =
                    b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":";
                stream.write_all(cut).ok();
            }
        }
    });
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = dir.path().join("config.toml");
    let text = format!(
        "[[chain]]\nid = 1\nname = \"x\"\nconfirmations = 1\nstart_block = 0\n\
         [[chain.provider]]\nname = \"cutter\"\nurl = \"http://127.0.0.1:{port}\"\nweight = 1\n\
         [store]\nkind = \"embedded\"\npath = \"{}\"\n",
        dir.path().join("data").display()
    );
    std::fs::write(&config, text).expect("written");
    let output = program(&["check", "--config"]).arg(&config).output().expect("runs");
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
    let told = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("cutter"), "{told}");
}

#[test]
fn usage_errors_have_code_2() {
    for args in [&["backfil"][..], &["backfill", "--to", "x"], &["run", "--config", "missing.toml"]]
    {
        let output = program(args).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", complaint(&output));
    }
}
