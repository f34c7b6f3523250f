//! What goes through `/rpc` against the node's own words: a corpus of questions, each asked of anvil
//! and of the daemon in six modes, and three client libraries that must not notice the difference.

mod clients;
mod exchange;
mod modes;
mod scene;

use std::collections::BTreeMap;

use crate::support::root;

use self::exchange::Exchange;
use self::scene::Scene;

/// Exchanges that the corpus must hold at least.
const EXCHANGES_MIN: usize = 150;

/// The corpus with names filled in, and the node's own answer to each.
fn corpus(scene: &Scene) -> Vec<(Exchange, String)> {
    let file = root().join("tests/it/rpc_corpus/corpus.txt");
    let text = std::fs::read_to_string(file).expect("the corpus");
    let exchanges = exchange::read(&text, &scene.names);
    assert!(exchanges.len() >= EXCHANGES_MIN, "{} exchanges", exchanges.len());
    let once = |exchange: &Exchange| scene.ask_node(exchange);
    exchanges
        .into_iter()
        .map(|exchange| {
            let (first, second) = (once(&exchange), once(&exchange));
            assert_eq!(first, second, "the node answers {exchange} in two ways");
            (exchange, first)
        })
        .collect()
}

/// Everything that differs, at once: a list says more than the first case.
#[derive(Debug, Default)]
struct Verdict {
    asked: usize,
    differing: BTreeMap<String, String>,
}

impl Verdict {
    fn judge(&mut self, mode: &str, exchange: &Exchange, node: &str, ours: &str) {
        self.asked += 1;
        if !exchange.accepts(node, ours) {
            let shown = |text: &str| text.chars().take(300).collect::<String>();
            let text = format!("\n    node: {}\n    hub:  {}", shown(node), shown(ours));
            self.differing.insert(format!("{mode}: {exchange}"), text);
        }
    }

    fn close(self, modes: usize, exchanges: usize) {
        let list: String = self.differing.iter().map(|(k, v)| format!("\n  {k}{v}")).collect();
        assert!(self.differing.is_empty(), "{} answers differ:{list}", self.differing.len());
        assert_eq!(self.asked, modes * exchanges, "every exchange in every mode");
    }
}

#[test]
fn every_answer_is_the_nodes_own_cold_warm_coalesced_batched_and_over_websocket() {
    let Some(scene) = Scene::build() else { return };
    let corpus = corpus(&scene);
    let mut verdict = Verdict::default();
    {
        let setup = scene.hub();
        let hub = setup.run();
        let door = scene.door(hub.port);
        for mode in ["cold", "warm"] {
            for (exchange, node) in &corpus {
                verdict.judge(mode, exchange, node, &door.ask(exchange));
            }
        }
        modes::websocket(&scene, &door, &corpus, &mut verdict);
    }
    {
        let setup = scene.hub();
        let hub = setup.run();
        let door = scene.door(hub.port);
        for (exchange, node) in &corpus {
            for ours in modes::at_once(&door, exchange) {
                verdict.asked -= usize::from(ours.1 > 0);
                verdict.judge("coalesced", exchange, node, &ours.0);
            }
        }
    }
    let setup = scene.hub();
    let hub = setup.run();
    modes::batched(&scene, &scene.door(hub.port), &corpus, &mut verdict);
    verdict.close(5, corpus.len());
}

#[test]
fn every_answer_is_the_nodes_own_when_a_second_provider_is_asked_as_well() {
    let Some(scene) = Scene::build() else { return };
    let corpus = corpus(&scene);
    let mut verdict = Verdict::default();
    let hedged = modes::hedged(&scene, &corpus, &mut verdict);
    verdict.close(1, corpus.len());
    // Writes, heavy queries and what the hub knows by itself are not hedged.
    assert!(hedged >= 50, "only {hedged} exchanges were hedged");
}
