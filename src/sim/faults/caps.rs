//! Limits of `eth_getLogs`, refused in the words of well-known providers and clients.
//!
//! Texts as seen in the wild; which of them a client can learn from is the client's problem.

use std::str::FromStr;

use super::plan::ParseFaultError;

/// Whose words a refusal uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Vendor {
    #[default]
    Geth,
    Reth,
    Besu,
    Erigon,
    Alchemy,
    Infura,
    QuickNode,
    Ankr,
    Drpc,
    Chainstack,
    Cloudflare,
    Base,
    Avalanche,
    Thirdweb,
    Blast,
    Tenderly,
}

/// What a provider allows per `eth_getLogs`; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    pub vendor: Vendor,
    /// Blocks from `fromBlock` to `toBlock`, both counted.
    pub blocks_max: Option<u64>,
    /// Logs of one answer.
    pub results_max: Option<u64>,
    /// Items of one batch.
    pub batch_max: Option<u64>,
}

impl FromStr for Caps {
    type Err = ParseFaultError;

    /// `VENDOR[:BLOCKS[:RESULTS[:BATCH]]]`; an empty number is no limit.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let vendor = Vendor::find(name).ok_or_else(|| {
            let names: Vec<_> = Vendor::ALL.iter().map(|(_, name)| *name).collect();
            ParseFaultError(format!("unknown vendor {name:?}; known: {}", names.join(", ")))
        })?;
        let mut limit = || match parts.next() {
            None | Some("") => Ok(None),
            Some(number) => number
                .parse()
                .map(Some)
                .map_err(|_| ParseFaultError(format!("{number:?} in {text:?} is no number"))),
        };
        Ok(Self { vendor, blocks_max: limit()?, results_max: limit()?, batch_max: limit()? })
    }
}

/// How a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status, where it is a call of its own.
    pub(crate) status: u16,
    pub(crate) code: i64,
    pub(crate) message: String,
    /// JSON text of `error.data`.
    pub(crate) data: Option<String>,
}

impl Refusal {
    fn new(status: u16, code: i64, message: String) -> Self {
        Self { status, code, message, data: None }
    }
}

impl Vendor {
    /// Every vendor with the name that the command line takes.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::Geth, "geth"),
        (Self::Reth, "reth"),
        (Self::Besu, "besu"),
        (Self::Erigon, "erigon"),
        (Self::Alchemy, "alchemy"),
        (Self::Infura, "infura"),
        (Self::QuickNode, "quicknode"),
        (Self::Ankr, "ankr"),
        (Self::Drpc, "drpc"),
        (Self::Chainstack, "chainstack"),
        (Self::Cloudflare, "cloudflare"),
        (Self::Base, "base"),
        (Self::Avalanche, "avalanche"),
        (Self::Thirdweb, "thirdweb"),
        (Self::Blast, "blast"),
        (Self::Tenderly, "tenderly"),
    ];

    /// The vendor of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(vendor, _)| *vendor)
    }

    /// Refuses `from..=to` because it spans more than `cap` blocks.
    pub(crate) fn range_refusal(self, from: u64, to: u64, cap: u64) -> Refusal {
        let asked = to - from + 1;
        let good_to = from + cap.max(1) - 1;
        let (status, code, text) = match self {
            Self::Geth => (200, -32602, format!("exceed maximum block range: {cap}")),
            Self::Reth => (200, -32602, format!("query exceeds max block range {cap}")),
            Self::Besu => {
                (200, -32005, "Requested range exceeds maximum RPC range limit".to_owned())
            }
            Self::Erigon => (
                200,
                -32602,
                format!(
                    "query block range exceeds server limit: {asked} blocks requested, {cap} allowed"
                ),
            ),
            Self::Alchemy => (
                400,
                -32600,
                format!(
                    "You can make eth_getLogs requests with up to a {cap} block range. Based on your parameters, this block range should work: [{from:#x}, {good_to:#x}]"
                ),
            ),
            Self::Infura => (200, -32005, format!("range {asked} exceeds limit of {cap}")),
            Self::QuickNode => (413, -32614, format!("eth_getLogs is limited to a {cap} range")),
            Self::Ankr => (200, -32600, "block range is too wide".to_owned()),
            Self::Drpc => {
                (200, 35, format!("ranges over {cap} blocks are not supported on freetier"))
            }
            Self::Chainstack => (200, -32000, "Block range limit exceeded.".to_owned()),
            Self::Cloudflare => (
                400,
                -32047,
                format!(
                    "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {cap}"
                ),
            ),
            Self::Base => (413, -32000, format!("block range too large, max range: {cap}")),
            Self::Avalanche => (
                200,
                -32000,
                format!("requested too many blocks from {from} to {to}, maximum is set to {cap}"),
            ),
            Self::Thirdweb => {
                (400, -32000, format!("Maximum allowed number of requested blocks is {cap}"))
            }
            Self::Blast => (
                200,
                -32005,
                format!("eth_getLogs exceeds the range allowed for your plan ({asked} > {cap})"),
            ),
            Self::Tenderly => (400, -32602, "invalid block range params".to_owned()),
        };
        let mut refusal = Refusal::new(status, code, text);
        if self == Self::Tenderly {
            let payload = format!("range {asked} is bigger than range limit {cap}");
            refusal.data = Some(format!("{{\"payload\":\"{payload}\"}}"));
        }
        refusal
    }

    /// Refuses because more than `cap` logs match; `good_to` is the last block up to which they fit.
    pub(crate) fn results_refusal(self, from: u64, good_to: u64, cap: u64) -> Refusal {
        let range = format!("[{from:#x}, {good_to:#x}]");
        let (status, code, text) = match self {
            Self::Alchemy => (
                400,
                -32602,
                format!(
                    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of {cap} logs in the response. Based on your parameters and the response size limit, this block range should work: {range}"
                ),
            ),
            Self::Infura | Self::Tenderly | Self::Thirdweb => (
                200,
                -32005,
                format!(
                    "query returned more than {cap} results. Try with this block range {range}."
                ),
            ),
            Self::Reth => (
                200,
                -32602,
                format!("query exceeds max results {cap}, retry with the range {from}-{good_to}"),
            ),
            Self::QuickNode => {
                (413, -32602, "response size should not be greater than 150MB".to_owned())
            }
            Self::Geth => (200, -32003, "response too large".to_owned()),
            Self::Base => (413, -32011, "backend response too large".to_owned()),
            Self::Cloudflare => {
                (200, -32000, "query returns too many logs, try paginating".to_owned())
            }
            Self::Blast | Self::Chainstack => {
                (200, -32005, format!("logs matched by query exceeds limit of {cap}"))
            }
            Self::Besu | Self::Erigon | Self::Ankr | Self::Drpc | Self::Avalanche => {
                (200, -32005, format!("query returned more than {cap} results"))
            }
        };
        let mut refusal = Refusal::new(status, code, text);
        if self == Self::Infura {
            refusal.data =
                Some(format!("{{\"from\":\"{from:#x}\",\"to\":\"{good_to:#x}\",\"limit\":{cap}}}"));
        }
        refusal
    }
}
