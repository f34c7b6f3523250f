//! What every bus must do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rwahub::bus::nats::Nats;
use rwahub::pipeline::bus::{Bus, DEAD_LETTERS, Delivery, Message, Replay, Terms, Verdict};
use rwahub::pipeline::error::BusError;
use rwahub::store::embedded;
use rwahub::types::chain::{BlockRange, ChainId};
use rwahub::types::event::{Arg, ArgReader, LayoutId, LayoutInfo};
use rwahub::types::log::LogView;
use tokio::time::sleep;

use super::{prefix, url};

/// A bus that can be left and opened again over the same data.
pub(super) struct Ground {
    kind: Kind,
}

enum Kind {
    Embedded(tempfile::TempDir),
    Nats { url: String, prefix: String },
}

/// The embedded store wants a decoder; the bus has no logs.
#[derive(Debug)]
struct NoArgs;

impl ArgReader for NoArgs {
    fn args(&self, _: LayoutId, _: LogView<'_>) -> Result<Vec<Arg>, String> {
        Ok(Vec::new())
    }

    fn participants(&self, _: LayoutId, _: LogView<'_>, _: &mut Vec<alloy_primitives::Address>) {}

    fn layouts(&self) -> Vec<LayoutInfo> {
        Vec::new()
    }
}

impl Ground {
    fn embedded() -> Option<Self> {
        Some(Self { kind: Kind::Embedded(tempfile::tempdir().expect("a folder")) })
    }

    fn nats() -> Option<Self> {
        let url = url("NATS")?;
        rwahub::app::install_tls();
        Some(Self { kind: Kind::Nats { url, prefix: prefix("b") } })
    }

    pub(super) async fn open(&self) -> Arc<dyn Bus> {
        match &self.kind {
            Kind::Embedded(folder) => {
                Arc::new(embedded::open(folder.path(), &[], Arc::new(NoArgs)).expect("opens"))
            }
            Kind::Nats { url, prefix } => Arc::new(Nats::open(url, prefix).await.expect("opens")),
        }
    }
}

macro_rules! on_every_bus {
    ($($rule:ident),* $(,)?) => {
        mod embedded_bus {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule(super::Ground::embedded().expect("embedded")).await;
            })*
        }
        mod nats_bus {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let Some(ground) = super::Ground::nats() else { return };
                super::$rule(ground).await;
            })*
        }
    };
}

on_every_bus!(
    what_is_published_is_delivered_whole_and_once,
    an_id_that_was_just_published_is_not_stored_again,
    of_two_publishers_that_know_the_end_one_is_refused,
    a_key_keeps_its_order_through_failures,
    a_consumer_goes_on_where_it_was_after_a_restart,
    a_delivery_without_verdict_comes_again,
    what_fails_too_often_goes_to_the_dead_letters,
    what_is_declared_dead_goes_to_the_dead_letters_at_once,
    consumers_do_not_disturb_each_other,
    history_is_replayed_by_sequence_time_and_blocks,
    what_cannot_be_kept_is_refused_before_anything_is_written,
);

const WAIT: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(150);

fn message(number: u64, key: &str) -> Message {
    Message {
        id: format!("id-{number}"),
        kind: "token.transfer.observed".to_owned(),
        key: key.to_owned(),
        place: Some((ChainId(31337), number)),
        note: format!("note {number}"),
        payload: Bytes::from(format!("{{\"n\":{number}}}")),
    }
}

async fn settle(bus: &Arc<dyn Bus>, delivery: &Delivery, verdict: Verdict) {
    bus.settle("s", "c", delivery, verdict).await.expect("settled");
}

/// Takes and acknowledges until nothing comes for a while.
async fn drain(bus: &Arc<dyn Bus>) -> Vec<Message> {
    let mut got = Vec::new();
    loop {
        let due = bus.fetch("s", "c", SHORT * 4).await.expect("fetch");
        if due.is_empty() {
            return got;
        }
        for delivery in due {
            settle(bus, &delivery, Verdict::Done).await;
            got.push(delivery.stored.message);
        }
    }
}

async fn what_is_published_is_delivered_whole_and_once(ground: Ground) {
    let bus = ground.open().await;
    assert_eq!(bus.last("s").await.expect("last"), None);
    let sent: Vec<_> = (1..=20).map(|n| message(n, &format!("k{}", n % 5))).collect();
    let end = bus.publish("s", &sent, None).await.expect("published");
    assert_eq!(end, 20);
    let last = bus.last("s").await.expect("last").expect("one");
    assert_eq!((last.seq, &last.message), (20, &sent[19]));
    bus.subscribe("s", "c", Terms::default()).await.expect("subscribed");
    let mut got = drain(&bus).await;
    got.sort_by_key(|message| message.place);
    assert_eq!(got, sent);
}

