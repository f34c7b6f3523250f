//! REST answers, errors and headers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::fake::{ALICE, Answer, Fake, get, get_with, send};
use crate::gateway::live::ComponentState;
use crate::store::cache::Answers;
use crate::store::cache::memory::Memory;

fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json; charset=utf-8");
    let body = answer.json();
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], answer.header("x-request-id"));
    for key in ["type", "title", "detail"] {
        assert!(!body[key].as_str().unwrap().is_empty(), "{body}");
    }
}

#[tokio::test]
async fn an_event_has_exactly_the_promised_keys_in_order() {
    let router = Arc::new(Fake::default()).router();
    let answer = get(&router, "/api/v1/events?limit=1&order=asc").await;
    assert_eq!(answer.status, StatusCode::OK);
    insta::assert_snapshot!(answer.text, @r#"{"items":[{"id":"1:0x0000000000000000000000000000000000000000000000000000000000000064:0","chain_id":1,"block_number":100,"block_hash":"0x0000000000000000000000000000000000000000000000000000000000000064","timestamp":1700001200,"tx_hash":"0x6464646464646464646464646464646464646464646464646464646464646464","log_index":0,"address":"0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa","contract":"bond","event":"Transfer","args":{"from":"0x1111111111111111111111111111111111111111","to":"0x2222222222222222222222222222222222222222","value":"115792089237316195423570985008687907853269984665640564039457"},"status":"finalized"}],"next_cursor":"1"}"#);
}

#[tokio::test]
async fn pages_meet_without_gap_or_overlap() {
    let router = Arc::new(Fake::default()).router();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let body = get(&router, &format!("/api/v1/events?limit=7{cursor}")).await.json();
        seen.extend(body["items"].as_array().unwrap().iter().map(|item| item["id"].to_string()));
        match body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 40);
    seen.dedup();
    assert_eq!(seen.len(), 40);
}

