//! What a simulated chain is made of, as plain data with defaults.
//!
//! Reads no command line and no file: `cli` fills this struct, tests fill it by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use super::faults::{Caps, FaultRule, ParseFaultError};

/// Most logs a generated block may hold; transactions are numbered with 16 bits.
pub(super) const LOGS_PER_BLOCK_MAX: u32 = 50_000;
/// Most token contracts.
pub(super) const CONTRACTS_MAX: u32 = 50_000;
/// Most pairs of token and holder; every balance is kept as 16 bytes, and 64 copies at most.
pub(super) const PAIRS_MAX: u64 = 4_000_000;
/// Most blocks of a chain; the indices count with 32 bits.
pub(super) const BLOCKS_MAX: u64 = 50_000_000;
/// Most blocks that one fork may orphan.
pub(super) const FORK_DEPTH_MAX: u64 = 10_000;
/// Most providers of one world.
pub(super) const PROVIDERS_MAX: usize = 64;

/// A simulated chain and the providers that serve it. `Settings::default()` is a small live chain
/// of one honest provider on a free loopback port.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Names the chain: equal settings give equal blocks, hashes, forks and faults.
    pub seed: u64,
    /// `eth_chainId`.
    pub chain_id: u64,
    /// Height of the head at start; block 0 is the genesis, block 1 deploys the tokens.
    pub blocks: u64,
    /// Logs of every block from block 2 on.
    pub logs_per_block: u32,
    /// Token contracts (each with an identity registry and a compliance contract).
    pub contracts: u32,
    /// Accounts that hold every token.
    pub holders: u32,
    /// Share of `Transfer` among the logs, mints and burns included; at least 13.
    pub transfer_percent: u8,
    /// Share of ERC-3643 events; 0 also leaves block 1 without logs. What is left are `Approval`s.
    pub erc3643_percent: u8,
    /// Share of logs that trip careless readers: ERC-721 transfers, `Transfer` without indexed
    /// arguments, anonymous events.
    pub odd_percent: u8,
    /// Blocks whose height is a multiple of this have no transaction at all; 0 for none.
    pub quiet_every: u64,
    /// Time between blocks: of their timestamps, and of live mining.
    pub block_time: Duration,
    /// Timestamp of the genesis, seconds since the Unix epoch.
    pub genesis_timestamp: u64,
    /// Mine a block each `block_time`. Off: only `mine` moves the head.
    pub live: bool,
    /// `finalized` stays this many blocks behind the head.
    pub finalized_depth: u64,
    /// `safe` stays this many blocks behind the head.
    pub safe_depth: u64,
    /// Forks at fixed heights.
    pub forks: Vec<ForkPlan>,
    /// Forks drawn from the seed.
    pub random_forks: Option<RandomForks>,
    /// `blockTimestamp` in every log, as geth and reth send it.
    pub log_timestamps: bool,
    /// Where every port is bound. Loopback unless set otherwise.
    pub listen: IpAddr,
    /// Port of the control and truth server; 0 picks a free one.
    pub control_port: u16,
    /// One listener each.
    pub providers: Vec<ProviderSettings>,
}

/// One simulated provider.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProviderSettings {
    /// 0 picks a free port.
    pub port: u16,
    /// What goes wrong, and how often.
    pub faults: Vec<FaultRule>,
    /// Limits of `eth_getLogs` and the words in which they are refused.
    pub caps: Caps,
    /// Added to every answer.
    pub latency: Duration,
    /// Random part added on top of `latency`, at most this much.
    pub jitter: Duration,
    /// This provider's head trails the chain by so many blocks.
    pub lag_blocks: u64,
}

/// A fork at a fixed height: when the head reaches `at`, the last `depth` blocks are orphaned and
/// `length` new ones take their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkPlan {
    pub at: u64,
    pub depth: u64,
    pub length: u64,
}

/// Forks drawn from the seed while the chain grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomForks {
    /// One fork in so many new blocks, on average.
    pub every_blocks: u64,
    /// Depths are drawn from 1 to this.
    pub depth_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            chain_id: 31_337,
            blocks: 1_000,
            logs_per_block: 10,
            contracts: 50,
            holders: 1_000,
            transfer_percent: 67,
            erc3643_percent: 8,
            odd_percent: 0,
            quiet_every: 0,
            block_time: Duration::from_secs(2),
            genesis_timestamp: 1_700_000_000,
            live: true,
            finalized_depth: 64,
            safe_depth: 32,
            forks: Vec::new(),
            random_forks: None,
            log_timestamps: true,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            control_port: 0,
            providers: vec![ProviderSettings::default()],
        }
    }
}

/// Numbers between colons.
fn numbers<const N: usize>(text: &str, form: &str) -> Result<[u64; N], ParseFaultError> {
    let parsed: Option<Vec<u64>> = text.split(':').map(|number| number.parse().ok()).collect();
    let parsed = parsed.and_then(|numbers| <[u64; N]>::try_from(numbers).ok());
    parsed.ok_or_else(|| ParseFaultError(format!("{text:?} is not of the form {form}")))
}

