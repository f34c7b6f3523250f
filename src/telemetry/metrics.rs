//! Every metric of the program in one enum, and the only functions that touch the recorder.
//!
//! Names are `rwahub_<subsystem>_<what>_<unit>[_total]`. Labels are bounded: chains and providers of
//! the configuration, words of ours, never an address, a transaction or a user. Without
//! [`install`] every call is a no-op, so tests and one-shot commands pay nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Unit as RecorderUnit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
    /// Distribution over the buckets.
    Histogram(&'static [f64]),
}

/// Everything fixed about a metric.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Commit of a unit: SQLite WAL takes 50–100 µs, a bulk unit tenths of a second.
const COMMIT_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// A call to a node: 0.1 ms beside us to a slow archive answer.
const CALL_SECONDS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A request answered by us: 10 µs from a cache to a wait for a node.
const ANSWER_SECONDS: &[f64] =
    &[0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Depth of reorgs: one or two blocks are daily life, 64 is two epochs of mainnet.
const REORG_BLOCKS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

macro_rules! metrics {
    ($($variant:ident: $kind:expr, $name:literal, $unit:literal, [$($label:literal),*], $help:literal;)*) => {
        /// Every metric there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name, kind, unit, labels and help.
            pub const fn spec(self) -> Spec {
                match self {
                    $(Self::$variant => Spec {
                        name: $name, kind: $kind, unit: $unit, labels: &[$($label),*], help: $help,
                    },)*
                }
            }
        }
    };
}

use Kind::{Counter as C, Gauge as G, Histogram as H};

