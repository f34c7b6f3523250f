//! The routes, asked directly.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::config::error::Fault;
use crate::rpc::fake::{FakeNode, Script, chain};

#[derive(Debug)]
struct Broken;

#[async_trait]
impl Reload for Broken {
    async fn reload(&self) -> Result<Vec<Change>, ConfigErrors> {
        Err(Fault {
            key: "chain[0].id".into(),
            value: None,
            place: "config.toml:2".into(),
            problem: "missing".into(),
            hint: None,
        }
        .into())
    }
}

async fn ask(router: &Router, method: &str, path: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("fine");
    let response = router.clone().oneshot(request).await.expect("answers");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn providers_are_listed_tested_drained_and_enabled() {
    let node = FakeNode::start(Script::new(|method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        _ => Ok("\"0x7\"".into()),
    }))
    .await;
    let pool = Pool::new(&chain(std::slice::from_ref(&node)));
    let router = router(Admin { pools: vec![pool.clone()], reload: Arc::new(Broken) });
    let (status, tested) = ask(&router, "POST", "/api/v1/admin/providers/1/p0/test").await;
    assert_eq!((status, &tested["items"][0]["head"]), (200, &json!(7)), "{tested}");
    let (_, drained) = ask(&router, "POST", "/api/v1/admin/providers/1/p0/drain").await;
    assert_eq!(drained["drained"], true);
    assert!(pool.endpoint("p0").expect("there").health.is_drained());
    let (_, listed) = ask(&router, "GET", "/api/v1/admin/providers").await;
    assert_eq!(listed["items"][0]["drained"], true, "{listed}");
    assert!(!listed.to_string().contains("key"), "no path of a url: {listed}");
    let (_, enabled) = ask(&router, "POST", "/api/v1/admin/providers/1/p0/enable").await;
    assert_eq!(enabled["drained"], false);
    let (status, missing) = ask(&router, "POST", "/api/v1/admin/providers/1/nobody/drain").await;
    assert_eq!(status, 404);
    assert!(missing["detail"].as_str().is_some_and(|text| text.contains("p0")), "{missing}");
    assert_eq!(ask(&router, "POST", "/api/v1/admin/providers/9/p0/drain").await.0, 404);
}

#[tokio::test]
async fn a_scorecard_has_block_hash_and_time_and_a_bad_file_is_refused() {
    let node = FakeNode::start(Script::new(|_, _| Ok("\"0x1\"".into()))).await;
    let pool = Pool::new(&chain(std::slice::from_ref(&node)));
    let hash = alloy_primitives::B256::repeat_byte(3);
    let misdeed = crate::rpc::pool::scorecard::Misdeed::FalseLogs;
    pool.accuse(&"p0".into(), misdeed, (12, Some(hash)), "a log is missing");
    let router = router(Admin { pools: vec![pool], reload: Arc::new(Broken) });
    let (_, card) = ask(&router, "GET", "/api/v1/admin/providers/scorecard").await;
    let entry = &card["items"][0];
    assert_eq!((&entry["block"], &entry["block_hash"]), (&json!(12), &json!(hash.to_string())));
    assert!(entry["at"].as_u64().is_some_and(|at| at > 1_700_000_000));
    assert_eq!(card["counts"][0]["count"], 1);
    let (status, refused) = ask(&router, "POST", "/api/v1/admin/reload").await;
    assert_eq!((status, &refused["reloaded"]), (422, &json!(false)));
    assert_eq!(refused["faults"][0], "chain[0].id (config.toml:2): missing");
}
