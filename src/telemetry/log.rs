//! Log lines on standard error: text for people or one JSON object a line, with fields.
//!
//! Rooms use the `log` macros with fields (`log::warn!(provider = name, block; "head fell back")`).
//! URLs lose everything behind their host on the way out, because node URLs hold keys and errors of
//! libraries quote them.

use std::borrow::Cow;
use std::io::Write;

use env_logger::fmt::Formatter;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};

use super::errors::{self, Complaint};
use super::trace;
use crate::config::{LogFormat, Telemetry};
use crate::types::clock::{Clock, SystemClock};

/// Logging was set up twice.
#[derive(Debug, thiserror::Error)]
#[error("a logger is installed already")]
pub struct LogError;

/// Logs of the whole process go to standard error from here on.
pub fn init(config: &Telemetry) -> Result<(), LogError> {
    init_to(config, Box::new(std::io::stderr()))
}

/// Same, but through `out`: whoever draws a progress bar must step aside for a line.
pub fn init_to(config: &Telemetry, out: Box<dyn Write + Send>) -> Result<(), LogError> {
    builder(config, out).try_init().map_err(|_| LogError)
}

fn builder(config: &Telemetry, out: Box<dyn Write + Send>) -> env_logger::Builder {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&config.log_level).target(env_logger::Target::Pipe(out));
    match config.log_format {
        LogFormat::Text => builder.format(text),
        LogFormat::Json => builder.format(json),
    };
    builder
}

/// `2026-01-31T12:00:00.000Z WARN  rpc::pool head fell back provider=a block=7`
fn text(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let time = out.timestamp_millis();
    let message = record.args().to_string();
    let module = module(record.target());
    let trace_id = trace::current_id();
    note(record, module, &message, trace_id.as_deref());
    let mut fields = Fields::default();
    record.key_values().visit(&mut fields).unwrap_or_default();
    if let Some(id) = trace_id {
        fields.0.push(("trace_id".to_owned(), id.into()));
    }
    write!(out, "{time} {:<5} {module} {}", record.level(), one_line(&redact(&message)))?;
    for (name, value) in fields.0 {
        let value = match value {
            serde_json::Value::String(text) if text.contains([' ', '"', '=', '\n']) => {
                format!("{text:?}")
            }
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        write!(out, " {name}={value}")?;
    }
    writeln!(out)
}

/// `{"ts":"…","level":"warn","room":"rpc","module":"rpc::pool","msg":"…","fields":{…}}`
fn json(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let module = module(record.target());
    let message = record.args().to_string();
    let trace_id = trace::current_id();
    note(record, module, &message, trace_id.as_deref());
    let mut fields = Fields::default();
    record.key_values().visit(&mut fields).unwrap_or_default();
    let mut line = serde_json::json!({
        "ts": out.timestamp_millis().to_string(),
        "level": match record.level() {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        },
        "room": module.split("::").next(),
        "module": module,
        "msg": redact(&message),
        "fields": fields.0.into_iter().collect::<serde_json::Map<_, _>>(),
    });
    if let (Some(id), Some(line)) = (trace_id, line.as_object_mut()) {
        line.insert("trace_id".to_owned(), id.into());
    }
    writeln!(out, "{line}")
}

/// Complaints are counted and grouped.
fn note(record: &Record<'_>, module: &str, message: &str, trace_id: Option<&str>) {
    if record.level() <= Level::Warn {
        let (level, text, now) = (record.level(), redact(message), SystemClock.now());
        errors::note(&Complaint { level, module, text: &text, trace_id, now });
    }
}

/// A module's path as the reader knows it: without the crate's name.
fn module(target: &str) -> &str {
    target.strip_prefix("rwahub::").unwrap_or(target)
}

/// A message from outside must not forge a second line.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) {
        Cow::Owned(text.replace('\n', "\\n").replace('\r', "\\r"))
    } else {
        Cow::Borrowed(text)
    }
}

#[derive(Default)]
struct Fields(Vec<(String, serde_json::Value)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = if let Some(number) = value.to_u64() {
            number.into()
        } else if let Some(number) = value.to_i64() {
            number.into()
        } else if let Some(truth) = value.to_bool() {
            truth.into()
        } else if let Some(number) = value.to_f64() {
            number.into()
        } else {
            redact(&value.to_string()).into_owned().into()
        };
        self.0.push((key.as_str().to_owned(), value));
        Ok(())
    }
}

/// Cuts user, password, path and query out of every URL in a text. Loopback URLs stay whole: they
/// lead to this machine and are what a person copies.
pub fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`|\\^{}".contains(c));
        let (url, tail) = after.split_at_checked(end.unwrap_or(after.len())).unwrap_or((after, ""));
        out.push_str(before);
        out.push_str("://");
        out.push_str(&shortened(url));
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn shortened(url: &str) -> Cow<'_, str> {
    let authority = url.split(['/', '?', '#', ',', ')']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_local = ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| {
        host.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    });
    let hidden = url.get(authority.len()..).unwrap_or_default();
    if host == authority && (is_local || hidden.len() <= 1) {
        return Cow::Borrowed(url);
    }
    Cow::Owned(format!("{host}/…"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use log::Log;

    use super::*;

    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("alone").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(log_format: LogFormat, message: std::fmt::Arguments<'_>) -> String {
        let pipe = Pipe::default();
        let config = Telemetry {
            metrics_listen: ([127, 0, 0, 1], 0).into(),
            log_format,
            log_level: "info,rwahub::rpc=warn".to_owned(),
            otlp_endpoint: None,
        };
        let logger = builder(&config, Box::new(pipe.clone())).build();
        let fields = [("provider", Value::from("a b")), ("block", Value::from(7u64))];
        let mut record = Record::builder();
        record.level(Level::Warn).target("rwahub::rpc::pool").key_values(&fields).args(message);
        logger.log(&record.build());
        logger.log(&record.level(Level::Info).build());
        let bytes = pipe.0.lock().expect("alone").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn text_lines_carry_fields_and_stay_one_line() {
        let line = line(LogFormat::Text, format_args!("head\nfell back"));
        let (time, rest) = line.split_once(' ').expect("a time first");
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        assert_eq!(rest, "WARN  rpc::pool head\\nfell back provider=\"a b\" block=7\n");
    }

    #[test]
    fn json_lines_are_one_object_each() {
        let line = line(LogFormat::Json, format_args!("at https://node.example/v3/SECRET: \"x\""));
        let value: serde_json::Value = serde_json::from_str(&line).expect("one object");
        assert_eq!(value["level"], "warn");
        assert_eq!(value["room"], "rpc");
        assert_eq!(value["module"], "rpc::pool");
        assert_eq!(value["msg"], "at https://node.example/… \"x\"");
        assert_eq!(value["fields"]["block"], 7);
    }

    #[test]
    fn urls_lose_what_may_be_a_key() {
        for (text, expected) in [
            ("no url", "no url"),
            ("wss://u:p@node.example:443/k?x=1 failed", "wss://node.example:443/… failed"),
            ("mongodb://root:pw@db", "mongodb://db/…"),
            ("see https://node.example/", "see https://node.example/"),
            (
                "(https://a.example/KEY) (http://b.example)",
                "(https://a.example/… (http://b.example)",
            ),
            ("http://127.0.0.1:8080/api/v1 is up", "http://127.0.0.1:8080/api/v1 is up"),
            ("http://127.0.0.1.evil.example/KEY", "http://127.0.0.1.evil.example/…"),
            ("https://node.example?key=SECRET", "https://node.example/…"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}
