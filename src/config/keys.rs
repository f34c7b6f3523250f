//! Every key that a configuration may hold, with its type and meaning: the one list that the reader,
//! the hints for typing errors and `docs/config.md` share.
//!
//! Defaults are not here; they are in `config.toml.example`.

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// The type as the documentation shows it.
    pub kind: &'static str,
    pub doc: &'static str,
    pub presence: Presence,
}

/// Whether a key may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// `config.toml.example` has the value that counts then.
    Default,
    /// No value when left out.
    Optional,
    /// Must be given.
    Required,
    /// Belongs to a table of its own.
    Section,
}

/// A table and the keys it may hold.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Path from the root without indexes; empty for the root.
    pub path: &'static str,
    /// `[[path]]` rather than `[path]`.
    pub repeated: bool,
    pub doc: &'static str,
    pub keys: &'static [Key],
}

const fn key(name: &'static str, kind: &'static str, presence: Presence, doc: &'static str) -> Key {
    Key { name, kind, doc, presence }
}

use Presence::{Default, Optional, Required, Section as Table};

/// The top level.
pub const ROOT: Section = Section {
    path: "",
    repeated: false,
    doc: "",
    keys: &[
        key("chain", "tables", Table, ""),
        key("contract", "tables", Table, ""),
        key("store", "table", Table, ""),
        key("cache", "table", Table, ""),
        key("bus", "table", Table, ""),
        key("gateway", "table", Table, ""),
        key("telemetry", "table", Table, ""),
        key("backup", "table", Table, ""),
    ],
};

/// `[[chain]]`
pub const CHAIN: Section = Section {
    path: "chain",
    repeated: true,
    doc: "One network to index and to proxy.",
    keys: &[
        key("id", "integer", Required, "EIP-155 chain id, checked against every provider."),
        key(
            "name",
            "text",
            Optional,
            "Unique name for logs and metrics; `chain-ID` when not given.",
        ),
        key("start_block", "integer", Default, "First block to index."),
        key(
            "confirmations",
            "integer",
            Default,
            "Blocks behind the head after which a block counts as final when the node does not serve the `finalized` tag.",
        ),
        key(
            "reorg_window_blocks",
            "integer",
            Default,
            "A reorg deeper than this stops the chain for an operator.",
        ),
        key(
            "verify",
            "`receipts`, `bloom`, `off`",
            Default,
            "What is proven before a block is believed: receipts root and bloom, bloom alone, or nothing but the parent link.",
        ),
        key(
            "poll_interval_ms",
            "integer",
            Default,
            "Time between polls of the head without a subscription; a silent subscription is checked as often.",
        ),
        key(
            "head_quorum",
            "integer",
            Default,
            "Providers that must have a block before JSON-RPC clients are told of it; at most the chain's providers.",
        ),
        key("provider", "tables", Table, ""),
    ],
};

/// `[[chain.provider]]`
pub const PROVIDER: Section = Section {
    path: "chain.provider",
    repeated: true,
    doc: "One node of the chain above it. At least one per chain.",
    keys: &[
        key("name", "text", Optional, "Unique in its chain; the URL's host when not given."),
        key(
            "url",
            "text or `{ file = \"..\" }`",
            Required,
            "`http`, `https`, `ws` or `wss`. `${NAME}` is replaced from the environment. Never printed beyond its host.",
        ),
        key(
            "url_file",
            "path",
            Optional,
            "Instead of `url`: a file that holds it, such as a systemd credential `${CREDENTIALS_DIRECTORY}/name`.",
        ),
        key("weight", "integer", Default, "Share of requests, 1 to 1000."),
        key("rate_limit_rps", "integer", Optional, "Most requests per second to this provider."),
        key(
            "max_block_range",
            "integer",
            Optional,
            "Most blocks in one `eth_getLogs`; learned from the provider's answers when not given.",
        ),
    ],
};

