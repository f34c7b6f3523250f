//! Holds `src/` to the rooms of `ARCHITECTURE.md`: who may import whom, which crate lives where, and the
//! house rules that a reader of the text can check. Each finding names file, line and rule.
//!
//! The checker is a pure function over file texts, so a second test feeds it planted faults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Who may import whom, lowest room first. The table of `ARCHITECTURE.md` says the same.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("config", &["types"]),
    ("telemetry", &["types", "config"]),
    ("decode", &["types"]),
    ("rpc", &["types", "config", "telemetry"]),
    ("chain", &["types", "config", "telemetry", "rpc"]),
    ("pipeline", &["types", "config", "telemetry", "decode", "chain"]),
    ("handlers", &["types", "config", "telemetry", "decode", "pipeline"]),
    ("store", &["types", "config", "telemetry", "pipeline"]),
    ("bus", &["types", "config", "telemetry", "pipeline"]),
    ("tx", &["types", "config", "telemetry", "rpc", "pipeline"]),
    ("notify", &["types", "config", "telemetry", "pipeline"]),
    ("gateway", &["types", "config", "telemetry", "rpc", "store", "bus"]),
    ("sim", &["types"]),
    (
        "app",
        &[
            "types",
            "config",
            "telemetry",
            "decode",
            "rpc",
            "chain",
            "pipeline",
            "handlers",
            "store",
            "bus",
            "tx",
            "notify",
            "gateway",
            "sim",
        ],
    ),
    ("cli", &["types", "config", "telemetry", "sim", "app"]),
    // The binary and the library's root stand outside the rooms.
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Rooms that may wait for something; the others are plain computation.
const ASYNC_ROOMS: &[&str] = &[
    "telemetry",
    "rpc",
    "chain",
    "pipeline",
    "store",
    "bus",
    "tx",
    "notify",
    "gateway",
    "sim",
    "app",
    "cli",
    "main",
];

