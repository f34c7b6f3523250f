//! What holds while Redis is frozen, gone, or back without its data.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rwahub::config::{Cache, EngineUrl};
use rwahub::store::cache::{self, Quota, Shared};
use tokio::time::sleep;

use super::servers::Server;

fn engine(server: &Server) -> Shared {
    let url = EngineUrl::new(format!("redis://127.0.0.1:{}/", server.port));
    cache::open(&Cache::Redis { url, prefix: "t".to_owned() }).expect("url")
}

const LONG: Duration = Duration::from_secs(60);

/// Nothing hangs, nothing is allowed without limit, nothing is leased.
async fn holds_without_redis(nodes: &[Shared; 3], quota: Quota) {
    let begun = Instant::now();
    let mut passed = 0;
    for node in nodes {
        for _ in 0..60 {
            let standing = node.limiter.charge("caller", quota, 1).await;
            assert!(standing.local, "{standing:?}");
            passed += u32::from(standing.allowed());
        }
        assert!(node.leases.acquire("chain-x", "me", LONG, 0).await.is_err());
        assert!(node.values.get("k").await.is_err());
        assert_eq!(node.answers.get(b"a", 0).await, None);
        node.answers.put(b"a", 1, Bytes::from_static(b"x"), LONG).await;
    }
    // 40 of 60 units were used before: three nodes share the other 20, rounded down.
    assert_eq!(passed, 18, "the shares of what was left");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "three nodes with 190 calls took {took:?}");
}

async fn three_nodes(server: &Server) -> [Shared; 3] {
    let nodes = [engine(server), engine(server), engine(server)];
    for _ in 0..2 {
        for (at, node) in nodes.iter().enumerate() {
            node.limiter.join(&format!("node {at}")).await;
        }
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_node_keeps_its_share_and_nobody_gets_a_lease() {
    for frozen in [false, true] {
        let Some(mut server) = Server::redis() else { return };
        let nodes = three_nodes(&server).await;
        let quota = Quota::new(1, Duration::from_secs(3600), 60);
        for at in 0..40 {
            assert!(nodes[at % 3].limiter.charge("caller", quota, 1).await.allowed());
        }
        // Each node has seen how the shared count stands.
        for node in &nodes {
            let standing = node.limiter.charge("caller", quota, 0).await;
            assert_eq!((standing.remaining, standing.local), (20, false));
        }
        if frozen {
            server.freeze()
        } else {
            server.kill()
        }
        holds_without_redis(&nodes, quota).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_redis_serves_again_and_epochs_go_on() {
    let Some(mut server) = Server::redis() else { return };
    let node = engine(&server);
    let first = node.leases.acquire("c", "me", LONG, 0).await.expect("answers").expect("free");
    node.leases.release(&first).await.expect("answers");
    server.kill();
    assert!(node.leases.acquire("c", "me", LONG, 0).await.is_err());
    server.up();
    let begun = Instant::now();
    let second = loop {
        match node.leases.acquire("c", "me", LONG, 0).await {
            Ok(lease) => break lease.expect("free"),
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_its_data_gives_epochs_above_the_stores() {
    let Some(server) = Server::redis() else { return };
    let node = engine(&server);
    // The store has seen epoch 17; this Redis never heard of it.
    let lease = node.leases.acquire("c", "me", LONG, 17).await.expect("answers").expect("free");
    assert_eq!(lease.epoch, 18);
}