/// `[[contract]]`
pub const CONTRACT: Section = Section {
    path: "contract",
    repeated: true,
    doc: "Contracts to index under one name. Without any, the built-in packs (ERC-20, ERC-721, ERC-3643, the suite of `contracts/`) are indexed at every address.",
    keys: &[
        key("name", "text", Required, "Unique name, shown with each event."),
        key("chain_id", "integer", Required, "The `id` of a `[[chain]]`."),
        key(
            "abi",
            "text",
            Required,
            "`erc20`, `erc721`, `erc3643` (every event of a T-REX suite), `rwahub` (every event of the suite in `contracts/`) or a JSON ABI file; a relative path starts at the configuration file, then at the working directory.",
        ),
        key(
            "address",
            "list, `any` or table",
            Required,
            "Addresses, or `any`, or `{ factory = \"0x..\", event = \"Deployed(address indexed token)\", parameter = \"token\" }`: every address that the factory's event names.",
        ),
        key(
            "start_block",
            "integer",
            Optional,
            "First block for this contract; the chain's `start_block` when not given.",
        ),
        key(
            "events",
            "list of text",
            Optional,
            "Names of events to keep; all of the ABI when not given.",
        ),
    ],
};

/// A factory's inline table in `contract.address`.
pub const FACTORY: Section = Section {
    path: "contract.address",
    repeated: false,
    doc: "",
    keys: &[
        key("factory", "address", Required, "The factory's address."),
        key("event", "text", Required, "The factory's event."),
        key("parameter", "text", Required, "The event's parameter that names the new contract."),
    ],
};

/// `{ file = ".." }` in place of a secret.
pub const SECRET_FILE: Section = Section {
    path: "chain.provider.url",
    repeated: false,
    doc: "",
    keys: &[key("file", "path", Required, "A file that holds the secret.")],
};

/// `[store]`
pub const STORE: Section = Section {
    path: "store",
    repeated: false,
    doc: "Where data is kept.",
    keys: &[
        key(
            "kind",
            "`embedded`, `mongodb`",
            Default,
            "`embedded`: one SQLite file, nothing to install. `mongodb`: a database that several processes share.",
        ),
        key("path", "path", Default, "Folder of the embedded store, from the working directory."),
        key(
            "url",
            "text or `{ file = \"..\" }`",
            Optional,
            "With `mongodb`: `mongodb://user:password@host:port/database?options`, or `mongodb+srv`. TLS (`tls`, `tlsCAFile`), authentication (`authSource`, `authMechanism`) and where questions are answered (`readPreference`) are options of it. `${NAME}` is replaced from the environment. Never printed beyond its hosts.",
        ),
        key("url_file", "path", Optional, "Instead of `url`: a file that holds it."),
    ],
};

/// `[cache]`
pub const CACHE: Section = Section {
    path: "cache",
    repeated: false,
    doc: "Answers and counters that may be lost.",
    keys: &[
        key(
            "kind",
            "`memory`, `redis`",
            Default,
            "`memory`: in this process. `redis`: shared by all processes.",
        ),
        key(
            "url",
            "text or `{ file = \"..\" }`",
            Optional,
            "With `redis`: `redis://user:password@host:port/db`, or `rediss` for TLS. `${NAME}` is replaced from the environment. Never printed beyond its host.",
        ),
        key("url_file", "path", Optional, "Instead of `url`: a file that holds it."),
        key("prefix", "text", Default, "First part of every key: installations on one Redis."),
    ],
};

/// `[bus]`
pub const BUS: Section = Section {
    path: "bus",
    repeated: false,
    doc: "How rooms hear of new data.",
    keys: &[
        key(
            "kind",
            "`embedded`, `nats`",
            Default,
            "`embedded`: tables of the embedded store. `nats`: JetStream, to which every event is published.",
        ),
        key(
            "url",
            "text or `{ file = \"..\" }`",
            Optional,
            "With `nats`: `nats://user:password@host:port`, or `tls`. `${NAME}` is replaced from the environment. Never printed beyond its host.",
        ),
        key("url_file", "path", Optional, "Instead of `url`: a file that holds it."),
        key(
            "prefix",
            "text",
            Default,
            "First part of streams and subjects: installations on one server.",
        ),
    ],
};

