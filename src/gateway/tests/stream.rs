//! The live feed: exactly once over reconnects, retraction, filters, quiet times, slow clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use axum::{Extension, Router};
use futures_util::StreamExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::fake::{ALICE, BOB, Fake, event};
use crate::gateway::server::Drain;
use crate::types::chain::ChainId;
use crate::types::feed::FeedItem;

/// One frame of a stream.
#[derive(Debug, Clone, Default)]
struct Frame {
    event: String,
    id: String,
    data: Value,
}

/// A client that reads frames and remembers the last id, as a browser does.
struct Client {
    body: BodyDataStream,
    text: String,
    last_id: String,
}

impl Client {
    async fn open(router: &Router, query: &str, last_id: Option<&str>) -> Self {
        let mut request = Request::get(format!("/api/v1/events/stream?{query}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        assert!(!response.headers().contains_key("content-encoding"));
        let body = response.into_body().into_data_stream();
        Self { body, text: String::new(), last_id: String::new() }
    }

    /// The next frame that a browser would dispatch; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some((raw, rest)) = self.text.split_once("\n\n") {
                let mut frame = Frame::default();
                let mut data = String::new();
                for line in raw.lines() {
                    match line.split_once(": ").unwrap_or((line, "")) {
                        ("event", value) => frame.event = value.into(),
                        ("id", value) => frame.id = value.into(),
                        ("data", value) => data.push_str(value),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                if !frame.id.is_empty() {
                    self.last_id.clone_from(&frame.id);
                }
                if !data.is_empty() {
                    frame.data = serde_json::from_str(&data).unwrap();
                    return Some(frame);
                }
            }
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn some(&mut self, count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        for _ in 0..count {
            frames.push(self.next().await.unwrap());
        }
        frames
    }
}

fn observed(block: u64, index: u32) -> FeedItem {
    FeedItem::Observed(event(block, index, ALICE, BOB))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_off_anywhere_sees_every_event_once() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let mut client = Client::open(&router, "", None).await;
    // The greeting carries the cursor of the moment of connection.
    let chunk = client.body.next().await.unwrap().unwrap();
    client.text.push_str(std::str::from_utf8(&chunk).unwrap());
    for block in 200..230 {
        fake.publish((0..7).map(|index| observed(block, index)).collect());
        fake.publish(vec![]);
    }
    let (mut seen, mut round) = (Vec::new(), 0);
    while seen.len() < 210 {
        round += 1;
        let count = (round * 5 % 23 + 1).min(210 - seen.len());
        for frame in client.some(count).await {
            assert_eq!(frame.event, "observed");
            seen.push((
                frame.data["block_number"].as_u64().unwrap(),
                frame.data["log_index"].as_u64().unwrap(),
            ));
        }
        let id = client.last_id.clone();
        client = Client::open(&router, "", Some(&id)).await;
    }
    let all: Vec<_> =
        (200..230).flat_map(|block| (0..7).map(move |index| (block, index))).collect();
    assert_eq!(seen, all);
}

#[tokio::test(start_paused = true)]
async fn without_a_cursor_a_stream_starts_at_the_newest_and_with_one_it_resumes() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    fake.publish(vec![observed(300, 0)]);
    let mut fresh = Client::open(&router, "", None).await;
    fake.publish(vec![observed(301, 0)]);
    let frame = fresh.next().await.unwrap();
    assert_eq!(frame.data["block_number"], 301);
    fake.publish(vec![observed(302, 0)]);
    let mut resumed = Client::open(&router, &format!("cursor={}", frame.id), None).await;
    assert_eq!(resumed.next().await.unwrap().data["block_number"], 302);
}

#[tokio::test(start_paused = true)]
async fn a_reorg_retracts_and_finality_is_told() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let mut client = Client::open(&router, "", None).await;
    fake.publish(vec![observed(400, 0)]);
    fake.publish(vec![FeedItem::Retracted(event(400, 0, ALICE, BOB))]);
    fake.publish(vec![observed(400, 1)]);
    fake.publish(vec![FeedItem::Finalized { chain: ChainId(1), block: 400 }]);
    let frames = client.some(4).await;
    let names: Vec<_> = frames.iter().map(|frame| frame.event.as_str()).collect();
    assert_eq!(names, ["observed", "retracted", "observed", "finalized"]);
    assert_eq!(frames[0].data["id"], frames[1].data["id"]);
    assert_eq!(frames[3].data, serde_json::json!({"chain_id": 1, "block_number": 400}));
}

#[tokio::test(start_paused = true)]
async fn a_filtered_client_keeps_its_place_through_what_it_does_not_see() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let query = "address=0x2222222222222222222222222222222222222222&event=Transfer&contract=bond";
    let mut client = Client::open(&router, query, None).await;
    for block in 500..900 {
        fake.publish(vec![FeedItem::Observed(event(block, 0, ALICE, ALICE))]);
    }
    fake.publish(vec![observed(900, 0)]);
    assert_eq!(client.next().await.unwrap().data["block_number"], 900);
    for block in 901..1_000 {
        fake.publish(vec![FeedItem::Observed(event(block, 0, ALICE, ALICE))]);
    }
    // Time passes until the heartbeat, which moves the client's id behind all of these.
    let before = client.last_id.clone();
    let chunk = client.body.next().await.unwrap().unwrap();
    let text = std::str::from_utf8(&chunk).unwrap();
    assert!(text.starts_with(": \nid: ") && !text.contains(&before), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_beats_every_fifteen_seconds_and_reads_nothing_twice() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let mut client = Client::open(&router, "", None).await;
    client.body.next().await.unwrap().unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..4 {
        let chunk = client.body.next().await.unwrap().unwrap();
        assert!(chunk.starts_with(b": \n"));
    }
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert!(fake.feed_reads.load(Ordering::SeqCst) <= 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_costs_no_reads_of_the_store() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let client = Client::open(&router, "", None).await;
    for block in 0..5_000 {
        fake.publish(vec![observed(1_000 + block, 0)]);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fake.feed_reads.load(Ordering::SeqCst), 0, "nothing is read ahead for it");
    let mut client = client;
    let frames = client.some(5_000).await;
    assert_eq!(frames[4_999].data["block_number"], 5_999, "and nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_from_the_future_is_refused() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    fake.publish(vec![observed(1_000, 0)]);
    let mut client = Client::open(&router, "", None).await;
    fake.publish(vec![observed(1_001, 0)]);
    client.next().await.unwrap();
    let smaller = Arc::new(Fake::default()).router();
    let uri = format!("/api/v1/events/stream?cursor={}", client.last_id);
    let answer = super::fake::get(&smaller, &uri).await;
    assert_eq!(answer.json()["code"], "invalid_cursor");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_on_drain_and_on_a_failing_store() {
    let fake = Arc::new(Fake::default());
    let drain = Drain::default();
    let router = fake.router().layer(Extension(drain.clone()));
    let mut client = Client::open(&router, "", None).await;
    fake.publish(vec![observed(1_000, 0)]);
    assert!(client.next().await.is_some());
    drain.start();
    assert!(client.next().await.is_none(), "the end is an end, not an error");

    let mut client = Client::open(&fake.router(), "", None).await;
    client.body.next().await.unwrap().unwrap();
    fake.broken.store(true, Ordering::SeqCst);
    fake.publish(vec![observed(1_001, 0)]);
    let frame = client.next().await.unwrap();
    assert_eq!(
        (frame.event.as_str(), &frame.data["code"]),
        ("problem", &"store_unavailable".into())
    );
    assert!(client.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_new_block_costs_one_read_however_many_watch() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Client::open(&router, "", None).await;
        client.body.next().await.unwrap().unwrap();
        clients.push(client);
    }
    let before = fake.feed_reads.load(Ordering::SeqCst);
    for block in 0..10 {
        fake.publish(vec![observed(1_000 + block, 0)]);
        let next = clients.iter_mut().map(Client::next);
        for frame in futures_util::future::join_all(next).await {
            assert_eq!(frame.unwrap().data["block_number"], 1_000 + block);
        }
    }
    let reads = fake.feed_reads.load(Ordering::SeqCst) - before;
    assert!(reads <= 20, "{reads} reads for 10 blocks and 100 clients");
}
