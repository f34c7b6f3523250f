//! Typed calls against scripted nodes.

use super::*;
use crate::rpc::fake::{FakeNode, Script, chain};

const HASH: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
const TX: &str = "0x2222222222222222222222222222222222222222222222222222222222222222";

fn log(block_hash: &str) -> String {
    format!(
        r#"{{"address":"0x00000000000000000000000000000000000000aa","topics":[],"data":"0x01","blockHash":"{block_hash}","blockNumber":"0x10","transactionHash":"{TX}","transactionIndex":"0x0","logIndex":"0x0","removed":false}}"#
    )
}

fn receipt() -> String {
    let bloom = format!("0x{}", "0".repeat(512));
    format!(
        r#"{{"transactionHash":"{TX}","transactionIndex":"0x0","blockHash":"{HASH}","blockNumber":"0x10","root":"{HASH}","cumulativeGasUsed":"0x5208","gasUsed":"0x5208","logsBloom":"{bloom}","logs":[{}],"from":"0x0"}}"#,
        log(HASH)
    )
}

async fn node(
    respond: impl Fn(&str, &serde_json::Value) -> Result<String, String> + Send + Sync + 'static,
) -> (Arc<Pool>, FakeNode) {
    let node = FakeNode::start(Script::new(move |method, params| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        "eth_blockNumber" => Ok("\"0x20\"".into()),
        _ => respond(method, params),
    }))
    .await;
    let pool = Pool::new(&chain(std::slice::from_ref(&node)));
    (pool, node)
}

fn block() -> BlockId {
    BlockId { number: 16, hash: HASH.parse().expect("a hash") }
}

#[tokio::test]
async fn logs_of_another_block_are_refused() {
    let (pool, _node) = node(|_, _| Ok(format!("[{}]", log(TX)))).await;
    let options = CallOptions::default();
    let error = pool.logs_by_hash(&LogFilter::default(), block().hash, &options).await;
    assert_eq!(error.expect_err("another block").class, ErrorClass::BadAnswer);
    let range = BlockRange { from: 16, to: 16 };
    let logs = pool.logs(&LogFilter::default(), range, &options).await.expect("logs");
    assert_eq!((logs.logs.len(), &*logs.provider), (1, "p0"));
    assert!(logs.bytes > 100);
}

#[tokio::test]
async fn receipts_fall_back_to_one_call_per_transaction() {
    let (pool, node) = node(|method, _| match method {
        "eth_getBlockReceipts" => Err(r#"{"code":-32601,"message":"method not found"}"#.into()),
        _ => Ok(receipt()),
    })
    .await;
    let tx = TX.parse().expect("a hash");
    let receipts = pool.receipts(block(), &[tx], &CallOptions::default()).await.expect("receipts");
    assert_eq!(node.calls("eth_getTransactionReceipt"), 1);
    let receipt = &receipts.list[0];
    assert_eq!((receipt.status, receipt.root.is_some()), (None, true), "before Byzantium");
    assert_eq!((receipt.tx_type, receipt.cumulative_gas_used), (0, 0x5208));
    assert_eq!(receipts.logs.get(receipt.logs.start).expect("its log").data, [1]);
    let other = pool.receipts(block(), &[tx, tx], &CallOptions::default()).await;
    assert_eq!(other.expect_err("twice the same").class, ErrorClass::BadAnswer);
}

#[tokio::test]
async fn a_missing_header_is_none_and_in_a_range_an_error() {
    let (pool, _node) = node(|_, _| Ok("null".into())).await;
    let options = CallOptions::default();
    assert!(pool.header(Which::Number(3), &options).await.expect("an answer").is_none());
    let range = BlockRange { from: 3, to: 4 };
    let error = pool.headers(range, &options).await.expect_err("not there");
    assert_eq!(error.class, ErrorClass::NotYet);
}

#[tokio::test]
async fn eth_call_is_pinned_by_hash_and_falls_back_to_the_number() {
    let (pool, _node) = node(|_, params| match params[1].as_str() {
        Some(number) => Ok(format!("\"0x{number:0>6}\"", number = &number[2..])),
        None => {
            Err(r#"{"code":-32602,"message":"invalid argument 1: json: cannot unmarshal object"}"#
                .into())
        }
    })
    .await;
    let data = pool.eth_call(Address::ZERO, &Data::new(), block(), &CallOptions::default()).await;
    assert_eq!(data.expect("by number").as_ref(), [0, 0, 0x10]);
}
