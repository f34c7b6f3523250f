//! Dashboards and alert rules: every expression passes promtool, every metric in them exists in a live
//! scrape, every alert has tests and a section in the runbook.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{World, must, system_tool, wait_until};
use crate::support::{http, root};

/// Series that the whole program may have on one chain with two providers.
const SERIES_MAX: usize = 3_000;

fn alerts() -> PathBuf {
    root().join("grafana/alerts")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What follows `key: ` on lines of a rule file.
fn lines_of<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        line.trim_start().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ")
    })
}

fn dashboards() -> Vec<(String, Value)> {
    let folder = root().join("grafana/dashboards");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("dashboards") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("text");
        all.push((name, serde_json::from_str(&text).expect("JSON")));
    }
    assert!(all.len() >= 6, "only {} dashboards", all.len());
    all
}

/// Every expression of every panel.
fn panel_expressions() -> Vec<String> {
    let mut all = Vec::new();
    for (name, board) in dashboards() {
        for panel in board["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().expect("targets") {
                let text = target["expr"].as_str().unwrap_or_else(|| panic!("{name}: no expr"));
                all.push(text.to_owned());
            }
        }
    }
    all
}

/// Words of an expression that name a metric or a recorded rule.
fn names_in(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("rwahub_") || word.starts_with("rwahub:"))
        .map(str::to_owned)
        .collect()
}