/// Where a third-party crate (or a part of one) may be used. Crates not listed may be used anywhere.
const FENCES: &[(&str, &[&str])] = &[
    ("alloy_dyn_abi", &["decode", "tx"]),
    ("alloy_json_abi", &["config", "decode"]),
    ("alloy_signer", &["tx"]),
    ("alloy_signer_local", &["tx"]),
    ("alloy_sol_types", &["decode", "tx"]),
    ("anyhow", &["app", "cli", "main"]),
    ("async_nats", &["bus"]),
    ("async_trait", ASYNC_ROOMS),
    ("aws_lc_rs", &["store", "gateway"]),
    ("axum", &["gateway"]),
    ("rust_embed", &["gateway"]),
    ("backon", &["rpc"]),
    ("bson", &["store"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("env_logger", &["telemetry"]),
    ("failsafe", &["rpc"]),
    ("fastrace::collector", &["telemetry"]),
    ("futures_util", ASYNC_ROOMS),
    ("hyper", &["telemetry", "rpc", "notify", "gateway", "sim"]),
    ("hyper::client", &["rpc", "notify"]),
    ("hyper_rustls", &["rpc", "notify"]),
    ("hyper_util", &["telemetry", "rpc", "notify", "gateway", "sim"]),
    ("hyper_util::client", &["rpc", "notify"]),
    ("indicatif", &["app", "cli"]),
    ("jsonwebtoken", &["gateway"]),
    ("lettre", &["notify"]),
    ("metrics", &["telemetry"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
    ("mongodb", &["store"]),
    ("redis", &["store"]),
    ("rusqlite", &["store"]),
    ("rustls", &["rpc", "store", "bus", "notify", "app", "cli", "main"]),
    ("sd_notify", &["app"]),
    (
        "serde",
        &[
            "config",
            "telemetry",
            "decode",
            "rpc",
            "chain",
            "pipeline",
            "store",
            "bus",
            "tx",
            "notify",
            "gateway",
            "sim",
            "app",
            "cli",
        ],
    ),
    ("tokio", ASYNC_ROOMS),
    ("tokio_tungstenite", &["rpc", "sim"]),
    ("tokio_util", ASYNC_ROOMS),
    ("toml", &["config"]),
    ("tower_http", &["gateway"]),
    ("utoipa", &["gateway"]),
    ("web_push_native", &["notify"]),
];

/// Files in which nothing may be `async`: they must be testable as plain functions.
const SYNC_PLACES: &[&str] = &["src/types/", "src/config/", "src/decode/", "src/chain/reorg.rs"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "models", "services", "helpers"];

/// Longest file without its tests.
const FILE_LINES_MAX: usize = 500;

/// Folders whose subfolders must all hold the same files: learn one, know all.
const SAME_FILES: &[&str] = &["src/handlers"];

#[test]
fn src_keeps_to_the_rooms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    read_tree(root, Path::new("src"), &mut files);
    assert!(files.len() > 10, "found only {} files below {}", files.len(), root.display());
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let findings = check_tree(&files, &architecture);
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn planted_faults_are_found_with_file_line_and_rule() {
    for (file, text, expected) in PLANTED {
        let found = check_file(file, text);
        let expected: Vec<_> = expected.iter().map(|finding| (*finding).to_owned()).collect();
        assert_eq!(found, expected, "in {file}:\n{text}");
    }
}

#[test]
fn planted_trees_are_found() {
    let tree = |paths: &[&str]| -> BTreeMap<String, String> {
        paths.iter().map(|path| ((*path).to_owned(), "//! X.\n".to_owned())).collect()
    };
    let found = check_tree(
        &tree(&[
            "src/lib.rs",
            "src/stray.rs",
            "src/rpc/pool.rs",
            "src/ledger/mod.rs",
            "src/handlers/mod.rs",
            "src/handlers/trading/mod.rs",
            "src/handlers/trading/rules.rs",
            "src/handlers/holdings/mod.rs",
            "src/store/utils.rs",
            "src/store/mod.rs",
        ]),
        "`handlers` `store`",
    );
    assert_eq!(
        found,
        [
            "src/handlers/trading has mod.rs, rules.rs but src/handlers/holdings has mod.rs; plugins have the same files",
            "src/ledger/mod.rs:1 is in no room of the table",
            "src/store/utils.rs:1 is named utils; name it after what is inside",
            "src/stray.rs:1 is in no room; src/ holds rooms, lib.rs and main.rs only",
            "ARCHITECTURE.md does not name the room `ledger`",
            "ARCHITECTURE.md does not name the room `rpc`",
            "src/rpc has no mod.rs",
        ]
    );
}

/// File, text, findings.
const PLANTED: &[(&str, &str, &[&str])] = &[
    (
        "src/decode/registry.rs",
        "//! X.\nuse crate::types::log;\nuse crate::{\n    rpc::pool,\n};\n",
        &["src/decode/registry.rs:4 imports rpc; decode may import: types"],
    ),
    (
        "src/decode/registry.rs",
        "//! X.\nfn f() { super::super::store::read::x(); super::event::y(); self::z(); }\n",
        &["src/decode/registry.rs:2 imports store; decode may import: types"],
    ),
    (
        "src/types/mod.rs",
        "//! X.\nmod inner { use super::super::config::Config; use super::event; }\n",
        &["src/types/mod.rs:2 imports config; types may import: nothing"],
    ),
    (
        "src/gateway/rest.rs",
        "//! X.\nfn f() { assert_eq!(1, crate::chain::head()); }\n",
        &[
            "src/gateway/rest.rs:2 imports chain; gateway may import: types, config, telemetry, rpc, store, bus",
        ],
    ),
    (
        "src/rpc/mod.rs",
        "//! X.\nuse crate::*;\nuse crate as root;\nuse super::*;\n",
        &[
            "src/rpc/mod.rs:2 imports the crate's root whole; name the room",
            "src/rpc/mod.rs:3 imports the crate's root whole; name the room",
            "src/rpc/mod.rs:4 imports the crate's root whole; name the room",
        ],
    ),
    (
        "src/rpc/mod.rs",
        "//! X.\nuse crate::telemetry::metrics;\nfn f() { metrics::count(); }\n#[cfg(test)]\nmod tests { use crate::gateway::x; use axum::y; }\n#[cfg(test)]\nuse crate::cli;\n",
        &[],
    ),
    (
        "src/rpc/mod.rs",
        "//! X.\nuse metrics::counter;\n#[derive(clap::Parser)]\nstruct S;\nfn f(x: mongodb::Client) -> ::rusqlite::Row { axum::serve() }\n",
        &[
            "src/rpc/mod.rs:2 uses metrics; only telemetry may",
            "src/rpc/mod.rs:3 uses clap; only cli may",
            "src/rpc/mod.rs:5 uses mongodb; only store may",
            "src/rpc/mod.rs:5 uses rusqlite; only store may",
            "src/rpc/mod.rs:5 uses axum; only gateway may",
        ],
    ),
    (
        "src/gateway/server.rs",
        "//! X.\nuse hyper::server;\nuse hyper_util::{client::legacy, rt};\nuse tokio_tungstenite::connect_async;\n",
        &[
            "src/gateway/server.rs:3 uses hyper_util::client; only rpc, notify may",
            "src/gateway/server.rs:4 uses tokio_tungstenite; only rpc, sim may",
        ],
    ),
    (
        "src/handlers/holdings/rules.rs",
        "//! X.\nextern crate tokio;\n",
        &[
            "src/handlers/holdings/rules.rs:2 uses tokio; only telemetry, rpc, chain, pipeline, store, bus, tx, notify, gateway, sim, app, cli, main may",
        ],
    ),
    (
        "src/store/embedded/write.rs",
        "use anyhow::Result;\n",
        &[
            "src/store/embedded/write.rs:1 does not begin with //!; say what the file does and what it leaves out",
            "src/store/embedded/write.rs:1 uses anyhow; only app, cli, main may",
        ],
    ),
    (
        "src/chain/reorg.rs",
        "//! X.\nasync fn f() {\n    g().await;\n    let h = async { 1 };\n}\ntrait T { async fn g(&self); }\n",
        &[
            "src/chain/reorg.rs:2 is async; this place is plain computation",
            "src/chain/reorg.rs:3 is async; this place is plain computation",
            "src/chain/reorg.rs:4 is async; this place is plain computation",
            "src/chain/reorg.rs:6 is async; this place is plain computation",
        ],
    ),
    ("src/chain/fetch.rs", "//! X.\nasync fn f() {}\n", &[]),
    (
        "src/lib.rs",
        "//! X.\npub mod types;\npub use types::chain;\n",
        &["src/lib.rs:3 re-exports; lib.rs lists rooms only, re-exports hide imports"],
    ),
    (
        "src/main.rs",
        "//! X.\nfn main() { rwahub::store::x(); rwahub::cli::run(); }\n",
        &["src/main.rs:2 imports store; main may import: cli"],
    ),
    (
        "src/decode/event.rs",
        "//! X.\nfn f( {\n",
        &["src/decode/event.rs:2 does not parse: cannot parse string into token stream"],
    ),
];

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let code = "//! X.\n".to_owned() + &"fn f() {}\n".repeat(FILE_LINES_MAX);
    assert_eq!(
        check_file("src/rpc/pool.rs", &code),
        ["src/rpc/pool.rs:501 has 501 lines without tests; 500 are the most, split it"]
    );
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn g() {}\n".repeat(400));
    let code = "//! X.\n".to_owned() + &"fn f() {}\n".repeat(FILE_LINES_MAX - 1) + &tests;
    assert_eq!(check_file("src/rpc/pool.rs", &code), Vec::<String>::new());
}

/// Everything wrong in a tree of files (path → text).
fn check_tree(files: &BTreeMap<String, String>, architecture: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut rooms = BTreeSet::new();
    let mut plugins: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for (path, text) in files {
        findings.extend(check_file(path, text));
        if let Some((room, _)) = path.trim_start_matches("src/").split_once('/') {
            rooms.insert(room);
        }
        for parent in SAME_FILES {
            let inside = path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
            if let Some((plugin, file)) = inside.and_then(|rest| rest.split_once('/')) {
                plugins.entry(parent).or_default().entry(plugin).or_default().insert(file);
            }
        }
    }
    for (parent, folders) in plugins {
        let Some((first, model)) = folders.first_key_value() else { continue };
        let list = |files: &BTreeSet<&str>| files.iter().copied().collect::<Vec<_>>().join(", ");
        for (folder, files) in folders.iter().filter(|(_, files)| *files != model) {
            let (left, right) = (list(files), list(model));
            findings.push(format!(
                "{parent}/{folder} has {left} but {parent}/{first} has {right}; plugins have the same files"
            ));
        }
    }
    findings.sort();
    for room in &rooms {
        if !architecture.contains(&format!("`{room}`")) {
            findings.push(format!("ARCHITECTURE.md does not name the room `{room}`"));
        }
    }
    for room in rooms {
        if !files.contains_key(&format!("src/{room}/mod.rs")) {
            findings.push(format!("src/{room} has no mod.rs"));
        }
    }
    findings
}

/// Everything wrong in one file.
fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    let room = module[0].clone();
    let at_top = module.len() == 1;
    if at_top && !["lib", "main"].contains(&inside) {
        let rule = "is in no room; src/ holds rooms, lib.rs and main.rs only";
        return vec![format!("{path}:1 {rule}")];
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{path}:1 is in no room of the table")];
    };
    if let Some(word) = module.iter().find(|part| EMPTY_NAMES.contains(&part.as_str())) {
        findings.push(format!("{path}:1 is named {word}; name it after what is inside"));
    }
    if !text.starts_with("//!") {
        let rule = "does not begin with //!; say what the file does and what it leaves out";
        findings.push(format!("{path}:1 {rule}"));
    }
    // `mod tests;` stands under #[cfg(test)] in its parent; the file itself does not show it.
    if module.iter().any(|part| part == "tests") {
        return findings;
    }
    if at_top || module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    let syntax = match syn::parse_file(text) {
        Ok(syntax) => syntax,
        Err(error) => {
            findings.push(format!("{path}:{} does not parse: {error}", error.span().start().line));
            return findings;
        }
    };
    let mut walk = Walk { path, room: &room, allowed, module, ..Walk::default() };
    walk.sync = SYNC_PLACES.iter().any(|place| path.starts_with(place));
    walk.bound = bound_names(&syntax);
    walk.visit_file(&syntax);
    let lines = text.lines().count() - walk.test_lines;
    if lines > FILE_LINES_MAX {
        let rule =
            format!("has {lines} lines without tests; {FILE_LINES_MAX} are the most, split it");
        walk.findings.push((lines, rule));
    }
    walk.findings.sort_by_key(|(line, _)| *line);
    walk.findings.dedup();
    findings.extend(walk.findings.iter().map(|(line, rule)| format!("{path}:{line} {rule}")));
    findings
}

/// Walks one file's syntax, test code left out.
#[derive(Default)]
struct Walk<'a> {
    path: &'a str,
    room: &'a str,
    allowed: &'a [&'a str],
    /// Path of the module being walked, from the crate's root.
    module: Vec<String>,
    /// Names that `use` and `mod` bring into the file: they hide crates of the same name.
    bound: BTreeSet<String>,
    sync: bool,
    test_lines: usize,
    findings: Vec<(usize, String)>,
}

