//! A handler that cannot take an event stops nobody but itself, on the real store.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256, keccak256};
use rwahub::chain::queue;
use rwahub::chain::update::{ChainUpdate, Phase, ProvenBlock, Segment};
use rwahub::decode::event::RwaEvent;
use rwahub::decode::layout::Layouts;
use rwahub::decode::registry::Registry;
use rwahub::handlers::holdings::Holdings;
use rwahub::pipeline::handler::{Effect, EventContext, Handler, HandlerError, StateView};
use rwahub::pipeline::rebuild::Rebuilder;
use rwahub::pipeline::runner::{self, Progress, Runner};
use rwahub::pipeline::store::{ChainState, ContractTag, Parked, Store};
use rwahub::store::embedded::{self, Embedded};
use rwahub::store::read::Queries;
use rwahub::telemetry::health::{ComponentState, HealthBoard};
use rwahub::types::asset::{Doc, DocKey, Identity};
use rwahub::types::chain::{BlockId, BlockRef, ChainId, Proof};
use rwahub::types::clock::SystemClock;
use rwahub::types::event::{ArgReader, Position};
use rwahub::types::log::{LogBuf, LogFields};

const CHAIN: ChainId = ChainId(7);
const TOKEN: Address = Address::repeat_byte(0xaa);
const LOGS_PER_BLOCK: u32 = 3;
/// Forks share everything up to this block.
const SHARED: u64 = 3;

/// Remembers who sent last to whom, and cannot take one event.
#[derive(Debug, Clone, Copy)]
struct Witness {
    fails_at: Option<(u64, u32)>,
    panics: bool,
}

const HEALTHY: Witness = Witness { fails_at: None, panics: false };

impl Handler for Witness {
    fn name(&self) -> &'static str {
        "witness"
    }

    fn keys(&self, context: &EventContext<'_>, keys: &mut Vec<DocKey>) {
        if let RwaEvent::Erc20Transfer(transfer) = context.event {
            keys.push(DocKey::Identity { registry: TOKEN, wallet: transfer.to() });
        }
    }

    fn handle(
        &self,
        context: &EventContext<'_>,
        view: &StateView,
        effects: &mut Vec<Effect>,
    ) -> Result<(), HandlerError> {
        let RwaEvent::Erc20Transfer(transfer) = context.event else { return Ok(()) };
        let key = DocKey::Identity { registry: TOKEN, wallet: transfer.to() };
        let country = match view.get(key)? {
            Some(Doc::Identity(known)) => known.country.map(|count| count + 1),
            _ => Some(1),
        };
        effects
            .push(Effect::Put(key, Doc::Identity(Identity { identity: transfer.from(), country })));
        if self.fails_at == Some((context.block.number, context.log.head.log_index)) {
            if self.panics {
                panic!("an event that nobody thought of");
            }
            return Err(HandlerError::Rejected("an event that contradicts".to_owned()));
        }
        Ok(())
    }
}