#[tokio::test]
async fn every_filter_reaches_the_store() {
    let router = Arc::new(Fake::default()).router();
    for (query, count) in [
        ("chain_id=1", 40),
        ("contract=bond", 40),
        ("contract=other", 0),
        ("contract=0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa", 40),
        ("event=Transfer", 40),
        ("event=Approval", 0),
        ("address=0x2222222222222222222222222222222222222222", 20),
        ("from_block=101&to_block=102", 4),
        ("tx_hash=0x6464646464646464646464646464646464646464646464646464646464646464", 2),
    ] {
        let body = get(&router, &format!("/api/v1/events?limit=100&{query}")).await.json();
        assert_eq!(body["items"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn several_bad_parameters_are_named_at_once() {
    let router = Arc::new(Fake::default()).router();
    let query = "limit=0&order=up&from_block=9&to_block=3&address=0x12&colour=red";
    let answer = get(&router, &format!("/api/v1/events?{query}")).await;
    is_problem(&answer, 400, "invalid_parameter");
    let body = answer.json();
    let named: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["parameter"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["address", "order", "to_block", "limit", "colour"]);
    assert_eq!(body["errors"][4]["value"], "red");
    assert!(body["errors"][4]["detail"].as_str().unwrap().contains("known: chain_id"));
}

#[tokio::test]
async fn errors_of_every_kind_are_problems() {
    let router = Arc::new(Fake::default()).router();
    let hash = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
    let token = "/api/v1/tokens/1/0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa";
    for (uri, status, code) in [
        ("/nothing".to_owned(), 404, "route_unknown"),
        ("/api/v1/".into(), 404, "route_unknown"),
        ("/api/v1/chains/5".into(), 404, "chain_unknown"),
        ("/api/v1/chains/one".into(), 400, "invalid_parameter"),
        ("/api/v1/chains/%ff".into(), 400, "bad_request"),
        ("/api/v1/status?verbose=1".into(), 400, "invalid_parameter"),
        ("/api/v1/events?chain_id=5".into(), 404, "chain_unknown"),
        ("/api/v1/events?cursor=nonsense".into(), 400, "invalid_cursor"),
        ("/api/v1/events?limit=1001".into(), 400, "invalid_parameter"),
        ("/api/v1/events/stream?cursor=nonsense".into(), 400, "invalid_cursor"),
        (
            "/api/v1/tokens/1/0x1111111111111111111111111111111111111111".into(),
            404,
            "token_unknown",
        ),
        ("/api/v1/tokens/1/bond".into(), 400, "invalid_parameter"),
        (format!("{token}/holders?at_block=5"), 422, "block_not_indexed"),
        (format!("{token}/holders?at_block=-1"), 400, "invalid_parameter"),
        (format!("/api/v1/transactions/{hash}"), 404, "transaction_unknown"),
        ("/api/v1/transactions/0x12".into(), 400, "invalid_parameter"),
        ("/api/v1/openapi.json?x=1".into(), 400, "invalid_parameter"),
    ] {
        is_problem(&get(&router, &uri).await, status, code);
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let router = Arc::new(Fake::default()).router();
    for (uri, allowed) in [("/api/v1/events", "GET,HEAD"), ("/rpc/1", "POST")] {
        let request = Request::delete(uri).body(Body::empty()).unwrap();
        let answer = send(&router, request).await;
        is_problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allowed);
    }
}

#[tokio::test]
async fn bodies_are_limited_whether_or_not_they_tell_their_length() {
    let router = Arc::new(Fake::default()).router();
    let fits = Request::post("/rpc/1").body(Body::from(vec![b'x'; 1_024])).unwrap();
    assert_eq!(send(&router, fits).await.text.len(), 1_024);
    let told = Request::post("/rpc/1").body(Body::from(vec![b'x'; 1_025])).unwrap();
    is_problem(&send(&router, told).await, 413, "body_too_large");
    let chunks =
        futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 500])));
    let untold = Request::post("/rpc/1").body(Body::from_stream(chunks)).unwrap();
    let answer = send(&router, untold).await;
    is_problem(&answer, 413, "body_too_large");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_dribbles_is_given_up() {
    let router = Arc::new(Fake::default()).router();
    let drops = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        Some((Ok::<_, std::io::Error>(vec![b'x']), ()))
    });
    let request = Request::post("/rpc/1").body(Body::from_stream(drops)).unwrap();
    let begun = tokio::time::Instant::now();
    assert!(send(&router, request).await.status.is_client_error());
    assert!(begun.elapsed().as_secs() <= 20, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_store_failure_says_when_to_come_back_and_nothing_else() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    fake.broken.store(true, Ordering::SeqCst);
    let answer = get(&router, "/api/v1/tokens").await;
    is_problem(&answer, 503, "store_unavailable");
    assert_eq!(answer.header("retry-after"), "2");
    assert!(!answer.text.contains("secret"));
    let ready = get(&router, "/readyz").await;
    is_problem(&ready, 503, "not_ready");
    assert_eq!(ready.json()["dependencies"][0]["state"], "failed");
    assert_eq!(get(&router, "/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn titles_come_in_the_language_of_the_caller() {
    let router = Arc::new(Fake::default()).router();
    let english = get(&router, "/nothing").await;
    assert_eq!(english.json()["title"], "There is nothing at this address");
    let asked = [("accept-language", "pt-BR,pt;q=0.9,en;q=0.5")];
    let portuguese = get_with(&router, "/nothing", &asked).await;
    assert_eq!(portuguese.json()["title"], "Não há nada neste endereço");
    assert_eq!(portuguese.header("content-language"), "pt-BR");
    let page = get_with(&router, "/", &asked).await;
    assert!(page.text.contains("ativos do mundo real") && page.text.contains("lang=\"pt-BR\""));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
}

#[tokio::test]
async fn a_request_id_is_kept_when_harmless_and_made_otherwise() {
    let router = Arc::new(Fake::default()).router();
    let kept = get_with(&router, "/livez", &[("x-request-id", "abc-1.2_Z")]).await;
    assert_eq!(kept.header("x-request-id"), "abc-1.2_Z");
    for bad in ["with space", "<script>", &"x".repeat(65)] {
        let made = get_with(&router, "/livez", &[("x-request-id", bad)]).await;
        assert_eq!(made.header("x-request-id").len(), 32);
    }
}

#[tokio::test]
async fn only_the_exact_origins_may_call_from_a_browser() {
    let router = Arc::new(Fake::default()).router();
    let ours = get_with(&router, "/api/v1/tokens", &[("origin", "https://app.example")]).await;
    assert_eq!(ours.header("access-control-allow-origin"), "https://app.example");
    for other in ["https://app.example.evil", "http://app.example", "null"] {
        let answer = get_with(&router, "/api/v1/tokens", &[("origin", other)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{other}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn an_unchanged_answer_is_304() {
    let router = Arc::new(Fake::default()).router();
    for uri in ["/api/v1/tokens", "/api/v1/events", "/api/v1/openapi.json", "/", "/landing.css"] {
        let first = get(&router, uri).await;
        let tag = first.header("etag").to_owned();
        let again = get_with(&router, uri, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{uri}");
        assert!(again.text.is_empty() && again.header("etag") == tag);
        let other = get_with(&router, uri, &[("if-none-match", "\"else\"")]).await;
        assert_eq!(other.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn status_and_chain_tell_head_index_and_lag() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let chain = get(&router, "/api/v1/chains/1").await;
    assert_eq!(chain.header("cache-control"), "no-store");
    let body = chain.json();
    for (key, value) in
        [("head", 122), ("indexed", 119), ("finalized", 110), ("verified_through", 119), ("lag", 3)]
    {
        assert_eq!(body[key], value, "{body}");
    }
    let status = get(&router, "/api/v1/status").await.json();
    assert_eq!(status["status"], "ok");
    assert_eq!(status["chains"][0], body);
    fake.heads.lock().unwrap().clear();
    assert_eq!(get(&router, "/api/v1/chains/1").await.json()["lag"], Value::Null);
    let ready = get(&router, "/readyz").await;
    assert_eq!(ready.status, StatusCode::OK, "an index without providers still answers");
    assert_eq!(ready.json()["status"], "degraded");
}

#[tokio::test]
async fn a_failed_provider_degrades_but_does_not_take_the_service_out() {
    let fake = Arc::new(Fake::default());
    fake.components.lock().unwrap()[0].state = ComponentState::Failed;
    let router = fake.router();
    let ready = get(&router, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (StatusCode::OK, &json!("degraded")));
    assert_eq!(get(&router, "/api/v1/status").await.json()["status"], "failed");
}

#[tokio::test]
async fn nothing_but_probes_and_descriptions_is_open_when_public_reading_is_off() {
    let mut config = Fake::config();
    config.public_read = false;
    let router = Arc::new(Fake::default()).router_with(config);
    for uri in ["/api/v1/status", "/api/v1/events", "/api/v1/events/stream", "/api/v1/tokens"] {
        let answer = get(&router, uri).await;
        is_problem(&answer, 401, "sign_in_required");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let rpc = Request::post("/rpc/1").body(Body::from("{}")).unwrap();
    is_problem(&send(&router, rpc).await, 401, "sign_in_required");
    for uri in ["/", "/livez", "/readyz", "/api/v1/openapi.json"] {
        assert_eq!(get(&router, uri).await.status, StatusCode::OK, "{uri}");
    }
    is_problem(&get(&router, "/nothing").await, 404, "route_unknown");
}

#[tokio::test]
async fn exports_hold_every_row_of_every_page() {
    let fake = Arc::new(Fake::default());
    let many: Vec<_> =
        (0..2_500).map(|at| super::fake::event(1_000 + at, 0, ALICE, ALICE)).collect();
    *fake.events.lock().unwrap() = many;
    let router = fake.router();
    let answer = get_with(&router, "/api/v1/events?order=asc", &[("accept", "text/csv")]).await;
    assert!(answer.header("content-type").starts_with("text/csv"));
    let lines: Vec<_> = answer.text.lines().collect();
    assert_eq!(lines.len(), 2_501);
    assert!(lines[0].starts_with("id,chain_id,block_number"));
    assert!(lines[2_500].contains(",3499,"), "{}", lines[2_500]);
    let some = get(&router, "/api/v1/events?format=csv&limit=1200").await;
    assert_eq!(some.text.lines().count(), 1_201);
    let token = "/api/v1/tokens/1/0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa";
    let holders = get(&router, &format!("{token}/holders?format=csv")).await;
    assert_eq!(holders.text.lines().count(), 3);
    let unknown = get(
        &router,
        "/api/v1/tokens/1/0x1111111111111111111111111111111111111111/holders?format=csv",
    );
    is_problem(&unknown.await, 404, "token_unknown");
}

#[tokio::test]
async fn a_compressed_export_ends_as_it_should() {
    use std::io::Read as _;
    let router = Arc::new(Fake::default()).router();
    let request = Request::get("/api/v1/events?format=csv").header("accept-encoding", "gzip");
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 41);
}

#[tokio::test(start_paused = true)]
async fn one_address_is_slowed_down_and_told_how_long() {
    let router = Arc::new(Fake::default()).router();
    let from = |address: &str| {
        let peer = crate::gateway::server::Peer(format!("{address}:1").parse().unwrap());
        router.clone().layer(axum::Extension(peer))
    };
    let (ours, other) = (from("203.0.113.7"), from("203.0.113.8"));
    let first = get(&ours, "/api/v1/status").await;
    assert_eq!(
        (first.header("ratelimit-limit"), first.header("ratelimit-remaining")),
        ("300", "299")
    );
    for _ in 0..2 {
        assert_eq!(get(&ours, "/api/v1/events?format=csv").await.status, StatusCode::OK);
    }
    let refused = get(&ours, "/api/v1/events?format=csv").await;
    is_problem(&refused, 429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(get(&ours, "/livez").await.status, StatusCode::OK, "probes are free");
    assert_eq!(get(&other, "/api/v1/status").await.status, StatusCode::OK);
    let local = from("127.0.0.1");
    for _ in 0..10 {
        assert_eq!(get(&local, "/api/v1/events?format=csv").await.status, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_hangs_is_given_up_and_a_full_service_says_so() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    fake.slow.store(true, Ordering::SeqCst);
    let many = (0..300).map(|_| get(&router, "/api/v1/tokens"));
    let answers = futures_util::future::join_all(many).await;
    let of = |status| answers.iter().filter(|answer| answer.status.as_u16() == status).count();
    assert_eq!((of(504), of(503)), (256, 44));
    is_problem(answers.iter().find(|answer| answer.status == 504).unwrap(), 504, "answer_timeout");
    is_problem(answers.iter().find(|answer| answer.status == 503).unwrap(), 503, "overloaded");
    fake.slow.store(false, Ordering::SeqCst);
    assert_eq!(get(&router, "/api/v1/tokens").await.status, StatusCode::OK, "all places are back");
}

#[tokio::test]
async fn hot_documents_are_kept_for_all_gateways_until_the_feed_moves() {
    let fake = Arc::new(Fake::default());
    let kept: Arc<dyn Answers> = Arc::new(Memory::default());
    let one = fake.router_keeping(Fake::config(), Some(kept.clone()));
    let two = fake.router_keeping(Fake::config(), Some(kept));
    let first = get(&one, "/api/v1/tokens").await;
    assert_eq!(first.status, StatusCode::OK);
    fake.broken.store(true, Ordering::SeqCst);
    let second = get(&two, "/api/v1/tokens").await;
    assert_eq!((second.status, &second.text), (StatusCode::OK, &first.text), "found by the other");
    let tag = first.header("etag");
    assert_eq!(second.header("etag"), tag);
    let unchanged = get_with(&two, "/api/v1/tokens", &[("if-none-match", tag)]).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert_eq!(get(&two, "/api/v1/tokens?limit=1").await.status, 503, "another question");
    assert_eq!(get(&two, "/api/v1/events").await.status, 503, "not a hot document");
    fake.publish(Vec::new());
    assert_eq!(get(&one, "/api/v1/tokens").await.status, 503, "the index has moved on");
}