impl Walk<'_> {
    fn find(&mut self, span: Span, rule: impl Into<String>) {
        self.findings.push((span.start().line, rule.into()));
    }

    /// Judges one path as written, in an expression, a type or a flattened `use`.
    fn judge(&mut self, segments: &[String], absolute: bool, span: Span) {
        let Some(first) = segments.first() else { return };
        let mut place: Vec<&str> = match first.as_str() {
            "crate" | "rwahub" => Vec::new(),
            "self" | "super" => self.module.iter().map(String::as_str).collect(),
            "Self" => return,
            _ => return self.judge_fence(segments, absolute, span),
        };
        for segment in
            segments.iter().skip_while(|part| ["crate", "rwahub", "self"].contains(&part.as_str()))
        {
            if segment == "super" {
                place.pop();
            } else {
                place.push(segment);
            }
        }
        match place.first() {
            None | Some(&"*") => {
                if segments.len() > 1 || segments.first().is_some_and(|first| first == "super") {
                    self.find(span, "imports the crate's root whole; name the room");
                }
            }
            Some(room) if *room == self.room || self.allowed.contains(room) => {}
            Some(room) if ROOMS.iter().any(|(name, _)| name == room) => {
                let may = if self.allowed.is_empty() {
                    "nothing".to_owned()
                } else {
                    self.allowed.join(", ")
                };
                let rule = format!("imports {room}; {} may import: {may}", self.room);
                self.find(span, rule);
            }
            Some(_) => {}
        }
    }

    fn judge_fence(&mut self, segments: &[String], absolute: bool, span: Span) {
        if !absolute && self.bound.contains(&segments[0]) {
            return;
        }
        let path = segments.join("::");
        let broken = FENCES.iter().find(|(fenced, rooms)| {
            let inside = path
                .strip_prefix(fenced)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
            inside && !rooms.contains(&self.room)
        });
        if let Some((fenced, rooms)) = broken {
            self.find(span, format!("uses {fenced}; only {} may", rooms.join(", ")));
        }
    }

    /// Paths inside macro calls and attributes, which syn leaves as tokens.
    fn judge_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let colon =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.judge_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut segments = vec![first.to_string()];
                    let absolute = at >= 2 && colon(at - 1) && colon(at - 2);
                    while colon(at + 1) && colon(at + 2) {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                        segments.push(next.to_string());
                        at += 3;
                    }
                    if segments.len() > 1 {
                        self.judge(&segments, absolute, first.span());
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn skip(&mut self, item: &impl Spanned) {
        let span = item.span();
        self.test_lines += span.end().line - span.start().line + 1;
    }

    fn wait(&mut self, span: Span) {
        if self.sync {
            self.find(span, "is async; this place is plain computation");
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if attributes(item).iter().any(is_test) {
            return self.skip(item);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if item.attrs.iter().any(is_test) {
            return self.skip(item);
        }
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if self.path == "src/lib.rs" && !matches!(item.vis, syn::Visibility::Inherited) {
            self.find(item.span(), "re-exports; lib.rs lists rooms only, re-exports hide imports");
        }
        let mut paths = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut paths);
        for (segments, _, span) in paths {
            // A bare `use crate as x` has one segment but takes the whole root.
            if segments == ["crate"] {
                self.find(span, "imports the crate's root whole; name the room");
            } else {
                self.judge(&segments, item.leading_colon.is_some(), span);
            }
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.judge(&[item.ident.to_string()], true, item.span());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        // One segment alone is a local name; a crate is always followed by something.
        if segments.len() > 1 {
            self.judge(&segments, path.leading_colon.is_some(), path.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.judge_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.judge_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(word) = &signature.asyncness {
            self.wait(word.span());
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, expr: &'ast syn::ExprAsync) {
        self.wait(expr.span());
        visit::visit_expr_async(self, expr);
    }

    fn visit_expr_await(&mut self, expr: &'ast syn::ExprAwait) {
        self.wait(expr.await_token.span());
        visit::visit_expr_await(self, expr);
    }

    fn visit_expr_closure(&mut self, expr: &'ast syn::ExprClosure) {
        if let Some(word) = &expr.asyncness {
            self.wait(word.span());
        }
        visit::visit_expr_closure(self, expr);
    }
}

/// Every path of a `use` tree, the name it binds, and where it stands.
fn flatten(
    tree: &syn::UseTree,
    before: &mut Vec<String>,
    out: &mut Vec<(Vec<String>, String, Span)>,
) {
    let mut leaf = |before: &[String], last: String, bound: String, span: Span| {
        let mut path = before.to_vec();
        if last != "self" || path.is_empty() {
            path.push(last);
        }
        out.push((path, bound, span));
    };
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, out);
            before.pop();
        }
        syn::UseTree::Name(name) => {
            let word = name.ident.to_string();
            let bound = if word == "self" { before.last().cloned() } else { None };
            leaf(before, word.clone(), bound.unwrap_or(word), name.span());
        }
        syn::UseTree::Rename(name) => {
            leaf(before, name.ident.to_string(), name.rename.to_string(), name.span());
        }
        syn::UseTree::Glob(glob) => leaf(before, "*".to_owned(), "*".to_owned(), glob.span()),
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, before, out));
        }
    }
}