metrics! {
    BuildInfo: G, "rwahub_build_info", "info", ["version"], "Always 1; the label says which version runs.";
    ProcessResident: G, "rwahub_process_resident_bytes", "bytes", [], "Resident memory of the process.";
    ProcessFiles: G, "rwahub_process_open_files", "files", [], "Open file descriptors of the process.";
    ProcessFilesMax: G, "rwahub_process_max_files", "files", [], "File descriptors that the process may open.";
    ProcessStart: G, "rwahub_process_start_time_seconds", "seconds", [], "When the process started, since the Unix epoch.";
    LogLines: C, "rwahub_log_lines_total", "lines", ["level"], "Log lines of level warn and error.";
    LogErrorGroups: G, "rwahub_log_error_groups", "groups", [], "Different warnings and errors since the start, as grouped under /errors.";
    HealthComponent: G, "rwahub_health_component_state", "state", ["component"], "How a part of the process is: 0 up, 1 degraded, 2 down.";
    WatchdogFed: G, "rwahub_watchdog_fed_state", "state", [], "1 while the service manager's watchdog is fed: every chain moves or is idle for a reason.";

    ChainHead: G, "rwahub_chain_head_block", "block", ["chain"], "Highest block that a provider has announced.";
    ChainIndexed: G, "rwahub_chain_indexed_block", "block", ["chain"], "Last block committed to the store.";
    ChainFinalized: G, "rwahub_chain_finalized_block", "block", ["chain"], "Highest final block.";
    ChainVerified: G, "rwahub_chain_verified_block", "block", ["chain"], "Every block up to this one has a proof that no log is missing.";
    ChainLag: G, "rwahub_chain_lag_blocks", "blocks", ["chain"], "Blocks between head and index.";
    ChainLagSeconds: G, "rwahub_chain_lag_seconds", "seconds", ["chain"], "How long the index has been behind the head without reaching it; 0 at the head.";
    ChainHeadAge: G, "rwahub_chain_head_age_seconds", "seconds", ["chain"], "Time since providers last showed a new head.";
    ChainUnverified: G, "rwahub_chain_unverified_blocks", "blocks", ["chain"], "Indexed blocks above the last one up to which everything is proven.";
    ChainState: G, "rwahub_chain_index_state", "state", ["chain"], "What the index does: 0 starting, 1 backfilling, 2 live, 3 stalled, 4 failed, 5 standing by.";
    ChainDisagreements: C, "rwahub_chain_provider_disagreements_total", "disagreements", [], "Blocks of which a provider said what the proven receipts refute.";
    ChainGasPrice: G, "rwahub_chain_gas_price_wei", "wei", ["chain"], "What eth_gasPrice last answered.";
    ChainTransactions: C, "rwahub_chain_transactions_total", "transactions", ["outcome"], "Transactions of blocks whose receipts were read, by outcome (success, reverted).";
    ChainActive: G, "rwahub_chain_active_state", "state", ["chain"], "1 while this process holds the chain's lease and indexes it, 0 while it stands by.";
    ChainReorgs: C, "rwahub_chain_reorgs_total", "reorgs", ["chain"], "Reorgs undone and replayed.";
    ChainReorgDepth: H(REORG_BLOCKS), "rwahub_chain_reorg_depth_blocks", "blocks", ["chain"], "Blocks that a reorg took back.";

    PipelineBlocks: C, "rwahub_pipeline_committed_blocks_total", "blocks", ["chain"], "Blocks committed, replacements after a reorg included.";
    PipelineLogs: C, "rwahub_pipeline_committed_logs_total", "logs", ["chain"], "Logs committed, recognised or not.";
    PipelineEvents: C, "rwahub_pipeline_committed_events_total", "events", ["chain"], "Logs recognised as an event and committed.";
    PipelineUndecoded: C, "rwahub_pipeline_undecoded_logs_total", "logs", ["chain"], "Logs kept raw because no layout could read them.";
    PipelineCommitSeconds: H(COMMIT_SECONDS), "rwahub_pipeline_commit_seconds", "seconds", ["chain", "mode"], "Time of one atomic unit in the store, by mode (bulk, live).";
    HandlerParked: G, "rwahub_handlers_parked_state", "state", ["chain", "handler"], "1 while a handler is parked by an event that it rejects.";
    PipelineQueue: G, "rwahub_pipeline_queue_bytes", "bytes", ["chain"], "Fetched data that waits to be committed.";
    PipelineQueueMax: G, "rwahub_pipeline_queue_limit_bytes", "bytes", ["chain"], "Room of that queue; when it is full, fetching waits.";

    RpcRequests: C, "rwahub_rpc_requests_total", "requests", ["chain", "provider", "method", "outcome"], "Requests to providers, by outcome.";
    RpcSeconds: H(CALL_SECONDS), "rwahub_rpc_request_seconds", "seconds", ["chain", "provider", "method"], "Time from request to whole answer of a provider.";
    RpcProviderHead: G, "rwahub_rpc_provider_head_block", "block", ["chain", "provider"], "Highest block that this provider has announced.";
    RpcBreaker: G, "rwahub_rpc_provider_breaker_state", "state", ["chain", "provider"], "Circuit breaker: 0 closed, 1 half open, 2 open.";
    RpcHeadLag: G, "rwahub_rpc_provider_head_lag_blocks", "blocks", ["chain", "provider"], "Blocks that a provider is behind the best of its chain.";

    ProxyRequests: C, "rwahub_proxy_requests_total", "requests", ["chain", "method", "outcome"], "JSON-RPC calls of clients, by outcome.";
    ProxySeconds: H(ANSWER_SECONDS), "rwahub_proxy_request_seconds", "seconds", ["chain", "method"], "Time from call to answer of the JSON-RPC proxy.";
    ProxyCache: C, "rwahub_proxy_cache_lookups_total", "lookups", ["chain", "outcome"], "Questions that may be answered from memory, by outcome (hit, miss).";

    GatewayRequests: C, "rwahub_gateway_requests_total", "requests", ["route", "status"], "HTTP requests by route pattern and status class (2xx, 4xx, 5xx).";
    GatewaySeconds: H(ANSWER_SECONDS), "rwahub_gateway_request_seconds", "seconds", ["route"], "Time from request to response head.";
    GatewayWsClients: G, "rwahub_gateway_websocket_clients", "clients", [], "Open WebSocket connections.";
    GatewaySubscriptions: G, "rwahub_gateway_subscriptions", "subscriptions", [], "Open subscriptions over all WebSocket connections.";
    GatewaySseClients: G, "rwahub_gateway_sse_clients", "clients", [], "Open event streams.";
    GatewayRunning: G, "rwahub_gateway_running_requests", "requests", [], "REST requests that are being answered.";
    GatewayRunningMax: G, "rwahub_gateway_running_limit_requests", "requests", [], "REST requests that may be answered at one time; more are refused.";

    StoreQueue: G, "rwahub_store_queue_units", "units", [], "Units that wait for the writer of the store.";
    StoreWal: G, "rwahub_store_wal_bytes", "bytes", [], "Size of the write-ahead log of the embedded store.";
    StoreReaders: G, "rwahub_store_busy_readers", "readers", ["file"], "Read connections of the store in use.";
    StoreReadersMax: G, "rwahub_store_max_readers", "readers", ["file"], "Read connections that the store may use.";
    StoreReadWait: H(ANSWER_SECONDS), "rwahub_store_read_wait_seconds", "seconds", ["file"], "Time that a query waited for a read connection.";
    StoreFile: G, "rwahub_store_file_bytes", "bytes", [], "Size of the files of the embedded store.";
    StoreDiskFree: G, "rwahub_store_disk_free_bytes", "bytes", [], "Room left on the disk of the embedded store.";
    StoreDiskSize: G, "rwahub_store_disk_size_bytes", "bytes", [], "Size of the disk of the embedded store.";

    BackupConfigured: G, "rwahub_backup_configured_state", "state", [], "1 when the configuration names a place for backups.";
    BackupAge: G, "rwahub_backup_age_seconds", "seconds", [], "Age of the newest whole backup; time since the start while there is none.";
    BackupSize: G, "rwahub_backup_size_bytes", "bytes", [], "Size of the newest backup.";
    BackupVerifyAge: G, "rwahub_backup_verified_age_seconds", "seconds", [], "Time since the last restore drill that passed; time since the start while there is none.";
    BackupVerified: G, "rwahub_backup_verified_state", "state", [], "The last restore drill: 0 there was none, 1 passed, 2 failed.";
    BackupRpo: G, "rwahub_backup_recovery_point_seconds", "seconds", [], "Data that would be lost by restoring the drilled backup: its age at the drill.";
    BackupRto: G, "rwahub_backup_recovery_time_seconds", "seconds", [], "Time that the last drill took from archive to checked store.";

    CacheLookups: C, "rwahub_cache_lookups_total", "lookups", ["cache", "outcome"], "Looks into kept answers, by engine (memory, redis) and outcome (hit, miss).";
    CacheHitRatio: G, "rwahub_cache_hit_ratio", "ratio", ["cache"], "Share of looks into kept answers that found one, since the start.";
    CacheFaults: C, "rwahub_cache_faults_total", "faults", ["kind"], "Calls that the shared cache did not answer in time or refused.";
    RelayPublished: C, "rwahub_relay_published_messages_total", "messages", [], "Messages that the relay from feed to bus has published.";
    RelayFeed: G, "rwahub_relay_feed_entry", "entry", [], "Feed entry up to which the relay has published.";
    RelayInterruptions: C, "rwahub_relay_interruptions_total", "interruptions", [], "Times that the relay had to look again where the bus stands.";
    LimitsLocal: C, "rwahub_limits_local_charges_total", "charges", [], "Charges judged by this process's share because the shared count was away.";
}

