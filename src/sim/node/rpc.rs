//! JSON-RPC 2.0: envelopes, ids, batches – and what faults do to them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::logs::{LogJob, PIECE_BYTES, server_error};
use super::methods::{self, Answer};
use super::{Provider, lock};
use crate::sim::faults::{Dice, Fault, Refusal};

/// Items of one batch, where the provider's caps say nothing else; geth's own limit.
const BATCH_MAX: u64 = 1_000;
/// Answers that are put together in memory; larger ones are refused.
const BUFFERED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Pieces of a streamed answer that may wait for the client.
const PIECES_WAITING: usize = 4;

/// A call as it came.
#[derive(Debug, Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// What goes back.
#[derive(Debug)]
pub(super) enum Reply {
    /// A whole body with its HTTP status.
    Whole(u16, Vec<u8>),
    /// A body that is still being made.
    Pieces(mpsc::Receiver<Bytes>),
    /// Nothing but notifications.
    Nothing,
}

impl Request<'_> {
    pub(super) fn params(&self) -> Result<Vec<Value>, Refusal> {
        let Some(params) = self.params else { return Ok(Vec::new()) };
        serde_json::from_str(params.get())
            .map_err(|_| super::logs::invalid("non-array args".into()))
    }

    /// The id's own bytes; `null` when there is none.
    pub(super) fn id(&self) -> &[u8] {
        self.id.map_or(b"null", |id| id.get().as_bytes())
    }
}

/// Answers a body. `streams`: the transport can send pieces.
pub(super) async fn answer(
    provider: &Arc<Provider>,
    dice: &Dice<'_>,
    body: &[u8],
    streams: bool,
) -> Reply {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => batch(provider, dice, body).await,
        _ => match serde_json::from_slice::<Request<'_>>(body) {
            Ok(request) => single(provider, dice, &request, streams).await,
            Err(error) if error.is_data() => {
                Reply::Whole(200, error_body(b"null", &code(-32600, "invalid request")))
            }
            Err(_) => Reply::Whole(200, error_body(b"null", &code(-32700, "parse error"))),
        },
    }
}

async fn single(
    provider: &Arc<Provider>,
    dice: &Dice<'_>,
    request: &Request<'_>,
    streams: bool,
) -> Reply {
    let answered = run(provider, dice, request);
    if request.id.is_none() {
        return Reply::Nothing;
    }
    let id = sent_id(dice, request);
    match answered {
        Ok(Answer::Logs(job)) if streams && job.is_large() && !job.is_capped() => {
            Reply::Pieces(stream(job, open_result(&id)))
        }
        Ok(answer) => match whole(answer).await {
            Ok(result) => Reply::Whole(200, result_body(&id, &result)),
            Err(refusal) => Reply::Whole(refusal.status, error_body(&id, &refusal)),
        },
        Err(refusal) => Reply::Whole(refusal.status, error_body(&id, &refusal)),
    }
}

fn run(
    provider: &Arc<Provider>,
    dice: &Dice<'_>,
    request: &Request<'_>,
) -> Result<Answer, Refusal> {
    provider.count_call(&request.method);
    let params = request.params()?;
    methods::call(provider, dice, &request.method, &params)
}

/// The id that the answer carries: the request's own, unless struck.
fn sent_id(dice: &Dice<'_>, request: &Request<'_>) -> Vec<u8> {
    if !dice.is_clean() && dice.hits(Fault::WrongId, &request.method) {
        return dice.rng(Fault::WrongId).below(1 << 40).to_string().into_bytes();
    }
    request.id().to_vec()
}

/// The whole `result`, made off the runtime when it is large.
async fn whole(answer: Answer) -> Result<Vec<u8>, Refusal> {
    let job = match answer {
        Answer::Json(result) => return Ok(result),
        Answer::Logs(job) => job,
    };
    if !job.is_large() {
        return buffered(*job);
    }
    let made = tokio::task::spawn_blocking(move || buffered(*job)).await;
    made.unwrap_or_else(|_| Err(code(-32603, "the simulation was stopped")))
}

fn buffered(job: LogJob) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(4_096);
    let mut fits = true;
    job.run(&mut out, |out| {
        fits = out.len() <= BUFFERED_BYTES_MAX;
        fits
    })?;
    if fits { Ok(out) } else { Err(code(-32003, "response too large")) }
}

/// Buffers of one streamed answer, used in turn: fresh memory for each piece costs more than
/// filling it.
#[derive(Debug, Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

