//! The pool against scripted nodes on loopback.

use super::*;
use crate::rpc::fake::{FakeNode, Script, chain, chain_of};

async fn pool(scripts: Vec<Script>) -> (Arc<Pool>, Vec<FakeNode>) {
    let mut nodes = Vec::new();
    for script in scripts {
        nodes.push(FakeNode::start(script).await);
    }
    (Pool::new(&chain(&nodes)), nodes)
}

fn answers(result: &'static str) -> Script {
    Script::new(move |method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        _ => Ok(result.into()),
    })
}

fn fails(error: &'static str) -> Script {
    Script::new(move |method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        _ => Err(error.into()),
    })
}

#[tokio::test]
async fn the_result_comes_back_byte_for_byte() {
    let (pool, _nodes) = pool(vec![answers("{ \"b\":1, \"a\" : [ 2.0 ] }")]).await;
    let answer = pool.call("eth_foo", "[]").await.expect("an answer");
    assert_eq!(answer.result, "{ \"b\":1, \"a\" : [ 2.0 ] }");
    assert_eq!(&*answer.provider, "p0");
}

#[tokio::test]
async fn a_dead_provider_is_not_noticed_by_the_caller() {
    let (pool, mut nodes) = pool(vec![answers("1"), answers("1")]).await;
    nodes[0].stop();
    for _ in 0..50 {
        let answer = pool.call("eth_foo", "[]").await.expect("the other one answers");
        assert_eq!(&*answer.provider, "p1");
    }
    let dead = &pool.status()[0];
    // Left alone after a few failures, before the breaker has to open.
    assert!(dead.breaker == "open" || dead.demoted == Some("fails often"), "{dead:?}");
    assert!(dead.failures <= 5, "{dead:?}");
}

#[tokio::test]
async fn a_wrong_chain_names_provider_expected_and_found() {
    let (pool, _nodes) = pool(vec![Script::new(|_, _| Ok("\"0x5\"".into()))]).await;
    let error = pool.call("eth_foo", "[]").await.expect_err("another chain");
    let text = error.to_string();
    assert!(text.contains("p0: serves chain 5, configured for chain 1"), "{text}");
    let probe = pool.probe().await;
    assert_eq!(probe[0].chain_ok, Some(false));
    assert!(!probe[0].reachable);
}

#[tokio::test]
async fn a_revert_is_returned_at_once_and_harms_nobody() {
    let error = r#"{"code":3,"message":"execution reverted","data":"0xdead"}"#;
    let (pool, nodes) = pool(vec![fails(error), fails(error)]).await;
    for _ in 0..20 {
        let got = pool.call("eth_call", "[]").await.expect_err("reverts");
        assert_eq!(got.class, ErrorClass::Execution);
        assert_eq!(got.object.as_deref(), Some(error.as_bytes()));
    }
    assert!(pool.status().iter().all(|s| s.breaker == "closed" && s.failures == 0));
    assert_eq!(nodes.iter().map(|n| n.calls("eth_call")).sum::<usize>(), 20, "no retry");
}

#[tokio::test]
async fn an_unknown_error_is_tried_elsewhere_and_passed_on_untouched() {
    let error = r#"{"code":-39999,"message":"odd"}"#;
    let (pool, nodes) = pool(vec![fails(error), fails(error)]).await;
    let got = pool.call("eth_foo", "[]").await.expect_err("both fail");
    assert_eq!(got.object.as_deref(), Some(error.as_bytes()));
    assert!(nodes.iter().all(|n| n.calls("eth_foo") == 1), "once each");
}

#[tokio::test]
async fn all_open_still_asks_the_least_bad() {
    let (pool, mut nodes) = pool(vec![answers("1")]).await;
    pool.call("eth_foo", "[]").await.expect("alive");
    let port = nodes[0].stop();
    let options = CallOptions { timeout: Duration::from_millis(300), ..Default::default() };
    while pool.status()[0].breaker != "open" {
        let dead = pool.call_with(&Call::new("eth_foo", "[]"), &options).await;
        assert!(dead.expect_err("dead").class.is_failure());
    }
    let _node = FakeNode::start_on(port, answers("2")).await;
    let answer = pool.call("eth_foo", "[]").await.expect("asked although open");
    assert_eq!(answer.result, "2");
}