/// Handle to what has been recorded; cheap to clone.
#[derive(Debug, Clone)]
pub struct Exporter(PrometheusHandle);

impl Exporter {
    /// Everything recorded so far in the Prometheus text format.
    pub fn render(&self) -> String {
        process_gauges();
        self.0.render()
    }

    /// Folds histogram samples into their buckets; without it they pile up between scrapes.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("metric buckets refused: {0}")]
    Buckets(#[from] BuildError),
    #[error("another metrics recorder is installed already")]
    Occupied,
}

/// Starts recording for the whole process and describes every metric. Later calls give the same
/// exporter.
pub fn install() -> Result<Exporter, MetricsError> {
    static EXPORTER: Mutex<Option<Exporter>> = Mutex::new(None);
    let mut installed = EXPORTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(exporter) = installed.as_ref() {
        return Ok(exporter.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for spec in Metric::ALL.iter().map(|metric| metric.spec()) {
        if let Kind::Histogram(buckets) = spec.kind {
            builder =
                builder.set_buckets_for_metric(Matcher::Full(spec.name.to_owned()), buckets)?;
        }
    }
    let recorder = builder.build_recorder();
    let exporter = Exporter(recorder.handle());
    metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Occupied)?;
    Metric::ALL.iter().for_each(|metric| describe(*metric));
    set(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1.0);
    Ok(installed.insert(exporter).clone())
}

fn describe(metric: Metric) {
    let spec = metric.spec();
    let unit = match spec.unit {
        "seconds" => RecorderUnit::Seconds,
        "bytes" => RecorderUnit::Bytes,
        _ => RecorderUnit::Count,
    };
    let name = KeyName::from_const_str(spec.name);
    metrics::with_recorder(|recorder| match spec.kind {
        Kind::Counter => recorder.describe_counter(name, Some(unit), spec.help.into()),
        Kind::Gauge => recorder.describe_gauge(name, Some(unit), spec.help.into()),
        Kind::Histogram(_) => recorder.describe_histogram(name, Some(unit), spec.help.into()),
    });
    if spec.labels.is_empty() {
        begin(metric, &[]);
    }
}

/// A series that exists from the start can be alerted on and drawn.
fn begin(metric: Metric, labels: &[&str]) {
    match metric.spec().kind {
        Kind::Counter => drop(counter(metric, labels)),
        Kind::Gauge => drop(gauge(metric, labels)),
        Kind::Histogram(_) => drop(histogram(metric, labels)),
    }
}

/// Labels whose values are ours, and the values that a series begins with. `method`, `route` and
/// `outcome` take more as calls come.
const WORDS: &[(&str, &[&str])] = &[
    ("component", &["store"]),
    ("file", &["rwahub"]),
    ("handler", &["holdings"]),
    ("level", &["warn", "error"]),
    ("method", &["other"]),
    ("mode", &["bulk", "live"]),
    ("route", &["unmatched"]),
    ("status", &["2xx", "4xx", "5xx"]),
];

/// The values of `outcome` that a metric begins with.
fn outcomes(metric: Metric) -> &'static [&'static str] {
    match metric {
        Metric::ProxyCache => &["hit", "miss"],
        Metric::ChainTransactions => &["success", "reverted"],
        _ => &["ok"],
    }
}

/// Makes every metric's first series for a chain and its providers, so that a rule or a panel finds
/// all of them at 0 before anything has happened.
pub fn begin_chain(chain: &str, providers: &[&str]) {
    for metric in Metric::ALL.iter().copied().filter(|metric| !metric.spec().labels.is_empty()) {
        let mut sets: Vec<Vec<&str>> = vec![Vec::new()];
        for label in metric.spec().labels {
            let values: &[&str] = match *label {
                "chain" => &[chain],
                "provider" => providers,
                "outcome" => outcomes(metric),
                label => WORDS.iter().find(|word| word.0 == label).map_or(&[], |word| word.1),
            };
            sets = sets
                .iter()
                .flat_map(|set| {
                    values.iter().map(move |value| [set.as_slice(), &[*value]].concat())
                })
                .collect();
        }
        sets.iter().for_each(|labels| begin(metric, labels));
    }
}

/// A counter with its labels bound, for hot paths.
#[derive(Debug, Clone)]
pub struct Counter(metrics::Counter);

impl Counter {
    /// Adds.
    pub fn add(&self, by: u64) {
        self.0.increment(by);
    }
}

/// A gauge with its labels bound.
#[derive(Debug, Clone)]
pub struct Gauge(metrics::Gauge);

impl Gauge {
    /// Replaces the value.
    #[expect(clippy::cast_precision_loss, reason = "block numbers and bytes stay below 2^53")]
    pub fn set(&self, value: u64) {
        self.0.set(value as f64);
    }