async fn an_id_that_was_just_published_is_not_stored_again(ground: Ground) {
    let bus = ground.open().await;
    bus.publish("s", &[message(1, "k")], None).await.expect("published");
    bus.publish("s", &[message(1, "k"), message(2, "k")], None).await.expect("published");
    let stored = bus.replay("s", Replay::Sequence(1), 10).await.expect("replay");
    let ids: Vec<_> = stored.iter().map(|stored| stored.message.id.as_str()).collect();
    assert_eq!(ids, ["id-1", "id-2"]);
}

async fn of_two_publishers_that_know_the_end_one_is_refused(ground: Ground) {
    let one = ground.open().await;
    assert_eq!(one.publish("s", &[message(1, "k"), message(2, "k")], Some(0)).await, Ok(2));
    let moved = one.publish("s", &[message(3, "k")], Some(0)).await;
    assert_eq!(moved, Err(BusError::Moved { stream: "s".to_owned(), expected: 0 }));
    assert_eq!(one.publish("s", &[message(3, "k")], Some(2)).await, Ok(3));
    assert_eq!(one.last("s").await.expect("last").expect("one").seq, 3);
}

async fn a_key_keeps_its_order_through_failures(ground: Ground) {
    let bus = ground.open().await;
    let sent: Vec<_> = (1..=30).map(|n| message(n, &format!("k{}", n % 3))).collect();
    bus.publish("s", &sent, None).await.expect("published");
    bus.subscribe("s", "c", Terms { ack_wait: WAIT, attempts_max: 100 }).await.expect("made");
    let (mut got, mut calls) = (Vec::new(), 0u32);
    while got.len() < sent.len() {
        let due = bus.fetch("s", "c", WAIT).await.expect("fetch");
        assert!(!due.is_empty(), "{} of {} came", got.len(), sent.len());
        for delivery in due {
            calls += 1;
            // Every third one fails and must come again before its key goes on.
            if calls.is_multiple_of(3) && delivery.attempt < 3 {
                settle(&bus, &delivery, Verdict::Later(Duration::from_millis(30))).await;
            } else {
                settle(&bus, &delivery, Verdict::Done).await;
                got.push(delivery.stored.message);
            }
        }
    }
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in got {
        by_key.entry(message.key).or_default().push(message.place.expect("placed").1);
    }
    assert_eq!(by_key.len(), 3);
    for (key, numbers) in by_key {
        assert!(numbers.is_sorted() && numbers.len() == 10, "{key}: {numbers:?}");
    }
}

async fn a_consumer_goes_on_where_it_was_after_a_restart(ground: Ground) {
    let bus = ground.open().await;
    bus.publish("s", &[message(1, "k"), message(2, "k")], None).await.expect("published");
    bus.subscribe("s", "c", Terms::default()).await.expect("subscribed");
    let first = bus.fetch("s", "c", WAIT).await.expect("fetch").remove(0);
    settle(&bus, &first, Verdict::Done).await;
    drop(bus);
    let bus = ground.open().await;
    bus.subscribe("s", "c", Terms::default()).await.expect("subscribed");
    let rest = drain(&bus).await;
    assert_eq!(rest, [message(2, "k")]);
}

async fn a_delivery_without_verdict_comes_again(ground: Ground) {
    let bus = ground.open().await;
    bus.publish("s", &[message(1, "k"), message(2, "k")], None).await.expect("published");
    let terms = Terms { ack_wait: Duration::from_secs(2), attempts_max: 5 };
    bus.subscribe("s", "c", terms).await.expect("subscribed");
    let first = bus.fetch("s", "c", WAIT).await.expect("fetch");
    assert_eq!((first.len(), first[0].attempt), (1, 1));
    assert!(bus.fetch("s", "c", SHORT).await.expect("fetch").is_empty(), "the key waits");
    let again = bus.fetch("s", "c", WAIT).await.expect("fetch");
    assert_eq!((again.len(), again[0].attempt), (1, 2));
    assert_eq!(again[0].stored.message, message(1, "k"));
}