#[tokio::test]
async fn a_head_that_is_too_low_is_not_asked() {
    let head = |head: &'static str| {
        Script::new(move |method, _| match method {
            "eth_chainId" => Ok("\"0x1\"".into()),
            "eth_blockNumber" => Ok(head.into()),
            _ => Ok("[]".into()),
        })
    };
    let (pool, nodes) = pool(vec![head("\"0x5\""), head("\"0xa\"")]).await;
    for _ in 0..10 {
        let call = Call::new("eth_getLogs", "[]");
        let answer = pool.call_with(&call, &CallOptions::at_head(10)).await.expect("one has it");
        assert_eq!(&*answer.provider, "p1");
    }
    assert_eq!(nodes[0].calls("eth_getLogs"), 0);
    let call = Call::new("eth_getLogs", "[]");
    let error = pool.call_with(&call, &CallOptions::at_head(11)).await.expect_err("nobody has it");
    assert_eq!(error.class, ErrorClass::NotYet);
}

#[tokio::test]
async fn a_batch_is_matched_by_id_and_missing_items_are_asked_again() {
    let node = Script::new(|method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        "eth_bad" => Err(r#"{"code":3,"message":"reverted"}"#.into()),
        other => Ok(format!("\"{other}\"")),
    })
    .shuffled()
    .dropping_first_batch_item();
    let (pool, _nodes) = pool(vec![node]).await;
    let calls: Vec<_> = ["eth_a", "eth_bad", "eth_c"].iter().map(|m| Call::new(*m, "[]")).collect();
    let items = pool.batch(&calls).await.expect("a batch");
    assert_eq!(items[0].as_ref().expect("asked again").result, "\"eth_a\"");
    assert_eq!(items[1].as_ref().expect_err("its own error").class, ErrorClass::Execution);
    assert_eq!(items[2].as_ref().expect("fine").result, "\"eth_c\"");
}

