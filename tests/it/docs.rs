//! The documents beside the code: their links lead somewhere, both READMEs say the same, and the code
//! that they show compiles.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/adr"];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn links_between_documents_lead_to_files() {
    let mut links = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let there = page.parent().unwrap().join(file).exists();
            assert!(there, "{} links to {target}, which does not exist", page.display());
            links += 1;
        }
    }
    assert!(links > 20, "only {links} links found");
}

/// The whole source as one text.
fn source(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn tests_that_keep_the_rules_exist() {
    let mut code = String::new();
    source(&root().join("src"), &mut code);
    source(&root().join("tests"), &mut code);
    let text = std::fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let mut named = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && line.contains('_')) {
        let tests = row.rsplit_once(" | ").unwrap().1;
        for name in tests.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 2)
        {
            assert!(code.contains(&format!("fn {name}(")), "docs/reliability.md names {name}");
            named += 1;
        }
    }
    assert!(named > 35, "only {named} tests named");
}

#[test]
fn files_named_in_the_architecture_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut named = 0;
    for word in text.split('`').filter(|word| word.contains('/') && !word.contains(' ')) {
        if word.ends_with(".rs") || word.ends_with('/') {
            let there = root().join("src").join(word).exists() || root().join(word).exists();
            assert!(there, "ARCHITECTURE.md names {word}, which does not exist");
            named += 1;
        }
    }
    assert!(named > 15, "only {named} files named");
}

#[test]
fn both_readmes_have_the_same_sections_tables_and_commands() {
    let shape = |name: &str| {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let mut code = false;
        let mut shape = Vec::new();
        for line in text.lines() {
            if line.starts_with("```") {
                code = !code;
                shape.push(line.to_owned());
            } else if code {
                // Comments and drawings are translated, commands and answers are not.
                if line.starts_with('$') || line.starts_with("curl") {
                    shape.push(line.split('#').next().unwrap().trim().to_owned());
                }
            } else if line.starts_with('#') {
                shape.push(line.split(' ').next().unwrap().to_owned());
            } else if line.starts_with('|') {
                shape.push("row".to_owned());
            }
        }
        shape
    };
    assert_eq!(shape("README.md"), shape("README.pt-BR.md"));
}

#[test]
fn the_handler_shown_to_contributors_is_one() {
    let shown = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let code = shown.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let own = include_str!("docs/handler.rs");
    assert!(own.ends_with(code), "tests/it/docs/handler.rs and CONTRIBUTING.md differ");
    assert_eq!(rwahub::pipeline::handler::Handler::name(&handler::Counter), "counter");
}

#[path = "docs/handler.rs"]
#[expect(unreachable_pub, reason = "a plugin's type is pub, this copy has no reader")]
mod handler;