async fn what_fails_too_often_goes_to_the_dead_letters(ground: Ground) {
    let bus = ground.open().await;
    bus.publish("s", &[message(1, "k"), message(2, "k")], None).await.expect("published");
    bus.subscribe("s", "c", Terms { ack_wait: WAIT, attempts_max: 3 }).await.expect("made");
    let mut attempts = Vec::new();
    let mut after = Vec::new();
    while after.is_empty() {
        for delivery in bus.fetch("s", "c", WAIT).await.expect("fetch") {
            if delivery.stored.message.id == "id-1" {
                attempts.push(delivery.attempt);
                settle(&bus, &delivery, Verdict::Later(Duration::from_millis(10))).await;
            } else {
                settle(&bus, &delivery, Verdict::Done).await;
                after.push(delivery.stored.message);
            }
        }
    }
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(after, [message(2, "k")], "the key goes on behind the poison");
    let dead = bus.replay(DEAD_LETTERS, Replay::Sequence(1), 10).await.expect("replay");
    assert_eq!(dead.len(), 1);
    let letter = &dead[0].message;
    assert_eq!(letter.id, "s:c:id-1");
    assert_eq!(letter.payload, message(1, "k").payload);
    assert!(letter.note.contains("3 deliveries failed"), "{}", letter.note);
}

async fn what_is_declared_dead_goes_to_the_dead_letters_at_once(ground: Ground) {
    let bus = ground.open().await;
    bus.publish("s", &[message(1, "k"), message(2, "k")], None).await.expect("published");
    bus.subscribe("s", "c", Terms::default()).await.expect("subscribed");
    let first = bus.fetch("s", "c", WAIT).await.expect("fetch").remove(0);
    settle(&bus, &first, Verdict::Dead("no such address".to_owned())).await;
    assert_eq!(drain(&bus).await, [message(2, "k")]);
    let dead = bus.last(DEAD_LETTERS).await.expect("last").expect("one");
    assert!(dead.message.note.contains("no such address"), "{}", dead.message.note);
}

async fn consumers_do_not_disturb_each_other(ground: Ground) {
    let bus = ground.open().await;
    bus.publish("s", &[message(1, "k")], None).await.expect("published");
    bus.subscribe("s", "c", Terms::default()).await.expect("subscribed");
    bus.subscribe("s", "other", Terms::default()).await.expect("subscribed");
    assert_eq!(drain(&bus).await.len(), 1);
    let due = bus.fetch("s", "other", WAIT).await.expect("fetch");
    assert_eq!(due.len(), 1, "the other consumer has its own place");
}

async fn history_is_replayed_by_sequence_time_and_blocks(ground: Ground) {
    let bus = ground.open().await;
    let old: Vec<_> = (1..=5).map(|n| message(n, "k")).collect();
    bus.publish("s", &old, None).await.expect("published");
    sleep(Duration::from_millis(30)).await;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock");
    sleep(Duration::from_millis(30)).await;
    let mut new: Vec<_> = (6..=9).map(|n| message(n, "k")).collect();
    new[0].place = Some((ChainId(1), 7));
    new[1].place = None;
    bus.publish("s", &new, None).await.expect("published");
    let numbers = async |from: Replay, limit: usize| -> Vec<u64> {
        let found = bus.replay("s", from, limit).await.expect("replay");
        found.iter().map(|stored| stored.seq).collect()
    };
    assert_eq!(numbers(Replay::Sequence(4), 3).await, [4, 5, 6]);
    assert_eq!(numbers(Replay::Sequence(10), 3).await, [0u64; 0]);
    assert_eq!(numbers(Replay::Time(since), 10).await, [6, 7, 8, 9]);
    let blocks = |from, to, after| Replay::Blocks {
        chain: ChainId(31337),
        range: BlockRange { from, to },
        after,
    };
    assert_eq!(numbers(blocks(3, 8, 0), 10).await, [3, 4, 5, 8]);
    assert_eq!(numbers(blocks(3, 8, 4), 1).await, [5]);
}

async fn what_cannot_be_kept_is_refused_before_anything_is_written(ground: Ground) {
    let bus = ground.open().await;
    let mut large = message(2, "k");
    large.payload = Bytes::from(vec![b'x'; rwahub::pipeline::bus::PAYLOAD_BYTES_MAX + 1]);
    let refused = bus.publish("s", &[message(1, "k"), large], None).await;
    assert!(matches!(refused, Err(BusError::Refused(_))), "{refused:?}");
    assert_eq!(bus.last("s").await.expect("last"), None);
}
