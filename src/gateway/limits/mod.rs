//! How much one caller without a key may ask: a generic cell rate (GCRA) per address, weighted by
//! what a request costs us.
//!
//! In this process only; quotas shared between gateways come with sign-in. A proxy's address is one
//! caller, so loopback is exempt: there sits a proxy that limits its own callers, or the operator.

pub(in crate::gateway) mod rpc;

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use dashmap::DashMap;
use tokio::time::Instant;

use super::auth::Identity;
use super::error::{Class, Problem, secs_up};

/// Cost units a caller earns per second: a page of a front end asks about ten things.
const UNITS_PER_SEC: u32 = 50;
/// Units a caller may spend at once: a script that reads a few thousand rows in pages is not stopped.
const UNITS_BURST: u32 = 300;
/// What somebody who signed in or a key has, in times of that.
const SUBJECT_TIMES: u32 = 4;
/// A list, a token, a status.
pub(in crate::gateway) const COST_READ: u32 = 1;
/// Opening a stream, which holds a socket.
pub(in crate::gateway) const COST_STREAM: u32 = 10;
/// An export, up to a million rows.
pub(in crate::gateway) const COST_EXPORT: u32 = 100;
/// A sign-in: a signature to check, perhaps by asking a node. Also a wrong credential.
pub(in crate::gateway) const COST_SIGN_IN: u32 = 10;
/// Callers remembered, about 5 MB. Beyond it, newcomers share one allowance, never none or any.
const CALLERS_MAX: usize = 65_536;
/// Prefix that one IPv6 subscriber holds: all its addresses are one caller.
const IPV6_PREFIX_BITS: u32 = 64;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The caller behind an address: IPv4 as it is (also when mapped into IPv6), IPv6 by its /64.
pub(in crate::gateway) fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let prefix = v6.to_bits() >> (128 - IPV6_PREFIX_BITS) << (128 - IPV6_PREFIX_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        other => other,
    }
}

/// Who asks, as far as limits care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum Caller {
    Address(IpAddr),
    /// A person or a key, by a hash of its name: wherever it calls from, it is one.
    Subject(u64),
    /// In-process, or through a proxy on this machine.
    Exempt,
}

/// Hashes names with a key of this process, so that nobody can aim at another's place.
static SUBJECTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Caller {
    /// Key or person first, then address; loopback without a proxy of ours in between is exempt.
    pub(in crate::gateway) fn of(
        identity: Option<&Identity>,
        client: Option<IpAddr>,
        peer: Option<IpAddr>,
    ) -> Self {
        if let Some(identity) = identity {
            return Self::Subject(SUBJECTS.hash_one(identity.subject()));
        }
        match client.map(key) {
            Some(address) if !address.is_loopback() || client != peer => Self::Address(address),
            _ => Self::Exempt,
        }
    }

    /// How many times the allowance of an address this caller has.
    fn times(self) -> u32 {
        if matches!(self, Self::Subject(_)) { SUBJECT_TIMES } else { 1 }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    /// As the gate found it.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self::Exempt))
    }
}

/// What a caller has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Standing {
    /// Units per second and at once, in times of what an address has.
    times: u32,
    remaining: u32,
    /// Until the whole burst is there again.
    reset: Duration,
    /// How long to wait before the same request passes; `None`: it passed.
    wait: Option<Duration>,
}

impl Standing {
    /// The problem of a request that did not pass.
    pub(in crate::gateway) fn problem(&self) -> Option<Problem> {
        let wait = self.wait?;
        let (rate, burst) = (UNITS_PER_SEC * self.times, UNITS_BURST * self.times);
        let detail = format!(
            "you have {rate} requests per second and {burst} at once (a stream counts {COST_STREAM}, \
             an export {COST_EXPORT}, a heavy RPC call up to 20); slow down"
        );
        Some(Problem::new(Class::RateLimited, detail).retry_after(wait))
    }

    pub(in crate::gateway) fn write(&self, headers: &mut HeaderMap) {
        let window = UNITS_BURST.div_ceil(UNITS_PER_SEC);
        let burst = UNITS_BURST * self.times;
        let policy = format!("{burst};w={window}");
        headers.insert(LIMIT, HeaderValue::from(burst));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(secs_up(self.reset)));
        if let Ok(value) = HeaderValue::try_from(policy) {
            headers.insert(POLICY, value);
        }
    }
}

/// The allowances.
#[derive(Debug)]
pub(in crate::gateway) struct Limiter {
    begun: Instant,
    /// Per caller: when its allowance will be whole again, in nanoseconds since `begun`.
    whole_at: DashMap<Caller, u64>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { begun: Instant::now(), whole_at: DashMap::new() }
    }
}

