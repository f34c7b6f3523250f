//! One socket against a peer that answers under ids that nobody used.

use super::*;
use tokio_tungstenite::tungstenite::Message as Text;

/// Answers the first two calls (who are you) and everything after under another id.
async fn peer() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket =
                    tokio_tungstenite::accept_async(stream).await.expect("a handshake");
                while let Some(Ok(Text::Text(text))) = socket.next().await {
                    let call: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                    let id = call["id"].as_u64().expect("a number");
                    let answer = match call["method"].as_str() {
                        Some("eth_chainId") => format!(r#"{{"id":{id},"result":"0x1"}}"#),
                        Some("eth_getBlockByNumber") => format!(r#"{{"id":{id},"result":null}}"#),
                        Some("eth_silent") => continue,
                        _ => format!(r#"{{"id":{},"result":"0x2"}}"#, id + 1_000),
                    };
                    use futures_util::SinkExt as _;
                    socket.send(Text::text(answer)).await.expect("sends");
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn an_answer_under_another_id_is_not_waited_for() {
    let link = SocketLink::new("p".into(), peer().await, ChainId(1), Arc::default());
    let started = Instant::now();
    let until = started + Duration::from_secs(20);
    let call = Call::new("eth_foo", "[]");
    let alone = link.call(1, &call, until).await.expect_err("no answer of its own");
    assert_eq!(alone.class, ErrorClass::BadAnswer, "{alone}");
    let silent = Call::new("eth_silent", "[]");
    let (one, two) = tokio::join!(link.call(2, &silent, until), link.call(3, &call, until));
    for outcome in [one, two] {
        let error = outcome.expect_err("nobody knows whose answer it was");
        assert_eq!(error.class, ErrorClass::Unreachable, "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