/// Names bound by `use` and `mod` anywhere in the file, but for a crate's own name (`use metrics;`).
fn bound_names(syntax: &syn::File) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
            let mut paths = Vec::new();
            flatten(&item.tree, &mut Vec::new(), &mut paths);
            let own = |(path, bound, _): &(Vec<String>, String, Span)| path.first() != Some(bound);
            self.0.extend(paths.into_iter().filter(own).map(|(_, bound, _)| bound));
        }

        fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
            self.0.insert(item.ident.to_string());
            visit::visit_item_mod(self, item);
        }
    }
    let mut names = Names(BTreeSet::new());
    names.visit_file(syntax);
    names.0
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`; not `#[cfg(not(test))]`.
fn is_test(attribute: &syn::Attribute) -> bool {
    let path = attribute.path();
    if path.segments.last().is_some_and(|last| last.ident == "test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let words: String = list.tokens.to_string().split_whitespace().collect();
    path.is_ident("cfg") && (words == "test" || words.starts_with("all(test,"))
}

fn read_tree(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    let entries = std::fs::read_dir(root.join(folder)).expect("src is readable");
    for entry in entries {
        let path = folder.join(entry.expect("an entry").file_name());
        let full = root.join(&path);
        if full.is_dir() {
            read_tree(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&full).expect("a source file is text");
            files.insert(path.display().to_string(), text);
        }
    }
}

#[test]
fn there_is_one_tls_stack_and_one_version_of_each_alloy_crate() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(bad_dependencies(&metadata), Vec::<String>::new());
}

