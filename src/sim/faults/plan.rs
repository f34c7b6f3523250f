//! Which request meets which fault.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::kind::Fault;
use crate::sim::rng::Rng;

/// A fault and when it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    pub fault: Fault,
    /// Share of requests that it strikes, 0 to 1.
    pub rate: f64,
    /// Only these methods; empty for all.
    pub methods: Vec<String>,
    /// Requests before this one are spared (counted from 0 at the provider's start).
    pub first_request: u64,
    /// Only so many requests from there on.
    pub requests: Option<u64>,
}

impl FaultRule {
    /// Strikes each request with this rate.
    pub fn new(fault: Fault, rate: f64) -> Self {
        Self { fault, rate, methods: Vec::new(), first_request: 0, requests: None }
    }
}

/// Why a rule's text was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseFaultError(pub(in crate::sim) String);

impl FromStr for FaultRule {
    type Err = ParseFaultError;

    /// `NAME[=RATE][@METHOD[+METHOD...]]`, for instance `drop-log=0.01@eth_getLogs`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (head, methods) = match text.split_once('@') {
            Some((head, methods)) => (head, methods.split('+').map(str::to_owned).collect()),
            None => (text, Vec::new()),
        };
        let (name, rate) = match head.split_once('=') {
            Some((name, rate)) => {
                (name, rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)))
            }
            None => (head, Some(1.0)),
        };
        let fault = Fault::find(name).ok_or_else(|| {
            let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
            ParseFaultError(format!("unknown fault {name:?}; known: {}", names.join(", ")))
        })?;
        let rate = rate.ok_or_else(|| {
            ParseFaultError(format!("the rate of {name} must be a number from 0 to 1"))
        })?;
        Ok(Self { methods, ..Self::new(fault, rate) })
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.fault.name(), self.rate)?;
        if !self.methods.is_empty() {
            write!(f, "@{}", self.methods.join("+"))?;
        }
        Ok(())
    }
}

/// The rules of one provider, exchangeable while it runs, with counts of what struck.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    provider: u64,
    rules: RwLock<Arc<Vec<FaultRule>>>,
    rolled: AtomicU64,
    struck: [AtomicU64; Fault::ALL.len()],
}

impl Plan {
    pub(crate) fn new(seed: u64, provider: u64, rules: Vec<FaultRule>) -> Self {
        Self {
            seed,
            provider,
            rules: RwLock::new(Arc::new(rules)),
            rolled: AtomicU64::new(0),
            struck: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(crate) fn set(&self, rules: Vec<FaultRule>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    pub(crate) fn rules(&self) -> Arc<Vec<FaultRule>> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Dice for the next request.
    pub(crate) fn roll(&self) -> Dice<'_> {
        let request = self.rolled.fetch_add(1, Ordering::Relaxed);
        Dice { plan: self, rules: self.rules(), request }
    }

    /// Dice for something that is not a request and must not shift the others, named by `place`.
    pub(crate) fn roll_at(&self, place: u64) -> Dice<'_> {
        Dice { plan: self, rules: self.rules(), request: place }
    }

    /// The rate of the first rule for a fault, for faults that are about the data itself.
    pub(crate) fn rate(&self, fault: Fault) -> f64 {
        let rules = self.rules();
        rules.iter().find(|rule| rule.fault == fault).map_or(0.0, |rule| rule.rate)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.rolled.load(Ordering::Relaxed)
    }

    /// How often each fault has struck, those that have.
    pub(crate) fn struck(&self) -> Vec<(Fault, u64)> {
        let counts = Fault::ALL.iter().zip(&self.struck);
        counts
            .map(|(fault, count)| (*fault, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    pub(crate) fn count(&self, fault: Fault) {
        self.struck[fault as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// One request's luck. Asking twice gives the same answer.
#[derive(Debug, Clone)]
pub(crate) struct Dice<'a> {
    plan: &'a Plan,
    rules: Arc<Vec<FaultRule>>,
    request: u64,
}

impl Dice<'_> {
    /// True when no rule is set: nothing needs asking.
    pub(crate) fn is_clean(&self) -> bool {
        self.rules.is_empty()
    }

    /// True when the fault strikes this request; counted.
    pub(crate) fn hits(&self, fault: Fault, method: &str) -> bool {
        let hit = self.rules.iter().any(|rule| {
            rule.fault == fault
                && (rule.methods.is_empty() || rule.methods.iter().any(|name| name == method))
                && self.request >= rule.first_request
                && rule.requests.is_none_or(|count| self.request - rule.first_request < count)
                && self.rng(fault).chance(rule.rate)
        });
        if hit {
            self.plan.count(fault);
        }
        hit
    }

    /// Random words that belong to this request and fault.
    pub(crate) fn rng(&self, fault: Fault) -> Rng {
        Rng::new(&[self.plan.seed, self.plan.provider, self.request, fault as u64, 5])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_from_its_text() {
        let rule: FaultRule = "drop-log=0.25@eth_getLogs+eth_subscribe".parse().expect("good");
        assert_eq!(rule.to_string().parse(), Ok(rule.clone()));
        assert_eq!(rule.methods.len(), 2);
        assert_eq!("hang".parse(), Ok(FaultRule::new(Fault::Hang, 1.0)));
        for bad in ["hung", "hang=2", "hang=x", ""] {
            assert!(bad.parse::<FaultRule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn equal_seeds_strike_the_same_requests_and_others_do_not() {
        let struck = |seed| {
            let plan = Plan::new(seed, 0, vec![FaultRule::new(Fault::Reset, 0.3)]);
            (0..200).map(|_| plan.roll().hits(Fault::Reset, "eth_call")).collect::<Vec<_>>()
        };
        assert_eq!(struck(1), struck(1));
        assert_ne!(struck(1), struck(2));
        let hits = struck(1).iter().filter(|hit| **hit).count();
        assert!((30..90).contains(&hits), "{hits}");
    }

    #[test]
    fn a_scripted_rule_strikes_its_requests_only() {
        let rule =
            FaultRule { first_request: 2, requests: Some(3), ..FaultRule::new(Fault::Hang, 1.0) };
        let plan = Plan::new(1, 0, vec![rule]);
        let hits: Vec<_> = (0..7).map(|_| plan.roll().hits(Fault::Hang, "m")).collect();
        assert_eq!(hits, [false, false, true, true, true, false, false]);
        assert_eq!(plan.struck(), [(Fault::Hang, 3)]);
    }
}