impl FromStr for ForkPlan {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let [at, depth, length] = numbers(text, "HEIGHT:DEPTH:LENGTH")?;
        Ok(Self { at, depth, length })
    }
}

impl FromStr for RandomForks {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let [every_blocks, depth_max] = numbers(text, "EVERY_BLOCKS:DEPTH_MAX")?;
        Ok(Self { every_blocks, depth_max })
    }
}

impl Settings {
    /// Adds a fault from its text: for every provider, or with `N:` in front for provider N.
    pub fn add_fault(&mut self, text: &str) -> Result<(), ParseFaultError> {
        let numbered = text
            .split_once(':')
            .and_then(|(number, rule)| number.parse::<usize>().ok().map(|number| (number, rule)));
        match numbered {
            None => {
                let rule: FaultRule = text.parse()?;
                self.providers.iter_mut().for_each(|one| one.faults.push(rule.clone()));
            }
            Some((number, rule)) => {
                let count = self.providers.len();
                let provider = self.providers.get_mut(number).ok_or_else(|| {
                    ParseFaultError(format!("no provider {number}; there are {count} from 0"))
                })?;
                provider.faults.push(rule.parse()?);
            }
        }
        Ok(())
    }

    /// Everything that is wrong with the settings, each with its field.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |good: bool, text: String| {
            if !good {
                faults.push(text);
            }
        };
        must(self.blocks <= BLOCKS_MAX, format!("blocks: at most {BLOCKS_MAX}"));
        must(
            self.logs_per_block <= LOGS_PER_BLOCK_MAX,
            format!("logs_per_block: at most {LOGS_PER_BLOCK_MAX}"),
        );
        must(
            (1..=CONTRACTS_MAX).contains(&self.contracts),
            format!("contracts: 1 to {CONTRACTS_MAX}"),
        );
        must(self.holders >= 2, "holders: at least 2".into());
        must(
            u64::from(self.contracts) * u64::from(self.holders) <= PAIRS_MAX,
            format!("contracts x holders: at most {PAIRS_MAX}"),
        );
        must(
            (13..=100).contains(&self.transfer_percent)
                && u32::from(self.transfer_percent)
                    + u32::from(self.erc3643_percent)
                    + u32::from(self.odd_percent)
                    <= 100,
            "transfer_percent: 13 to 100, and at most 100 together with the other shares".into(),
        );
        must(!self.block_time.is_zero(), "block_time: above zero".into());
        must(
            (1..=PROVIDERS_MAX).contains(&self.providers.len()),
            format!("providers: 1 to {PROVIDERS_MAX}"),
        );
        let depths = self.forks.iter().map(|fork| fork.depth);
        let depth_max = depths.chain(self.random_forks.map(|forks| forks.depth_max)).max();
        must(
            depth_max.unwrap_or(0) <= FORK_DEPTH_MAX,
            format!("fork depth: at most {FORK_DEPTH_MAX}"),
        );
        must(
            self.forks.iter().all(|fork| fork.length > 0 && fork.depth < fork.at),
            "forks: a fork needs at least one new block and must leave block 1 alone".into(),
        );
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults::Vendor;
    use super::*;

    #[test]
    fn texts_of_the_command_line_are_read_or_refused_with_their_form() {
        assert_eq!("12:3:5".parse(), Ok(ForkPlan { at: 12, depth: 3, length: 5 }));
        assert_eq!("20:6".parse(), Ok(RandomForks { every_blocks: 20, depth_max: 6 }));
        let error = "20".parse::<RandomForks>().expect_err("one number").to_string();
        assert!(error.contains("EVERY_BLOCKS:DEPTH_MAX"), "{error}");
        let caps: Caps = "alchemy::10000".parse().expect("good");
        assert_eq!(
            caps,
            Caps { vendor: Vendor::Alchemy, results_max: Some(10_000), ..Caps::default() }
        );
        assert!("nobody:1".parse::<Caps>().is_err());
        assert!("geth:many".parse::<Caps>().is_err());
    }

    #[test]
    fn a_fault_goes_to_all_providers_or_to_one() {
        let mut settings =
            Settings { providers: vec![ProviderSettings::default(); 2], ..Settings::default() };
        settings.add_fault("hang=0.5").expect("good");
        settings.add_fault("1:drop-log").expect("good");
        let faults: Vec<_> = settings.providers.iter().map(|one| one.faults.len()).collect();
        assert_eq!(faults, [1, 2]);
        assert!(settings.add_fault("2:hang").is_err());
        assert!(settings.add_fault("0:hung").is_err());
    }

    #[test]
    fn every_wrong_setting_is_named() {
        let wrong = Settings {
            contracts: 0,
            holders: 1,
            transfer_percent: 95,
            block_time: Duration::ZERO,
            providers: Vec::new(),
            ..Settings::default()
        };
        let faults = wrong.faults();
        for field in ["contracts", "holders", "transfer_percent", "block_time", "providers"] {
            assert!(faults.iter().any(|fault| fault.starts_with(field)), "{field}: {faults:?}");
        }
        assert_eq!(Settings::default().faults(), Vec::<String>::new());
    }
}
