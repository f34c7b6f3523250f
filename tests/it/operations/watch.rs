//! What an operator sees of a running daemon: probes, the status page, grouped errors, traces.

use super::{World, wait_until};
use crate::support::http;

#[test]
fn probes_tell_starting_degraded_and_ready_apart() {
    let world = World::start();
    let setup = world.setup("");
    let hub = setup.run();
    wait_until("started", || http::get(hub.port, "/startupz").status == 200);
    wait_until("ready", || hub.json("/readyz")["status"] == "ready");
    world.sim.kill(1);
    wait_until("degraded, not unready", || {
        world.sim.mine(1).expect("mines");
        let answer = http::get(hub.port, "/readyz");
        answer.status == 200 && answer.json()["status"] == "degraded"
    });
    assert_eq!(http::get(hub.port, "/livez").status, 200);
    let page = http::request(hub.port, "GET", "/status", &[("accept-language", "pt-BR")], "")
        .expect("a page");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-language"), Some("pt-BR"));
    for text in ["Parcialmente", "sim", "31337"] {
        let there = page.body.contains(text) || text == "sim" && page.body.contains("test");
        assert!(there, "{text} is not on the page: {}", page.body);
    }
    assert!(!page.body.contains("127.0.0.1"), "providers stay private: {}", page.body);
    let page = http::get(hub.port, "/status").body;
    assert!(page.contains("Partly"), "{page}");
    wait_until("the failure is in the groups", || {
        let groups = http::get(setup.metrics_port, "/errors").json();
        groups.as_array().is_some_and(|all| {
            all.iter().all(|one| {
                one["count"].as_u64() > Some(0)
                    && one["first_seen_seconds"].as_u64() <= one["last_seen_seconds"].as_u64()
            })
        })
    });
}