/// A full buffer on its way to the client.
struct Piece {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        lock(&self.home.0).push(buffer);
    }
}

/// Runs the job on its own thread; back-pressure by the channel.
fn stream(job: Box<LogJob>, opening: Vec<u8>) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    tokio::task::spawn_blocking(move || {
        let home = Arc::new(Buffers::default());
        let mut out = opening;
        let send = |out: &mut Vec<u8>| {
            let next = lock(&home.0).pop();
            let next = next.unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES * 2));
            let piece = Piece { buffer: std::mem::replace(out, next), home: Arc::clone(&home) };
            sender.blocking_send(Bytes::from_owner(piece)).is_ok()
        };
        // Uncapped, so it cannot be refused.
        let _ran = job.run(&mut out, send);
        out.push(b'}');
        // A client that left needs no closing brace.
        let _sent = sender.blocking_send(out.into());
    });
    receiver
}

async fn batch(provider: &Arc<Provider>, dice: &Dice<'_>, body: &[u8]) -> Reply {
    let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return Reply::Whole(200, error_body(b"null", &code(-32700, "parse error")));
    };
    if items.is_empty() {
        return Reply::Whole(200, error_body(b"null", &code(-32600, "empty batch")));
    }
    let cap = provider.settings.caps.batch_max.unwrap_or(BATCH_MAX);
    if items.len() as u64 > cap {
        return Reply::Whole(200, error_body(b"null", &code(-32600, "batch too large")));
    }
    let first = serde_json::from_str::<Request<'_>>(items[0].get());
    let method = first.map_or(Cow::Borrowed(""), |request| request.method);
    if !dice.is_clean() && dice.hits(Fault::BatchSingleError, &method) {
        return Reply::Whole(200, error_body(b"null", &server_error("backend unavailable")));
    }
    let mut answers = Vec::with_capacity(items.len());
    let mut bytes = 0;
    for item in items {
        let Ok(request) = serde_json::from_str::<Request<'_>>(item.get()) else {
            answers.push(error_body(b"null", &code(-32600, "invalid request")));
            continue;
        };
        let own = provider.plan.roll();
        if let Reply::Whole(_, answer) = Box::pin(single(provider, &own, &request, false)).await {
            bytes += answer.len();
            if bytes > BUFFERED_BYTES_MAX {
                let refusal = code(-32003, "response too large");
                answers.push(error_body(request.id(), &refusal));
                continue;
            }
            answers.push(answer);
        }
    }
    if answers.is_empty() {
        return Reply::Nothing;
    }
    if !dice.is_clean() {
        disturb(dice, &method, &mut answers);
    }
    let mut out = Vec::with_capacity(bytes + answers.len() + 2);
    out.push(b'[');
    for (at, answer) in answers.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(answer);
    }
    out.push(b']');
    Reply::Whole(200, out)
}

/// Faults about which items a batch's answer holds.
fn disturb(dice: &Dice<'_>, method: &str, answers: &mut Vec<Vec<u8>>) {
    let pick = |fault, count: usize| dice.rng(fault).place(count);
    if dice.hits(Fault::BatchMissing, method) {
        answers.remove(pick(Fault::BatchMissing, answers.len()));
    }
    if !answers.is_empty() && dice.hits(Fault::BatchDuplicate, method) {
        let again = answers[pick(Fault::BatchDuplicate, answers.len())].clone();
        answers.push(again);
    }
    if dice.hits(Fault::BatchShuffled, method) {
        let mut rng = dice.rng(Fault::BatchShuffled);
        for at in (1..answers.len()).rev() {
            answers.swap(at, rng.place(at + 1));
        }
    }
}

fn code(code: i64, message: &str) -> Refusal {
    Refusal { code, ..server_error(message) }
}

fn open_result(id: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":");
    out
}

pub(super) fn result_body(id: &[u8], result: &[u8]) -> Vec<u8> {
    let mut out = open_result(id);
    out.reserve(result.len() + 1);
    out.extend_from_slice(result);
    out.push(b'}');
    out
}

pub(super) fn error_body(id: &[u8], refusal: &Refusal) -> Vec<u8> {
    let message = Value::from(refusal.message.as_str());
    let data = refusal.data.as_ref().map_or(String::new(), |data| format!(",\"data\":{data}"));
    let mut out = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
    out.extend_from_slice(id);
    let code = refusal.code;
    out.extend_from_slice(
        format!(",\"error\":{{\"code\":{code},\"message\":{message}{data}}}}}").as_bytes(),
    );
    out
}
