//! What every cache engine must do. Times are real: Redis knows no paused clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rwahub::config::{Cache, EngineUrl};
use rwahub::store::cache::{self, CacheError, Quota, Shared};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{prefix, url};

fn memory() -> Option<Shared> {
    Some(cache::open(&Cache::Memory).expect("memory"))
}

fn redis() -> Option<Shared> {
    let url = EngineUrl::new(url("REDIS")?);
    Some(cache::open(&Cache::Redis { url, prefix: prefix("c") }).expect("redis"))
}

macro_rules! on_every_engine {
    ($($rule:ident),* $(,)?) => {
        mod memory_engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() { super::$rule(super::memory().expect("memory")).await; })*
        }
        mod redis_engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let Some(engine) = super::redis() else { return };
                super::$rule(engine).await;
            })*
        }
    };
}

on_every_engine!(
    a_burst_passes_and_then_the_rate_holds,
    costs_weigh_and_a_wait_that_is_kept_passes,
    callers_do_not_share_an_allowance,
    many_at_once_get_no_more_than_the_burst,
    a_lease_has_one_holder_until_its_time_is_over,
    epochs_only_grow_and_stand_above_the_stores,
    a_lost_lease_is_neither_renewed_nor_released,
    values_end_with_their_time,
    of_many_takers_one_gets_it,
    of_many_putters_one_is_first,
    an_answer_is_given_only_at_its_position_or_below,
    an_older_answer_never_replaces_a_newer,
    numbers_reach_whoever_follows,
    too_large_a_value_is_refused,
);

async fn a_burst_passes_and_then_the_rate_holds(engine: Shared) {
    let quota = Quota::per_second(20, 10);
    let begun = Instant::now();
    for left in (0..10).rev() {
        let standing = engine.limiter.charge("one", quota, 1).await;
        assert!(standing.allowed() && !standing.local, "{standing:?}");
        // The rate earns while we ask.
        assert!(standing.remaining >= left && standing.remaining <= left + 4, "{standing:?}");
    }
    let mut passed = 10u32;
    while begun.elapsed() < Duration::from_millis(600) {
        passed += u32::from(engine.limiter.charge("one", quota, 1).await.allowed());
        sleep(Duration::from_millis(3)).await;
    }
    let earned = 10.0 + begun.elapsed().as_secs_f64() * 20.0;
    assert!(f64::from(passed) <= earned + 1.0, "{passed} passed, {earned} earned");
    assert!(f64::from(passed) >= earned - 6.0, "{passed} passed, {earned} earned");
}

async fn costs_weigh_and_a_wait_that_is_kept_passes(engine: Shared) {
    let quota = Quota::per_second(100, 100);
    assert!(engine.limiter.charge("heavy", quota, 100).await.allowed());
    let refused = engine.limiter.charge("heavy", quota, 20).await;
    let wait = refused.retry_after.expect("nothing is left");
    assert!(wait <= Duration::from_millis(200), "{wait:?}");
    assert!(refused.reset <= Duration::from_secs(1) && refused.reset > Duration::ZERO);
    sleep(wait + Duration::from_millis(5)).await;
    assert!(engine.limiter.charge("heavy", quota, 20).await.allowed());
}

async fn callers_do_not_share_an_allowance(engine: Shared) {
    let quota = Quota::new(1, Duration::from_secs(60), 1);
    assert!(engine.limiter.charge("a", quota, 1).await.allowed());
    assert!(!engine.limiter.charge("a", quota, 1).await.allowed());
    assert!(engine.limiter.charge("b", quota, 1).await.allowed());
}

async fn many_at_once_get_no_more_than_the_burst(engine: Shared) {
    let quota = Quota::new(1, Duration::from_secs(3600), 25);
    let asked = (0..100).map(|_| {
        let limiter = Arc::clone(&engine.limiter);
        tokio::spawn(async move { limiter.charge("crowd", quota, 1).await.allowed() })
    });
    let mut passed = 0;
    for asked in asked.collect::<Vec<_>>() {
        passed += u32::from(asked.await.expect("no panic"));
    }
    assert_eq!(passed, 25);
}

const TTL: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

async fn a_lease_has_one_holder_until_its_time_is_over(engine: Shared) {
    let leases = &engine.leases;
    let first = leases.acquire("chain", "one", TTL, 0).await.expect("answers").expect("free");
    assert_eq!(leases.acquire("chain", "two", TTL, 0).await, Ok(None));
    assert!(leases.acquire("other", "two", TTL, 0).await.expect("answers").is_some());
    for _ in 0..4 {
        sleep(TTL / 2).await;
        assert_eq!(leases.renew(&first, TTL).await, Ok(true), "holds on while it renews");
        assert_eq!(leases.acquire("chain", "two", TTL, 0).await, Ok(None));
    }
    sleep(TTL + Duration::from_millis(50)).await;
    let second = leases.acquire("chain", "two", LONG, 0).await.expect("answers").expect("free");
    assert!(second.epoch > first.epoch);
    leases.release(&second).await.expect("answers");
    assert!(leases.acquire("chain", "three", TTL, 0).await.expect("answers").is_some());
}

async fn epochs_only_grow_and_stand_above_the_stores(engine: Shared) {
    let mut last = 0;
    for floor in [0, 41, 3, 100, 0] {
        let lease = engine.leases.acquire("c", "h", LONG, floor).await.expect("answers");
        let lease = lease.expect("free");
        assert!(lease.epoch > last && lease.epoch > floor, "{lease:?} after {last}, {floor}");
        last = lease.epoch;
        engine.leases.release(&lease).await.expect("answers");
    }
}

