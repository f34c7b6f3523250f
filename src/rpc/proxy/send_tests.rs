//! Signed transactions: lost answers, repeats, races and nodes that disagree.

use serde_json::{Value, json};

use super::*;
use crate::rpc::fake::{FakeNode, Script, chain_of};

/// A legacy transaction for chain 1, as the yellow paper's example of EIP-155 has it.
const RAW: &str = "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";
const HASH: &str = "0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788";

fn node(send: &'static str, found: bool) -> Script {
    Script::new(move |method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        "eth_sendRawTransaction" if send.starts_with('"') => Ok(send.into()),
        "eth_sendRawTransaction" => Err(send.into()),
        "eth_getTransactionByHash" if found => Ok("{}".into()),
        _ => Ok("null".into()),
    })
}

async fn send(chain: u64, scripts: Vec<Script>, raw: &str) -> (Value, Vec<FakeNode>) {
    let mut nodes = Vec::new();
    for script in scripts {
        nodes.push(FakeNode::start(script).await);
    }
    let config = chain_of(chain, nodes.iter().map(FakeNode::http_url).collect());
    let proxy = Arc::new(Proxy::new(Pool::new(&config), Policy::default(), Limits::default()));
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]});
    let reply = proxy.answer(&Bytes::from(call.to_string())).await.expect("a reply");
    (serde_json::from_slice(&reply.into_bytes()).expect("JSON"), nodes)
}

const ACCEPTED: &str = "\"0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788\"";
const KNOWN: &str = r#"{"code":-32000,"message":"already known"}"#;
const NONCE: &str = r#"{"code":-32000,"message":"nonce too low: next nonce 10, tx nonce 9"}"#;
const POOR: &str = r#"{"code":-32003,"message":"insufficient funds for gas * price + value"}"#;
const BROKEN: &str = r#"{"code":-32603,"message":"internal error"}"#;

#[tokio::test]
async fn every_way_to_success_gives_the_one_hash() {
    for scripts in [
        vec![node(ACCEPTED, false)],
        vec![node(KNOWN, false)],
        vec![node(ACCEPTED, false), node(POOR, false)],
        vec![node(NONCE, true)],
        vec![node(BROKEN, true)],
        vec![node(KNOWN, false), node(NONCE, false)],
    ] {
        let (answer, _nodes) = send(1, scripts, RAW).await;
        assert_eq!(answer["result"], HASH, "{answer}");
    }
}

#[tokio::test]
async fn a_real_refusal_is_passed_on_untouched_and_final() {
    let (answer, nodes) = send(1, vec![node(POOR, true)], RAW).await;
    assert_eq!(answer["error"]["message"], "insufficient funds for gas * price + value");
    assert_eq!(nodes[0].calls("eth_sendRawTransaction"), 1);
    let (answer, _nodes) = send(1, vec![node(NONCE, false)], RAW).await;
    assert_eq!(answer["error"]["message"], "nonce too low: next nonce 10, tx nonce 9");
}

#[tokio::test]
async fn a_transaction_of_another_chain_reaches_no_node() {
    let (answer, nodes) = send(5, vec![node(ACCEPTED, false)], RAW).await;
    assert_eq!(answer["error"]["message"], "invalid chain id for signer: have 1 want 5");
    assert_eq!(nodes[0].calls("eth_sendRawTransaction"), 0);
}