#[test]
fn a_second_tls_stack_or_alloy_version_is_found() {
    let metadata = serde_json::json!({
        "packages": [
            {"id": "1", "name": "openssl-sys", "version": "0.9.1"},
            {"id": "2", "name": "rustls", "version": "0.23.1"},
            {"id": "3", "name": "alloy-primitives", "version": "1.7.3"},
            {"id": "4", "name": "alloy-primitives", "version": "1.6.0"},
        ],
        "resolve": {"nodes": [
            {"id": "1", "features": []},
            {"id": "2", "features": ["aws-lc-rs", "ring"]},
            {"id": "3", "features": []},
            {"id": "4", "features": []},
        ]},
    });
    assert_eq!(
        bad_dependencies(&metadata),
        [
            "openssl-sys 0.9.1 is in the tree; the one TLS stack is rustls with aws-lc-rs",
            "rustls 0.23.1 is built with its ring feature; two providers panic at the first connection",
            "alloy-primitives is in the tree as 1.6.0, 1.7.3; types of one are not types of the other",
        ]
    );
}

/// What the resolved dependency graph (`cargo metadata`) must not hold.
fn bad_dependencies(metadata: &serde_json::Value) -> Vec<String> {
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<_, _> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), (text(&package["name"]), text(&package["version"]))))
        .collect();
    let mut bad = Vec::new();
    let mut alloy: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Only nodes are really part of the build; `packages` also lists those of other platforms.
    for node in list(&metadata["resolve"]["nodes"]) {
        let Some((name, version)) = packages.get(&text(&node["id"])) else { continue };
        if ["openssl-sys", "native-tls", "openssl"].contains(&name.as_str()) {
            bad.push(format!(
                "{name} {version} is in the tree; the one TLS stack is rustls with aws-lc-rs"
            ));
        }
        if name == "rustls" && list(&node["features"]).iter().any(|feature| feature == "ring") {
            bad.push(format!("{name} {version} is built with its ring feature; two providers panic at the first connection"));
        }
        if name.starts_with("alloy-") {
            alloy.entry(name.clone()).or_default().insert(version.clone());
        }
    }
    for (name, versions) in alloy.iter().filter(|(_, versions)| versions.len() > 1) {
        let versions: Vec<_> = versions.iter().map(String::as_str).collect();
        bad.push(format!(
            "{name} is in the tree as {}; types of one are not types of the other",
            versions.join(", ")
        ));
    }
    bad
}