async fn a_lost_lease_is_neither_renewed_nor_released(engine: Shared) {
    let leases = &engine.leases;
    let lost = leases.acquire("c", "same name", TTL, 0).await.expect("answers").expect("free");
    sleep(TTL + Duration::from_millis(50)).await;
    assert_eq!(leases.renew(&lost, TTL).await, Ok(false), "its time was over");
    let held = leases.acquire("c", "same name", LONG, 0).await.expect("answers").expect("free");
    assert_eq!(leases.renew(&lost, LONG).await, Ok(false), "the epoch tells them apart");
    leases.release(&lost).await.expect("answers");
    assert_eq!(leases.renew(&held, LONG).await, Ok(true));
}

async fn values_end_with_their_time(engine: Shared) {
    let values = &engine.values;
    values.put("k", Bytes::from_static(b"\0v\xff"), TTL).await.expect("put");
    assert_eq!(values.get("k").await, Ok(Some(Bytes::from_static(b"\0v\xff"))));
    sleep(TTL + Duration::from_millis(50)).await;
    assert_eq!(values.get("k").await, Ok(None));
    values.put("k", Bytes::from_static(b"w"), LONG).await.expect("put");
    values.remove("k").await.expect("removed");
    assert_eq!(values.get("k").await, Ok(None));
}

async fn of_many_takers_one_gets_it(engine: Shared) {
    engine.values.put("nonce", Bytes::from_static(b"1"), LONG).await.expect("put");
    let takers = (0..50).map(|_| {
        let values = Arc::clone(&engine.values);
        tokio::spawn(async move { values.take("nonce").await.expect("answers").is_some() })
    });
    let mut got = 0;
    for taker in takers.collect::<Vec<_>>() {
        got += u32::from(taker.await.expect("no panic"));
    }
    assert_eq!(got, 1);
}

async fn of_many_putters_one_is_first(engine: Shared) {
    let putters = (0..50).map(|at| {
        let values = Arc::clone(&engine.values);
        let value = Bytes::from(format!("{at}"));
        tokio::spawn(async move { values.put_new("once", value, LONG).await.expect("answers") })
    });
    let mut first = Vec::new();
    for (at, putter) in putters.collect::<Vec<_>>().into_iter().enumerate() {
        if putter.await.expect("no panic") {
            first.push(Bytes::from(format!("{at}")));
        }
    }
    assert_eq!(first.len(), 1);
    assert_eq!(engine.values.get("once").await, Ok(first.pop()));
}

async fn an_answer_is_given_only_at_its_position_or_below(engine: Shared) {
    let answers = &engine.answers;
    answers.put(b"token", 7, Bytes::from_static(b"seven"), LONG).await;
    assert_eq!(answers.get(b"token", 7).await, Some(Bytes::from_static(b"seven")));
    assert_eq!(answers.get(b"token", 0).await, Some(Bytes::from_static(b"seven")));
    assert_eq!(answers.get(b"token", 8).await, None, "the index has moved on");
    assert_eq!(answers.get(b"other", 0).await, None);
    answers.put(b"short", 1, Bytes::from_static(b"s"), TTL).await;
    sleep(TTL + Duration::from_millis(50)).await;
    assert_eq!(answers.get(b"short", 0).await, None);
}

async fn an_older_answer_never_replaces_a_newer(engine: Shared) {
    let answers = &engine.answers;
    // 9 and 10 tell numbers from text.
    answers.put(b"t", 10, Bytes::from_static(b"new"), LONG).await;
    answers.put(b"t", 9, Bytes::from_static(b"late reader"), LONG).await;
    assert_eq!(answers.get(b"t", 0).await, Some(Bytes::from_static(b"new")));
    answers.put(b"t", u64::MAX, Bytes::from_static(b"newest"), LONG).await;
    assert_eq!(answers.get(b"t", u64::MAX).await, Some(Bytes::from_static(b"newest")));
}

async fn numbers_reach_whoever_follows(engine: Shared) {
    let (sender, mut heard) = watch::channel(0);
    let signals = Arc::clone(&engine.signals);
    let follower = tokio::spawn(async move { signals.follow("feed", &sender).await });
    // Announced again until heard: a follower that is not there yet misses it, by contract.
    let mut number = 0;
    while *heard.borrow_and_update() == 0 {
        number += 1;
        engine.signals.announce("feed", number).await.expect("announced");
        sleep(Duration::from_millis(10)).await;
        assert!(number < 500, "nothing arrives");
    }
    engine.signals.announce("feed", 10_000).await.expect("announced");
    heard.wait_for(|number| *number == 10_000).await.expect("follows");
    engine.signals.announce("feed", 9_999).await.expect("announced");
    sleep(Duration::from_millis(50)).await;
    assert_eq!(*heard.borrow(), 10_000, "only grows");
    follower.abort();
}

async fn too_large_a_value_is_refused(engine: Shared) {
    let large = Bytes::from(vec![0; cache::VALUE_BYTES_MAX + 1]);
    let refused = engine.values.put("large", large.clone(), LONG).await;
    assert!(matches!(refused, Err(CacheError::NoRoom(_))), "{refused:?}");
    engine.answers.put(b"large", 1, large, LONG).await;
    assert_eq!(engine.answers.get(b"large", 0).await, None);
}
