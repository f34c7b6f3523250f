//! Spans: one root per request, block or job; what happens below it hangs on it.
//!
//! A span is reported when its root ends. Without a reporter a root costs one atomic load.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrace::Span;
use fastrace::collector::{Config, Reporter as Sink, SpanContext, SpanRecord};
use fastrace_opentelemetry::OpenTelemetryReporter;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;

/// How long a collector may take for a batch: spans wait meanwhile, in the memory of this process.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where finished spans go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reporter {
    /// Nowhere: spans are not even built.
    #[default]
    None,
    /// Into the log at debug level, target `rwahub::telemetry::trace`.
    Log,
    /// To a collector that speaks OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`.
    Otlp { endpoint: String },
}

/// The exporter cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("no trace exporter: {0}")]
pub struct TraceError(#[from] opentelemetry_otlp::ExporterBuildError);

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Sets where spans go, for the whole process. For [`Reporter::Otlp`] inside the runtime that sends.
pub fn init(reporter: Reporter) -> Result<(), TraceError> {
    match reporter {
        Reporter::None => return Ok(()),
        Reporter::Log => fastrace::set_reporter(LogReporter, Config::default()),
        Reporter::Otlp { endpoint } => fastrace::set_reporter(otlp(endpoint)?, Config::default()),
    }
    ENABLED.store(true, Ordering::Relaxed);
    Ok(())
}

fn otlp(endpoint: String) -> Result<OpenTelemetryReporter, TraceError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let version = env!("CARGO_PKG_VERSION");
    let service =
        [KeyValue::new("service.name", "rwahub"), KeyValue::new("service.version", version)];
    let resource = Resource::builder_empty().with_attributes(service).build();
    let scope = InstrumentationScope::builder("rwahub").with_version(version).build();
    // The collector's own thread waits here; the sending happens on the runtime.
    let runtime = tokio::runtime::Handle::current();
    Ok(OpenTelemetryReporter::new(exporter, Cow::Owned(resource), scope)
        .with_block_on(move |sending| runtime.block_on(sending)))
}

/// Hands finished spans over before the process ends. Blocks; not for an async thread.
pub fn flush() {
    if ENABLED.load(Ordering::Relaxed) {
        fastrace::flush();
    }
}

/// Root of one client request. `route` is the pattern, not the path; `traceparent` the caller's header
/// (W3C Trace Context), whose trace goes on if it is well-formed.
pub fn request(route: &str, traceparent: Option<&str>) -> Span {
    if !ENABLED.load(Ordering::Relaxed) {
        return Span::noop();
    }
    let context = traceparent.and_then(SpanContext::decode_w3c_traceparent);
    Span::root(route.to_owned(), context.unwrap_or_else(SpanContext::random))
        .with_property(|| ("span.kind", "server"))
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

/// The trace of a span, in hex.
pub fn id(span: &Span) -> Option<String> {
    SpanContext::from_span(span).map(|context| format!("{:032x}", context.trace_id.0))
}

/// The trace that the running code belongs to, in hex.
pub fn current_id() -> Option<String> {
    if !ENABLED.load(Ordering::Relaxed) {
        return None;
    }
    SpanContext::current_local_parent().map(|context| format!("{:032x}", context.trace_id.0))
}

/// The header that carries the running trace to another program.
pub fn traceparent() -> Option<String> {
    if !ENABLED.load(Ordering::Relaxed) {
        return None;
    }
    SpanContext::current_local_parent().map(|context| context.encode_w3c_traceparent())
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
        init(Reporter::None).expect("nothing to make");
        assert!(SpanContext::from_span(&block("main", 7)).is_none());
        assert!(id(&request("/api/v1/status", None)).is_none());
        assert!(current_id().is_none() && traceparent().is_none());
        flush();
    }
}
