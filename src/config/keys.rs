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
        key("kind", "`embedded`", Default, "`embedded`: one SQLite file, nothing to install."),
        key("path", "path", Default, "Folder of the embedded store, from the working directory."),
    ],
};

/// `[cache]`
pub const CACHE: Section = Section {
    path: "cache",
    repeated: false,
    doc: "Answers and counters that may be lost.",
    keys: &[key("kind", "`memory`", Default, "`memory`: in this process.")],
};

/// `[bus]`
pub const BUS: Section = Section {
    path: "bus",
    repeated: false,
    doc: "How rooms hear of new data.",
    keys: &[key("kind", "`embedded`", Default, "`embedded`: tables of the embedded store.")],
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
            "cors_origins",
            "list of text",
            Default,
            "Exact origins that browsers may call from; empty allows none but the same origin.",
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
    ],
};

/// All tables that stand in a file, in the order of the documentation.
pub const SECTIONS: &[&Section] =
    &[&CHAIN, &PROVIDER, &CONTRACT, &STORE, &CACHE, &BUS, &GATEWAY, &TELEMETRY];
