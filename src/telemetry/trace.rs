//! Spans: one root per request, block or job; what happens below it hangs on it.
//!
//! A span is reported when its root ends. Without a reporter a root costs one atomic load.

use std::sync::atomic::{AtomicBool, Ordering};

use fastrace::Span;
use fastrace::collector::{Config, Reporter as Sink, SpanContext, SpanRecord};

/// Where finished spans go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reporter {
    /// Nowhere: spans are not even built.
    #[default]
    None,
    /// Into the log at debug level, target `rwahub::telemetry::trace`.
    Log,
}

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Sets where spans go, for the whole process.
pub fn init(reporter: Reporter) {
    if reporter == Reporter::Log {
        fastrace::set_reporter(LogReporter, Config::default());
        ENABLED.store(true, Ordering::Relaxed);
    }
}

/// Hands finished spans over before the process ends.
pub fn flush() {
    if ENABLED.load(Ordering::Relaxed) {
        fastrace::flush();
    }
}

/// Root of one client request. `route` is the pattern, not the path.
pub fn request(route: &'static str) -> Span {
    root(route)
}

/// Root of one block on its way from the node to the store.
pub fn block(chain: &str, number: u64) -> Span {
    if !ENABLED.load(Ordering::Relaxed) {
        return Span::noop();
    }
    root("block").with_properties(|| [("chain", chain.to_owned()), ("block", number.to_string())])
}

/// Root of one piece of background work.
pub fn job(name: &'static str) -> Span {
    root(name)
}

fn root(name: &'static str) -> Span {
    if ENABLED.load(Ordering::Relaxed) {
        Span::root(name, SpanContext::random())
    } else {
        Span::noop()
    }
}

struct LogReporter;

impl Sink for LogReporter {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        for span in spans {
            let micros = span.duration_ns / 1000;
            let trace = format!("{:032x}", span.trace_id.0);
            log::debug!(trace:% = trace, micros, properties:? = span.properties; "span {}", span.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_reporter_no_span_is_built() {
        init(Reporter::None);
        assert!(SpanContext::from_span(&block("main", 7)).is_none());
        assert!(SpanContext::from_span(&request("/api/v1/status")).is_none());
        flush();
    }
}
