//! Whose receipts to believe: those that give the header's root. When nobody's do, either somebody lies
//! or the chain encodes its receipts in its own way; only agreement between providers means the latter.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::{B256, Bloom, BloomInput};

use super::node::{Header, Receipts};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth;
use crate::rpc::eth::receipts_root;
use crate::rpc::pool::{CallOptions, Pool};
use crate::telemetry::metrics::{self, Metric};
use crate::types::chain::BlockId;

/// Equal answers with another root that are believed when their logs give the header's bloom: the
/// logs are then all there, and the encoding is the chain's own.
const AGREED_WITH_BLOOM: usize = 2;
/// The same where the bloom differs too: only a chain with system logs does that for good, and only
/// a liar at random.
const AGREED_WITHOUT_BLOOM: usize = 6;
/// Answers in all before the block is given up for now.
const ANSWERS_MAX: usize = 12;

/// One root that was heard, and from whom.
#[derive(Debug)]
struct Heard {
    root: B256,
    times: usize,
    from: BTreeSet<Arc<str>>,
}

/// All receipts of a block: proven ones if any provider has them, else those that providers agree on.
/// An error when they only contradict each other.
pub(super) async fn receipts(pool: &Pool, header: &Header) -> Result<Receipts, RpcError> {
    let block = BlockId::from(&header.block);
    let Some(transactions) = &header.transactions else {
        let text = format!("the transactions of block {block} are not known yet");
        return Err(RpcError::of_pool(ErrorClass::NotYet, text));
    };
    let mut options = CallOptions::default();
    let mut heard: Vec<Heard> = Vec::new();
    let mut alone = pool.endpoints().len() == 1;
    // Agreement counts only once every provider had its say.
    let mut all_heard = false;
    for _ in 0..ANSWERS_MAX {
        let receipts = match pool.receipts(block, transactions, &options).await {
            Ok(receipts) => receipts,
            // Those that are left cannot answer: then those that can are heard again.
            Err(_) if !options.exclude.is_empty() => {
                options.exclude.clear();
                alone = true;
                all_heard = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        let root = receipts_root(&receipts);
        if root == header.receipts_root {
            count_transactions(&receipts);
            return Ok(Receipts { root, logs: receipts.logs });
        }
        let enough =
            if bloom(&receipts) == header.bloom { AGREED_WITH_BLOOM } else { AGREED_WITHOUT_BLOOM };
        metrics::count(Metric::ChainDisagreements, &[], 1);
        let provider = receipts.provider.clone();
        options.exclude.push(provider.clone());
        if options.exclude.len() >= pool.endpoints().len() {
            options.exclude.clear();
            all_heard = true;
        }
        let said = note(&mut heard, root, provider);
        if all_heard && said.times >= enough && (alone || said.from.len() > 1) {
            return Ok(Receipts { root, logs: receipts.logs });
        }
    }
    let text = format!("providers contradict each other on the receipts of block {block}");
    Err(RpcError::of_pool(ErrorClass::BadAnswer, text))
}

fn count_transactions(receipts: &eth::Receipts) {
    let with =
        |status| receipts.list.iter().filter(|one| one.status == Some(status)).count() as u64;
    metrics::count(Metric::ChainTransactions, &["success"], with(true));
    metrics::count(Metric::ChainTransactions, &["reverted"], with(false));
}

fn note(heard: &mut Vec<Heard>, root: B256, provider: Arc<str>) -> &Heard {
    let at = heard.iter().position(|one| one.root == root).unwrap_or_else(|| {
        heard.push(Heard { root, times: 0, from: BTreeSet::new() });
        heard.len() - 1
    });
    heard[at].times += 1;
    heard[at].from.insert(provider);
    &heard[at]
}

fn bloom(receipts: &eth::Receipts) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in receipts.logs.iter() {
        bloom.accrue(BloomInput::Raw(log.head.address.as_slice()));
        for topic in log.topics() {
            bloom.accrue(BloomInput::Raw(topic.as_slice()));
        }
    }
    bloom
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::fake::{FakeNode, Script, chain};
    use crate::types::chain::BlockRef;

    const HASH: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

    /// A block's one receipt, with its one log, or with a log of other data.
    fn receipts_json(data: &str) -> String {
        let bloom = format!("0x{}", "0".repeat(512));
        format!(
            r#"[{{"transactionHash":"{HASH}","transactionIndex":"0x0","blockHash":"{HASH}","blockNumber":"0x10","status":"0x1","cumulativeGasUsed":"0x5208","logsBloom":"{bloom}","logs":[{{"address":"0x00000000000000000000000000000000000000aa","topics":[],"data":"{data}","blockHash":"{HASH}","blockNumber":"0x10","transactionHash":"{HASH}","transactionIndex":"0x0","logIndex":"0x0","removed":false}}]}}]"#
        )
    }

    async fn pool(data: &[&'static str]) -> (Arc<Pool>, Vec<FakeNode>) {
        let mut nodes = Vec::new();
        for data in data {
            let script = Script::new(|method, _| match method {
                "eth_chainId" => Ok("\"0x1\"".into()),
                _ => Ok(receipts_json(data)),
            });
            nodes.push(FakeNode::start(script).await);
        }
        (Pool::new(&chain(&nodes)), nodes)
    }

    async fn header(pool: &Pool) -> Header {
        let hash: B256 = HASH.parse().expect("a hash");
        let block = BlockRef { number: 16, hash, parent: B256::ZERO, timestamp: 0 };
        let honest = CallOptions::pinned(Arc::from("p0"));
        let receipts = pool.receipts(BlockId::from(&block), &[hash], &honest).await;
        let receipts = receipts.expect("receipts");
        Header {
            block,
            bloom: bloom(&receipts),
            receipts_root: receipts_root(&receipts),
            hash_proven: true,
            transactions: Some(vec![hash]),
        }
    }

    #[tokio::test]
    async fn one_honest_provider_outweighs_any_number_of_liars() {
        let (pool, _nodes) = pool(&["0x01", "0x02", "0x02"]).await;
        let header = header(&pool).await;
        for _ in 0..20 {
            let receipts = receipts(&pool, &header).await.expect("receipts");
            assert_eq!(receipts.root, header.receipts_root);
        }
    }

    #[tokio::test]
    async fn an_encoding_of_the_chains_own_is_believed_when_providers_agree() {
        let (pool, nodes) = pool(&["0x01", "0x01"]).await;
        let header = Header { receipts_root: B256::ZERO, ..header(&pool).await };
        let receipts = receipts(&pool, &header).await.expect("receipts");
        assert_ne!(receipts.root, header.receipts_root, "which leaves the block unverified");
        assert!(nodes[1].calls("eth_getBlockReceipts") >= 1);
    }

    #[tokio::test]
    async fn providers_that_contradict_each_other_prove_nothing() {
        let (pool, _nodes) = pool(&["0x01", "0x02"]).await;
        let header = Header { receipts_root: B256::ZERO, ..header(&pool).await };
        let error = receipts(&pool, &header).await.expect_err("two stories");
        assert!(error.is_retryable(), "{error}");
    }
}