    /// Replaces the value by `part` of `whole`.
    #[expect(clippy::cast_precision_loss, reason = "a ratio is no exact number")]
    pub fn set_ratio(&self, part: u64, whole: u64) {
        self.0.set(part as f64 / whole.max(1) as f64);
    }

    /// One more; the guard takes it back when dropped.
    pub fn enter(&self) -> GaugeGuard {
        self.0.increment(1.0);
        GaugeGuard(self.clone())
    }
}

/// Counts one (a client, a subscription) for as long as it lives.
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.0.decrement(1.0);
    }
}

/// A histogram with its labels bound.
#[derive(Debug, Clone)]
pub struct Histogram(metrics::Histogram);

impl Histogram {
    /// Records a time in seconds.
    pub fn time(&self, took: Duration) {
        self.0.record(took.as_secs_f64());
    }

    /// Records a number.
    pub fn record(&self, value: f64) {
        self.0.record(value);
    }
}

/// A counter to keep. `labels` are values in the order of the metric's label names.
pub fn counter(metric: Metric, labels: &[&str]) -> Counter {
    debug_assert!(matches!(metric.spec().kind, Kind::Counter), "{metric:?} is no counter");
    let key = key(metric, labels);
    Counter(metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA)))
}

/// A gauge to keep.
pub fn gauge(metric: Metric, labels: &[&str]) -> Gauge {
    debug_assert!(matches!(metric.spec().kind, Kind::Gauge), "{metric:?} is no gauge");
    let key = key(metric, labels);
    Gauge(metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA)))
}

