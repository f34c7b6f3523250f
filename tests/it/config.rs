//! The configuration as a user meets it: real files, real environment, errors in one go.

use std::path::Path;

use rwahub::config::load::{EXAMPLE, load};

const CHAIN: &str = "[[chain]]\nid = 1\n[[chain.provider]]\nurl_file = \"url\"\n";

#[test]
fn files_named_in_the_configuration_are_found_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.toml");
    std::fs::write(folder.path().join("url"), "https://node.example/KEY\n").expect("written");
    let abi = r#"[{"type":"event","name":"Minted","inputs":[],"anonymous":false}]"#;
    std::fs::write(folder.path().join("bond.json"), abi).expect("written");
    let contract =
        "[[contract]]\nname = \"bond\"\nchain_id = 1\nabi = \"bond.json\"\naddress = \"any\"\n";
    std::fs::write(&path, format!("{CHAIN}{contract}")).expect("written");
    let loaded = load(Some(&path), [], &[]).expect("good");
    assert_eq!(loaded.source.as_deref(), Some(path.as_path()));
    assert_eq!(loaded.config.chains[0].providers[0].url.expose(), "https://node.example/KEY");
    assert_eq!(loaded.config.contracts.len(), 1);
}

#[test]
fn the_example_file_loads_as_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    std::fs::write(&path, EXAMPLE).expect("written");
    let loaded = load(Some(&path), [], &[]).expect("good");
    assert_eq!(loaded.config.gateway.listen.to_string(), "127.0.0.1:8080");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn a_missing_file_is_a_fault_that_names_it() {
    let errors = load(Some(Path::new("no/such.toml")), [], &[]).expect_err("no file");
    assert_eq!(
        errors.to_string(),
        "no/such.toml: No such file or directory (os error 2); name an existing file with --config, or start from config.toml.example"
    );
}