#[tokio::test]
async fn a_write_is_not_repeated_once_it_may_have_arrived() {
    let error = r#"{"code":-32603,"message":"internal error"}"#;
    let (pool, nodes) = pool(vec![fails(error), fails(error)]).await;
    let options = CallOptions { write: true, ..Default::default() };
    let call = Call::new("eth_sendTransaction", "[]");
    pool.call_with(&call, &options).await.expect_err("fails");
    assert_eq!(nodes.iter().map(|n| n.calls("eth_sendTransaction")).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_rate_limit_moves_calls_to_another_provider() {
    let (pool, nodes) =
        pool(vec![fails(r#"{"code":-32016,"message":"over rate limit"}"#), answers("1")]).await;
    for _ in 0..20 {
        pool.call("eth_foo", "[]").await.expect("the other one");
    }
    assert!(nodes[0].calls("eth_foo") <= 1);
    assert!(pool.status()[0].throttled_for.is_some());
    assert_eq!(pool.status()[0].breaker, "closed");
}

#[tokio::test]
async fn a_drained_provider_gets_no_new_calls() {
    let (pool, nodes) = pool(vec![answers("1"), answers("1")]).await;
    assert!(pool.drain("p0", true));
    assert!(!pool.drain("nobody", true));
    for _ in 0..10 {
        pool.call("eth_foo", "[]").await.expect("p1");
    }
    assert_eq!(nodes[0].calls("eth_foo"), 0);
}

#[tokio::test]
async fn a_slow_provider_is_hedged_and_its_null_never_wins() {
    let slow = answers("\"slow\"").delayed(Duration::from_secs(5));
    let (pool, nodes) = pool(vec![slow, answers("\"quick\"")]).await;
    let options = CallOptions { hedge: true, ..Default::default() };
    let started = Instant::now();
    for _ in 0..4 {
        let answer = pool.call_with(&Call::new("eth_foo", "[]"), &options).await.expect("answers");
        assert_eq!(answer.result, "\"quick\"");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(pool.status().iter().all(|s| s.failures == 0), "losers do not count");
    drop(nodes);
    let null = answers("null").delayed(Duration::from_millis(600));
    let late = answers("\"late\"").delayed(Duration::from_millis(1200));
    let (pool, _nodes) = self::pool(vec![null, late]).await;
    let mut late_seen = 0;
    for _ in 0..4 {
        let answer = pool.call_with(&Call::new("eth_foo", "[]"), &options).await.expect("answers");
        late_seen += usize::from(answer.result == "\"late\"");
    }
    assert_eq!(late_seen, 4, "whoever was asked first");
}

#[tokio::test]
async fn a_batch_item_that_fails_is_asked_for_elsewhere_and_alone() {
    let forgetful = Script::new(|method, params| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        _ if params[0] == 2 => Ok("null".into()),
        _ if params[0] == 3 => Err(r#"{"code":-32000,"message":"header not found"}"#.into()),
        _ => Ok(params[0].to_string()),
    });
    let honest = Script::new(|method, params| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        _ => Ok(params[0].to_string()),
    });
    let (pool, nodes) = pool(vec![forgetful, honest]).await;
    let calls: Vec<_> = (0..5).map(|n| Call::new("eth_foo", format!("[{n}]"))).collect();
    for _ in 0..20 {
        let read = |index: usize, answer: Answer| match answer.result.as_ref() {
            b"null" => Err(RpcError::new(ErrorClass::NotYet, &answer.provider, "null")),
            text => Ok((index, text.to_vec())),
        };
        let items = pool.batch_checked(&calls, &CallOptions::default(), read).await;
        let expected: Vec<_> = (0..5).map(|n| (n, n.to_string().into_bytes())).collect();
        assert_eq!(items.expect("all items"), expected);
    }
    assert!(nodes[1].calls("eth_foo") >= 40, "the two items at least, every time");
}

#[tokio::test]
async fn a_socket_that_sends_broken_json_is_left_at_once() {
    let broken = Script::new(|method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        _ => Ok("{\"cut".into()),
    });
    let node = FakeNode::start(broken).await;
    let pool = Pool::new(&chain_of(1, vec![node.ws_url()]));
    let options = CallOptions { timeout: Duration::from_secs(5), ..CallOptions::default() };
    let started = Instant::now();
    let outcome = pool.call_with(&Call::new("eth_foo", &b"[]"[..]), &options).await;
    assert_eq!(outcome.expect_err("no answer").class, ErrorClass::Unreachable);
    assert!(started.elapsed() < Duration::from_secs(4), "it was waited for");
}

#[tokio::test]
async fn an_outage_does_not_multiply_the_load() {
    let error = r#"{"code":-32603,"message":"internal error"}"#;
    let (pool, nodes) = pool(vec![fails(error), fails(error), fails(error)]).await;
    let options = CallOptions { timeout: Duration::from_secs(2), ..CallOptions::default() };
    for _ in 0..400 {
        pool.call_with(&Call::new("eth_foo", "[]"), &options).await.expect_err("all are down");
    }
    let sent: usize = nodes.iter().map(|n| n.calls("eth_foo")).sum();
    // One attempt each, what the three budgets hold, and ten a second of each.
    assert!((400..900).contains(&sent), "{sent} attempts for 400 calls");
}

#[tokio::test]
async fn a_network_of_the_same_id_with_another_first_block_is_kept_out() {
    let starts = |id: u8| {
        Script::new(move |method, params| match method {
            "eth_chainId" => Ok("\"0x1\"".into()),
            "eth_getBlockByNumber" if params[0] == "0x0" => {
                Ok(format!("{{\"hash\":\"{}\"}}", alloy_primitives::B256::repeat_byte(id)))
            }
            _ => Ok(id.to_string()),
        })
    };
    let (pool, _nodes) = pool(vec![starts(1), starts(2), starts(1)]).await;
    let probes = pool.probe().await;
    assert_eq!(probes[1].chain_ok, Some(false), "{probes:?}");
    assert!(probes[1].error.as_ref().is_some_and(|text| text.contains("starts with block")));
    for _ in 0..30 {
        let answer = pool.call("eth_foo", "[]").await.expect("an answer");
        assert_eq!(answer.result, "1");
    }
}

#[tokio::test]
async fn a_new_configuration_keeps_what_is_known_of_unchanged_providers() {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(FakeNode::start(answers("1")).await);
    }
    let pool = Pool::new(&chain(&nodes[..2]));
    for _ in 0..10 {
        pool.call("eth_foo", "[]").await.expect("an answer");
    }
    let first = pool.endpoint("p0").expect("there");
    let mut after = chain(&nodes);
    after.providers.remove(1);
    after.providers[0].weight = 9;
    let replaced = pool.replace(&after);
    assert_eq!(replaced, Replaced { added: 1, kept: 1, removed: 1 });
    let kept = pool.endpoint("p0").expect("there");
    assert!(Arc::ptr_eq(&first, &kept));
    assert_eq!(kept.weight(), 9);
    assert!(pool.endpoint("p1").is_none());
    let before = nodes[1].calls("eth_foo");
    for _ in 0..20 {
        pool.call("eth_foo", "[]").await.expect("an answer");
    }
    assert_eq!(nodes[1].calls("eth_foo"), before, "the removed one is not asked");
}