/// Nanoseconds in which one unit is earned.
const UNIT_NS: u64 = 1_000_000_000 / UNITS_PER_SEC as u64;
/// Nanoseconds in which the whole burst is earned.
const BURST_NS: u64 = UNIT_NS * UNITS_BURST as u64;
/// Where newcomers go while the table is full.
const NEWCOMERS: Caller = Caller::Address(IpAddr::V6(Ipv6Addr::UNSPECIFIED));

impl Limiter {
    /// Takes `cost` units from the caller's allowance; `None` for one without limits.
    pub(in crate::gateway) fn charge(&self, caller: Caller, cost: u32) -> Option<Standing> {
        if caller == Caller::Exempt {
            return None;
        }
        let times = caller.times();
        // What weighs more than the whole allowance passes when all of it is there.
        let cost = cost.min(UNITS_BURST * times);
        let unit_ns = UNIT_NS / u64::from(times);
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut whole_at = self.whole_at.entry(self.place(caller, now)).or_insert(now);
        let begin = (*whole_at).max(now);
        let after = begin.saturating_add(unit_ns.saturating_mul(u64::from(cost)));
        let owed = after - now;
        let wait = owed.checked_sub(BURST_NS).filter(|over| *over > 0).map(Duration::from_nanos);
        if wait.is_none() {
            *whole_at = after;
        }
        let owed = (*whole_at).saturating_sub(now);
        let left = BURST_NS.saturating_sub(owed) / unit_ns;
        let remaining = u32::try_from(left).unwrap_or(UNITS_BURST);
        Some(Standing { times, remaining, reset: Duration::from_nanos(owed), wait })
    }

    /// The caller's own place, or the common one when the table is full even without those who
    /// have been quiet long enough to be whole.
    fn place(&self, caller: Caller, now: u64) -> Caller {
        if self.whole_at.len() < CALLERS_MAX || self.whole_at.contains_key(&caller) {
            return caller;
        }
        self.whole_at.retain(|_, whole_at| *whole_at > now);
        if self.whole_at.len() < CALLERS_MAX { caller } else { NEWCOMERS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(text: &str) -> Caller {
        Caller::Address(key(text.parse().unwrap()))
    }

    #[test]
    fn an_ipv6_subscriber_is_one_caller() {
        let of = |text: &str| key(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::5"), of("2001:db8:0:1:ffff::9"));
        assert_ne!(of("2001:db8:0:1::5"), of("2001:db8:0:2::5"));
        assert_eq!(of("::ffff:203.0.113.7"), of("203.0.113.7"));
        assert!(of("::1").is_loopback());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_the_rate_holds_exactly() {
        let limiter = Limiter::default();
        let one = caller("203.0.113.7");
        for left in (0..UNITS_BURST).rev() {
            let standing = limiter.charge(one, COST_READ).unwrap();
            assert_eq!((standing.remaining, standing.wait), (left, None));
        }
        let refused = limiter.charge(one, COST_READ).unwrap();
        assert_eq!(refused.wait, Some(Duration::from_nanos(UNIT_NS)));
        assert!(limiter.charge(caller("203.0.113.8"), COST_READ).unwrap().wait.is_none());
        let mut passed = 0;
        for _ in 0..10_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            passed += u32::from(limiter.charge(one, COST_READ).unwrap().wait.is_none());
        }
        assert_eq!(passed, UNITS_PER_SEC * 10, "refusals cost nothing and nothing is gained");
    }

    #[tokio::test(start_paused = true)]
    async fn a_costly_request_weighs_and_a_wait_that_is_kept_passes() {
        let limiter = Limiter::default();
        let one = caller("203.0.113.7");
        for _ in 0..UNITS_BURST / COST_EXPORT {
            assert!(limiter.charge(one, COST_EXPORT).unwrap().wait.is_none());
        }
        let wait = limiter.charge(one, COST_EXPORT).unwrap().wait.unwrap();
        assert_eq!(wait, Duration::from_secs(2));
        tokio::time::advance(wait).await;
        assert!(limiter.charge(one, COST_EXPORT).unwrap().wait.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_neither_grows_nor_lets_everyone_in() {
        let limiter = Limiter::default();
        let nth = |at: u32| Caller::Address(IpAddr::V4(at.into()));
        let most = u32::try_from(CALLERS_MAX).unwrap();
        for at in 0..most + UNITS_BURST {
            assert!(limiter.charge(nth(at), COST_READ).unwrap().wait.is_none());
        }
        assert!(limiter.charge(nth(u32::MAX), COST_READ).unwrap().wait.is_some());
        assert!(limiter.charge(nth(0), COST_READ).unwrap().wait.is_none(), "the known keep theirs");
        assert!(limiter.whole_at.len() <= CALLERS_MAX + 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(limiter.charge(nth(u32::MAX), COST_READ).unwrap().wait.is_none());
        assert!(limiter.whole_at.len() <= 2, "the quiet are forgotten");
    }
}
