//! The configuration as a user meets it: real files, errors in one go, and the generated pages about it.

use std::path::{Path, PathBuf};

use rwahub::config::BuiltInAbi;
use rwahub::config::keys::{Presence, SECTIONS};
use rwahub::config::load::{EXAMPLE, load};
use rwahub::telemetry::metrics::{Kind, Metric};

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

#[test]
fn the_pages_of_keys_and_metrics_are_up_to_date() {
    keep_up_to_date("docs/config.md", &config_page());
    keep_up_to_date("docs/metrics.md", &metrics_page());
}

#[test]
fn the_built_in_packs_know_every_event_of_their_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("abi");
    let mut files = 0;
    for path in files_of(&folder).chain(files_of(&folder.join("hub"))) {
        let name = path.strip_prefix(&folder).expect("below abi/").to_string_lossy().into_owned();
        let pack = match name.as_str() {
            "erc20.json" => BuiltInAbi::Erc20,
            "erc721.json" => BuiltInAbi::Erc721,
            name if name.starts_with("erc3643-") => BuiltInAbi::Erc3643,
            name if name.starts_with("hub/") => BuiltInAbi::Rwahub,
            _ => continue,
        };
        let text = std::fs::read_to_string(&path).expect("text");
        let items: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list");
        for event in items.iter().filter(|item| item["type"] == "event") {
            let event = event["name"].as_str().expect("a name");
            assert!(pack.event_names().contains(event), "{event} of {name} is missing");
        }
        files += 1;
    }
    assert!(files >= 21, "only {files} files of the packs");
}

fn files_of(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file())
}

/// Compares a generated page with the file; with `UPDATE_DOCS=1` writes it instead.
fn keep_up_to_date(path: &str, page: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, page).expect("the page can be written");
    }
    let now = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        now == page,
        "{path} is out of date; run UPDATE_DOCS=1 cargo test --test it the_pages and commit it"
    );
}

fn config_page() -> String {
    let defaults: toml::Table = EXAMPLE.parse().expect("the example is TOML");
    let mut page = String::from(
        "# Configuration\n\n\
        Generated from `src/config/keys.rs` and `config.toml.example` by the test \
        `the_pages_of_keys_and_metrics_are_up_to_date`; do not edit.\n\n\
        Sources, each over the one before: built-in defaults (`config.toml.example`, compiled in), \
        the file (`--config FILE`, else `config.toml` if there is one), the environment, `--set \
        key=value`. An unknown key is an error, wherever it comes from. Every fault is reported at \
        once; the exit code is then 2. `rwahub check` prints what counts in the end, secrets \
        left out.\n\n\
        A key's variable is `RWAHUB_` and its path in capitals, with `__` between levels and a number \
        for an entry of a list: `RWAHUB_GATEWAY__LISTEN`, `RWAHUB_CHAIN__0__PROVIDER__1__URL`. \
        Variables under `RWAHUB_TEST_` belong to the tests and are passed over.\n\n\
        A `[[chain]]` in your file replaces the built-in one; the built-in one's values stay as the \
        defaults of every chain, but for `id`, `name` and the providers.\n",
    );
    for section in SECTIONS {
        let (open, close) = if section.repeated { ("[[", "]]") } else { ("[", "]") };
        page += &format!("\n## `{open}{}{close}`\n\n{}\n\n", section.path, section.doc);
        page += "| key | type | default | meaning |\n| --- | --- | --- | --- |\n";
        for key in section.keys.iter().filter(|key| key.presence != Presence::Section) {
            let default = match key.presence {
                Presence::Default => format!("`{}`", default_of(&defaults, section.path, key.name)),
                Presence::Required => "required".to_owned(),
                Presence::Optional | Presence::Section => "–".to_owned(),
            };
            let cells = [format!("`{}`", key.name), key.kind.into(), default, key.doc.into()];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            page += &format!("| {} |\n", cells.join(" | "));
        }
    }
    page
}

/// The example's value of a key; lists of tables are entered at their first entry.
fn default_of(defaults: &toml::Table, path: &str, key: &str) -> toml::Value {
    let mut table = defaults;
    for part in path.split('.') {
        let inner = &table[part];
        let inner = inner.as_array().map_or(inner, |entries| &entries[0]);
        table = inner.as_table().expect("a table of the example");
    }
    table[key].clone()
}

fn metrics_page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
        Generated from `src/telemetry/metrics.rs` by the test \
        `the_pages_of_keys_and_metrics_are_up_to_date`; do not edit.\n\n\
        Served at `GET /metrics` on `telemetry.metrics_listen` in the Prometheus text format. Names are \
        `rwahub_<subsystem>_<what>_<unit>[_total]`; histograms have fixed buckets. Labels take values of \
        the configuration (chain, provider) or from short lists of the program (method, outcome, mode, \
        route, status), never an address, a transaction or a user.\n\n\
        | metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for spec in Metric::ALL.iter().map(|metric| metric.spec()) {
        let kind = match spec.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<_> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
        page += &format!("| `{}` | {kind} | {} | {} |\n", spec.name, labels.join(", "), spec.help);
    }
    page
}