/// `[gateway]`
pub const GATEWAY: Section = Section {
    path: "gateway",
    repeated: false,
    doc: "The HTTP door: REST, JSON-RPC, WebSocket, SSE.",
    keys: &[
        key("listen", "address:port", Default, "Where to listen; port 0 takes a free one."),
        key("public_read", "boolean", Default, "Public chain data may be read without sign-in."),
        key("max_body_bytes", "integer", Default, "Largest request body."),
        key("max_batch_items", "integer", Default, "Most calls in one JSON-RPC batch."),
        key(
            "origin",
            "text",
            Optional,
            "Scheme and authority under which browsers reach us; sign-in messages must name it. `http://` and `listen` when not given.",
        ),
        key(
            "open_registration",
            "boolean",
            Default,
            "A wallet that nobody entered becomes an investor by signing in.",
        ),
        key(
            "secret_file",
            "path",
            Optional,
            "A file with 64 hex digits, the same on all gateways of an installation; `auth.secret` in the store's folder, made at the first start, when not given.",
        ),
        key(
            "tls_cert_file",
            "path",
            Optional,
            "PEM file with the certificate chain; with `tls_key_file`, `listen` speaks TLS alone.",
        ),
        key("tls_key_file", "path", Optional, "PEM file with the certificate's private key."),
        key(
            "trusted_proxies",
            "list of text",
            Default,
            "Addresses or networks (`10.0.0.0/8`) of proxies whose `X-Forwarded-For` counts, read from the right.",
        ),
        key(
            "cors_origins",
            "list of text",
            Default,
            "Exact origins that browsers may call from; empty allows none but the same origin.",
        ),
        key("rpc", "table", Table, ""),
    ],
};

/// `[gateway.rpc]`
pub const GATEWAY_RPC: Section = Section {
    path: "gateway.rpc",
    repeated: false,
    doc: "The JSON-RPC door, `/rpc/{chain_id}`.",
    keys: &[
        key(
            "verify",
            "`off`, `recent`, `all`",
            Default,
            "Logs and block receipts that are held against their blocks' receipts roots before they are given out: none, those that a reorg may still change, or all. A client may say otherwise with `x-rwahub-verify`. Off for a chain whose own `verify` is not `receipts`.",
        ),
        key(
            "verify_blocks_max",
            "integer",
            Default,
            "Longest range of one `eth_getLogs` that is verified; longer ones are given out on the providers' word, and so is everything at 0.",
        ),
        key(
            "allow_methods",
            "list of text",
            Default,
            "Methods allowed beside `eth_`, `net_` and `web3_`, by exact name, such as `debug_traceTransaction`. Everyone who reaches the door may call them.",
        ),
        key(
            "deny_methods",
            "list of text",
            Default,
            "Methods refused, by exact name, such as `eth_sign` or `eth_sendRawTransaction`.",
        ),
    ],
};

/// `[telemetry]`
pub const TELEMETRY: Section = Section {
    path: "telemetry",
    repeated: false,
    doc: "What the operator sees.",
    keys: &[
        key("metrics_listen", "address:port", Default, "Where Prometheus scrapes `/metrics`."),
        key("log_format", "`text`, `json`", Default, "Lines for people or one JSON object a line."),
        key(
            "log_level",
            "text",
            Default,
            "`error`, `warn`, `info`, `debug`, `trace` or `off`, or a filter per module such as `info,rwahub::rpc=debug`.",
        ),
        key(
            "otlp_endpoint",
            "text",
            Optional,
            "Where traces go: an OTLP/HTTP collector, such as `http://127.0.0.1:4318/v1/traces`. Plain HTTP, so a collector on this machine.",
        ),
    ],
};

/// `[backup]`
pub const BACKUP: Section = Section {
    path: "backup",
    repeated: false,
    doc: "Sealed copies of the embedded store (docs/disaster-recovery.md).",
    keys: &[
        key("path", "path", Optional, "Folder that `rwahub backup` works in."),
        key(
            "recipients",
            "list of text",
            Default,
            "Public keys (`age1...`) that backups are sealed for; `rwahub backup keygen` makes one.",
        ),
        key("keep", "integer", Default, "Backups kept, 1 to 10000."),
    ],
};

/// All tables that stand in a file, in the order of the documentation.
pub const SECTIONS: &[&Section] = &[
    &CHAIN,
    &PROVIDER,
    &CONTRACT,
    &STORE,
    &CACHE,
    &BUS,
    &GATEWAY,
    &GATEWAY_RPC,
    &TELEMETRY,
    &BACKUP,
];