/// A histogram's series under its own name.
fn base(name: &str) -> &str {
    ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[test]
fn rules_are_clean_and_every_alert_fires_stays_silent_and_resolves() {
    let Some(promtool) = system_tool("promtool") else { return };
    let (rules, recording) = (alerts().join("rwahub.yml"), alerts().join("recording.yml"));
    must(
        Command::new(&promtool)
            .args(["check", "rules", "--lint=all", "--lint-fatal"])
            .args([&rules, &recording]),
    );
    must(Command::new(&promtool).args(["test", "rules"]).arg(alerts().join("tests.yml")));
    must(
        Command::new(&promtool)
            .args(["check", "config"])
            .arg(alerts().join("prometheus.example.yml")),
    );

    let (rules, tests) = (text("grafana/alerts/rwahub.yml"), text("grafana/alerts/tests.yml"));
    let runbook = text("docs/runbook.md");
    let names: Vec<&str> = lines_of(&rules, "alert").collect();
    assert!(names.len() >= 30, "only {} alerts", names.len());
    for name in &names {
        let asked: Vec<&str> = tests
            .split("\n  - name: ")
            .filter(|case| case.starts_with(&format!("{name}\n")))
            .collect();
        assert_eq!(asked.len(), 1, "{name} needs one case in tests.yml");
        let silent = asked[0].matches("exp_alerts: []").count();
        let fires = asked[0].matches("exp_labels:").count();
        assert!(
            silent >= 2 && fires >= 1,
            "{name}: silent, fires, resolves; has {silent}, {fires}"
        );
        let first = asked[0].find("exp_alerts: []").expect("counted");
        let last = asked[0].rfind("exp_alerts: []").expect("counted");
        let fire = asked[0].find("exp_labels:").expect("counted");
        assert!(first < fire && fire < last, "{name}: silent before and after");
        let section = runbook.split(&format!("\n## {name}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("docs/runbook.md has no section {name}"));
        let section = section.split("\n## ").next().expect("text");
        for part in ["**Means:**", "**Look:**", "**Do:**"] {
            assert!(section.contains(part), "{name} has no {part} in the runbook");
        }
        let link = format!("runbook: docs/runbook.md#{}", name.to_lowercase());
        assert!(rules.contains(&link), "{name} has no link to the runbook");
    }
    for section in runbook.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(names.contains(&section), "the runbook explains {section}, which is no alert");
    }
}

#[test]
fn the_alertmanager_example_is_valid() {
    let Some(amtool) = system_tool("amtool") else { return };
    must(Command::new(amtool).arg("check-config").arg(alerts().join("alertmanager.example.yml")));
}

#[test]
fn dashboards_are_whole() {
    let mut uids = BTreeSet::new();
    for (name, board) in dashboards() {
        let uid = board["uid"].as_str().expect("a uid").to_owned();
        assert_eq!(uid, name, "file and uid");
        assert!(uids.insert(uid), "{name}: uid twice");
        assert!(board["id"].is_null(), "{name}: an id of one installation");
        let shown = board.to_string();
        for variable in board["templating"]["list"].as_array().expect("variables") {
            let variable = variable["name"].as_str().expect("a name");
            let used = shown.contains(&format!("${variable}"))
                || shown.contains(&format!("${{{variable}}}"));
            assert!(used, "{name}: nobody uses ${variable}");
        }
        for panel in board["panels"].as_array().expect("panels") {
            for key in ["title", "description"] {
                let text = panel[key].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{name}: a panel without {key}: {panel}");
            }
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}: {panel}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {panel}");
        }
    }
}

#[test]
fn expressions_of_dashboards_are_valid() {
    let Some(promtool) = system_tool("promtool") else { return };
    let mut rules = String::from("groups:\n  - name: panels\n    rules:\n");
    for (index, expression) in panel_expressions().iter().enumerate() {
        let expression = expression
            .replace("$__rate_interval", "5m")
            .replace("$chain", ".*")
            .replace('\'', "''");
        rules.push_str(&format!("      - record: panel:{index}\n        expr: '{expression}'\n"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("panels.yml");
    std::fs::write(&file, rules).expect("written");
    must(Command::new(promtool).args(["check", "rules"]).arg(file));
}

#[test]
fn every_metric_of_dashboards_and_rules_is_in_a_live_scrape_that_promtool_accepts() {
    let Some(promtool) = system_tool("promtool") else { return };
    let world = World::start();
    let setup = world.setup("");
    let hub = setup.run();
    let head = world.head();
    wait_until("the index is at the head and the gauges say so", || {
        let indexed = hub.json("/api/v1/chains/31337")["indexed"] == head;
        let scrape = http::get(setup.metrics_port, "/metrics").body;
        indexed
            && scrape.contains(&format!("rwahub_chain_verified_block{{chain=\"31337\"}} {head}"))
    });
    let scrape = http::get(setup.metrics_port, "/metrics").body;

    let mut words = BTreeSet::new();
    let rules = [text("grafana/alerts/rwahub.yml"), text("grafana/alerts/recording.yml")].concat();
    panel_expressions().iter().for_each(|one| words.extend(names_in(one)));
    lines_of(&rules, "expr").for_each(|one| words.extend(names_in(one)));
    assert!(words.len() > 50, "only {} names found", words.len());
    let recorded: BTreeSet<&str> = lines_of(&rules, "record").collect();
    for word in &words {
        if word.contains(':') {
            assert!(recorded.contains(word.as_str()), "{word} is recorded nowhere");
            continue;
        }
        let there = |name: &str| {
            scrape.lines().any(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
        };
        assert!(there(word) || there(base(word)), "{word} is not in the scrape:\n{scrape}");
    }

    let series = scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    assert!(series < SERIES_MAX, "{series} series, at most {SERIES_MAX}");
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    std::io::Write::write_all(&mut check.stdin.take().expect("piped"), scrape.as_bytes())
        .expect("fed");
    let output = check.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "promtool check metrics: {said}");

    // Meters are bound when parts are made; one bound before the recorder stands records nothing.
    for line in [
        format!("rwahub_rpc_provider_head_block{{chain=\"31337\",provider=\"http\"}} {head}"),
        "rwahub_chain_index_state{chain=\"31337\"} 2".to_owned(),
        "rwahub_health_component_state{component=\"store\"} 0".to_owned(),
        "rwahub_store_max_readers{file=\"rwahub\"} 4".to_owned(),
    ] {
        assert!(scrape.contains(&line), "{line} is not in\n{scrape}");
    }
}