/// A histogram to keep.
pub fn histogram(metric: Metric, labels: &[&str]) -> Histogram {
    debug_assert!(matches!(metric.spec().kind, Kind::Histogram(_)), "{metric:?} is no histogram");
    let key = key(metric, labels);
    Histogram(metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA)))
}

/// Adds to a counter once. On hot paths keep a [`counter`].
pub fn count(metric: Metric, labels: &[&str], by: u64) {
    counter(metric, labels).add(by);
}

/// Sets a gauge once.
pub fn set(metric: Metric, labels: &[&str], value: f64) {
    gauge(metric, labels).0.set(value);
}

/// Records one number in a histogram.
pub fn observe(metric: Metric, labels: &[&str], value: f64) {
    histogram(metric, labels).record(value);
}

/// Records one time in a histogram of seconds.
pub fn time(metric: Metric, labels: &[&str], took: Duration) {
    histogram(metric, labels).time(took);
}

const METADATA: Metadata<'static> = Metadata::new("rwahub", Level::INFO, None);

fn key(metric: Metric, values: &[&str]) -> Key {
    let spec = metric.spec();
    debug_assert_eq!(spec.labels.len(), values.len(), "labels of {}", spec.name);
    let labels: Vec<Label> = spec
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(KeyName::from_const_str(spec.name), labels)
}

/// JSON-RPC methods that get a label of their own.
const METHODS: &[&str] = &[
    "debug_traceBlockByHash",
    "debug_traceBlockByNumber",
    "debug_traceCall",
    "debug_traceTransaction",
    "eth_accounts",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getCode",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_getLogs",
    "eth_getProof",
    "eth_getStorageAt",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_newBlockFilter",
    "eth_newFilter",
    "eth_sendRawTransaction",
    "eth_simulateV1",
    "eth_subscribe",
    "eth_syncing",
    "eth_uninstallFilter",
    "eth_unsubscribe",
    "net_listening",
    "net_version",
    "trace_block",
    "trace_transaction",
    "web3_clientVersion",
    "web3_sha3",
];