fn account(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

fn block(number: u64, fork: u64) -> BlockRef {
    let hash = |number: u64| {
        let fork = if number > SHARED && number < u64::MAX { fork } else { 0 };
        keccak256([number, fork].map(u64::to_be_bytes).concat())
    };
    BlockRef {
        number,
        hash: hash(number),
        parent: hash(number.wrapping_sub(1)),
        timestamp: 1_700_000_000 + number,
    }
}

/// Blocks `from` to `to` with transfers between few accounts.
fn segment(from: u64, to: u64, fork: u64) -> Segment {
    let mut logs = LogBuf::default();
    let mut blocks = Vec::new();
    for number in from..=to {
        let block = block(number, fork);
        blocks.push(ProvenBlock { block, proof: Proof::ReceiptsRoot });
        // What is shared is the same to the last log.
        let fork = if number > SHARED { fork } else { 0 };
        for log_index in 0..LOGS_PER_BLOCK {
            let salt = number * 7 + u64::from(log_index) + fork;
            let mut fields = LogFields {
                block_number: number,
                block_hash: block.hash,
                log_index,
                address: TOKEN,
                topic_count: 3,
                ..LogFields::default()
            };
            fields.topics[0] = keccak256("Transfer(address,address,uint256)");
            fields.topics[1] = account(salt % 5).into_word();
            fields.topics[2] = account(salt % 3 + 1).into_word();
            logs.push(&fields, &B256::from(U256::from(salt)).0).expect("small");
        }
    }
    Segment { phase: Phase::Head, blocks, logs }
}

struct Bench {
    store: Arc<Embedded>,
    layouts: Layouts,
    health: HealthBoard,
}

impl Bench {
    fn open(path: &Path) -> Self {
        let layouts = Layouts::new().expect("built in");
        let names = registry(&mut Layouts::new().expect("built in")).contract_names();
        let reader: Arc<dyn ArgReader> = Arc::new(Layouts::new().expect("built in"));
        let store = Arc::new(embedded::open(path, &names, reader).expect("opens"));
        Self { store, layouts, health: HealthBoard::new(Arc::new(SystemClock)) }
    }

    async fn state(&self) -> ChainState {
        self.store.open_chain(CHAIN, "test").await.expect("opens")
    }

    async fn run(&mut self, witness: Witness, updates: Vec<ChainUpdate>) {
        let (sender, receiver) = queue::bounded(1 << 20);
        let registry = registry(&mut self.layouts);
        let parts = runner::Parts {
            chain: CHAIN,
            tags: tags(&registry),
            registry,
            handlers: handlers(witness),
            store: self.store.clone(),
            sinks: Vec::new(),
            progress: Arc::new(Progress::default()),
            health: self.health.clone(),
        };
        let runner = Runner::new(parts, &self.state().await);
        let running = tokio::spawn(runner.run(receiver));
        for update in updates {
            sender.send(update).await.expect("the runner goes on");
        }
        drop(sender);
        running.await.expect("no panic gets out").expect("the chain goes on");
    }

    async fn reindex(&mut self, witness: Witness) {
        let registry = registry(&mut self.layouts);
        let handlers = handlers(witness);
        let rebuilder = Rebuilder {
            chain: CHAIN,
            tags: &tags(&registry),
            registry: &registry,
            handlers: &handlers,
            store: self.store.as_ref(),
        };
        rebuilder.run(&self.state().await, |_| {}).await.expect("rebuilds");
    }

    async fn docs(&self) -> Vec<Option<Doc>> {
        self.store.load(CHAIN, &[holdings(), witnessed()].concat()).await.expect("loads")
    }
}

fn registry(layouts: &mut Layouts) -> Registry {
    Registry::new(layouts, &[]).expect("built in")
}

fn tags(registry: &Registry) -> Vec<ContractTag> {
    (0..registry.contract_names().len()).map(|n| ContractTag(n as u16)).collect()
}

fn handlers(witness: Witness) -> Vec<Box<dyn Handler>> {
    vec![Box::new(witness), Box::new(Holdings)]
}

fn holdings() -> Vec<DocKey> {
    let holding = |n| DocKey::Holding { token: TOKEN, holder: account(n) };
    (0..6).map(holding).chain([DocKey::Token(TOKEN)]).collect()
}

fn witnessed() -> Vec<DocKey> {
    (0..6).map(|n| DocKey::Identity { registry: TOKEN, wallet: account(n) }).collect()
}

fn committed(from: u64, to: u64, fork: u64) -> ChainUpdate {
    ChainUpdate::Committed(segment(from, to, fork))
}

/// An index of one history that never failed.
async fn healthy(updates: Vec<ChainUpdate>) -> (ChainState, Vec<Option<Doc>>) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut bench = Bench::open(dir.path());
    bench.run(HEALTHY, updates).await;
    (bench.state().await, bench.docs().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_fails_is_parked_alone_and_reindex_brings_the_right_state() {
    for panics in [true, false] {
        let faulty = Witness { fails_at: Some((5, 1)), panics };
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut bench = Bench::open(dir.path());
        bench.run(faulty, vec![committed(1, 4, 0), committed(5, 8, 0)]).await;

        let (right, right_docs) = healthy(vec![committed(1, 8, 0)]).await;
        let state = bench.state().await;
        let at = Position { block: 5, log_index: 1 };
        assert_eq!(state.parked.len(), 1);
        assert_eq!((state.parked[0].handler.as_str(), state.parked[0].at), ("witness", at));
        assert_eq!(state.cursor, right.cursor);
        assert_ne!(state.digest, right.digest, "the digest tells that something is missing");
        let index = bench.store.chains().await.expect("chains").remove(0);
        assert_eq!(
            (index.logs, index.parked),
            (8 * u64::from(LOGS_PER_BLOCK), state.parked.clone())
        );
        let docs = bench.docs().await;
        let own = holdings().len();
        assert_eq!(docs[..own], right_docs[..own], "the other handler has gone on");
        let before = seen_up_to(at);
        assert_eq!(docs[own..], before[..], "its documents stand right before the event");
        let board = bench.health.snapshot().components;
        let told = &board["chain:7:handler:witness"];
        assert_eq!(told.state, ComponentState::Degraded);
        assert!(
            told.detail.as_ref().is_some_and(|text| text.contains("block 5 log 1")),
            "{told:?}"
        );

        // A restart, even with a corrected handler, must not go on behind a gap.
        drop(bench);
        let mut bench = Bench::open(dir.path());
        bench.run(HEALTHY, vec![committed(9, 10, 0)]).await;
        assert_eq!(bench.state().await.parked, state.parked);
        assert_eq!(bench.docs().await[own..], before[..]);

        bench.reindex(HEALTHY).await;
        let (right, right_docs) = healthy(vec![committed(1, 10, 0)]).await;
        let state = bench.state().await;
        assert_eq!(state.parked, Vec::<Parked>::new());
        assert_eq!((state.digest, state.cursor), (right.digest, right.cursor));
        assert_eq!(bench.docs().await, right_docs);
        // And the undo records are those of an index that never failed.
        let undo = bench.store.undo_above(CHAIN, 0).await.expect("undo");
        assert!(!undo.is_empty());
        bench.run(HEALTHY, vec![fork(3, 10, 1)]).await;
        let (right, right_docs) = healthy(vec![committed(1, 11, 1)]).await;
        assert_eq!(bench.state().await.digest, right.digest);
        assert_eq!(bench.docs().await, right_docs);
    }
}

/// The witness's documents right before a position of fork 0.
fn seen_up_to(at: Position) -> Vec<Option<Doc>> {
    let logs = segment(1, at.block, 0).logs;
    let mut seen: Vec<Option<Doc>> = vec![None; 6];
    for log in logs.iter() {
        let place = Position { block: log.head.block_number, log_index: log.head.log_index };
        let to = Address::from_word(log.head.topics[2]);
        let slot = (0..6).position(|n| account(n) == to).expect("one of ours");
        if place < at {
            let count = match &seen[slot] {
                Some(Doc::Identity(known)) => known.country.map(|count| count + 1),
                _ => Some(1),
            };
            let identity = Address::from_word(log.head.topics[1]);
            seen[slot] = Some(Doc::Identity(Identity { identity, country: count }));
        }
    }
    seen
}

/// Everything above `fork` is replaced by blocks of another fork up to one more than `tip`.
fn fork(base: u64, tip: u64, fork: u64) -> ChainUpdate {
    let orphaned = (base + 1..=tip).map(|number| BlockId::from(&block(number, 0))).collect();
    ChainUpdate::Reorged {
        fork: BlockId::from(&block(base, 0)),
        orphaned,
        segment: segment(base + 1, tip + 1, fork),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorg_that_takes_the_event_away_lets_the_handler_go_on() {
    let faulty = Witness { fails_at: Some((5, 1)), panics: true };
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut bench = Bench::open(dir.path());
    bench.run(faulty, vec![committed(1, 8, 0)]).await;
    assert_eq!(bench.state().await.parked.len(), 1);
    // Below the event: the handler meets the replacement, which it can take.
    bench.run(HEALTHY, vec![fork(3, 8, 1)]).await;
    let (right, right_docs) = healthy(vec![committed(1, 9, 1)]).await;
    assert_eq!(bench.state().await.parked, Vec::<Parked>::new());
    assert_eq!(bench.state().await.digest, right.digest);
    assert_eq!(bench.docs().await, right_docs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorg_above_the_event_leaves_the_handler_parked() {
    let faulty = Witness { fails_at: Some((2, 0)), panics: false };
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut bench = Bench::open(dir.path());
    bench.run(faulty, vec![committed(1, 8, 0), fork(3, 8, 1)]).await;
    let parked = bench.state().await.parked;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].at, Position { block: 2, log_index: 0 });
    let own = holdings().len();
    assert_eq!(
        bench.docs().await[own..],
        seen_up_to(Position { block: 2, log_index: 0 })[..],
        "a reorg must not move the documents of a parked handler"
    );
    bench.reindex(HEALTHY).await;
    let (right, right_docs) = healthy(vec![committed(1, 9, 1)]).await;
    assert_eq!(bench.state().await.digest, right.digest);
    assert_eq!(bench.docs().await, right_docs);
}