/// A method as a label: known names as they are, everything a client may invent as `other`.
pub fn method_label(method: &str) -> &'static str {
    METHODS.binary_search(&method).ok().and_then(|at| METHODS.get(at).copied()).unwrap_or("other")
}

/// Reads what Linux says of this process; elsewhere the gauges stay 0.
#[expect(clippy::cast_precision_loss, reason = "memory and files stay below 2^53")]
fn process_gauges() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    if let Some(kib) = kib {
        set(Metric::ProcessResident, &[], (kib * 1024) as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        set(Metric::ProcessFiles, &[], files.count() as f64);
    }
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    if let Some(max) = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()) {
        set(Metric::ProcessFilesMax, &[], max as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_convention_and_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for spec in Metric::ALL.iter().map(|metric| metric.spec()) {
            assert!(seen.insert(spec.name), "{} twice", spec.name);
            assert!(spec.name.starts_with("rwahub_"), "{}", spec.name);
            let counter = matches!(spec.kind, Kind::Counter);
            assert_eq!(spec.name.ends_with("_total"), counter, "{}", spec.name);
            let bare = spec.name.trim_end_matches("_total");
            assert!(bare.ends_with(spec.unit), "{} does not end with its unit", spec.name);
            assert!(spec.help.ends_with('.'), "{}", spec.name);
            for label in spec.labels {
                assert!(!["address", "tx", "user", "token"].contains(label), "{}", spec.name);
            }
            if let Kind::Histogram(buckets) = spec.kind {
                assert!(buckets.is_sorted() && !buckets.is_empty(), "{}", spec.name);
            }
        }
    }

    #[test]
    fn every_metric_has_a_series_before_anything_happens() {
        let exporter = install().expect("the only recorder of this process");
        begin_chain("seeded", &["a", "b"]);
        let text = exporter.render();
        for spec in
            Metric::ALL.iter().map(|metric| metric.spec()).filter(|s| s.name != "rwahub_build_info")
        {
            assert!(text.lines().any(|line| line.starts_with(spec.name)), "{} has none", spec.name);
        }
        let provider = "rwahub_rpc_provider_head_lag_blocks{chain=\"seeded\",provider=\"b\"} 0";
        assert!(text.contains(provider), "{text}");
    }

    #[test]
    fn method_names_are_bounded() {
        assert!(METHODS.is_sorted(), "binary search needs order");
        assert_eq!(method_label("eth_call"), "eth_call");
        assert_eq!(method_label("eth_call\n{\"x\":1}"), "other");
    }

    #[test]
    fn what_is_recorded_is_rendered_with_help_and_buckets() {
        let exporter = install().expect("the only recorder of this process");
        count(Metric::PipelineLogs, &["test"], 3);
        time(Metric::PipelineCommitSeconds, &["test", "live"], Duration::from_micros(80));
        let client = gauge(Metric::GatewaySseClients, &[]).enter();
        let text = install().expect("the same again").render();
        for line in [
            "# TYPE rwahub_pipeline_committed_logs_total counter",
            "rwahub_pipeline_committed_logs_total{chain=\"test\"} 3",
            "rwahub_pipeline_commit_seconds_bucket{chain=\"test\",mode=\"live\",le=\"0.0001\"} 1",
            "# HELP rwahub_gateway_sse_clients Open event streams.",
            "rwahub_gateway_sse_clients 1",
            "rwahub_store_queue_units 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        drop(client);
        exporter.upkeep();
        assert!(exporter.render().contains("rwahub_gateway_sse_clients 0"));
    }
}
