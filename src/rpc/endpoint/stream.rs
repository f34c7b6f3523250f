//! An answer too large to keep: its result as it arrives, checked on the way.
//!
//! Whoever asks hands a [`Spill`] along with the call. An answer that outgrows it is left there, open;
//! the connection to the node then goes only as fast as the result is read.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::envelope::Envelope;

/// A node that sends nothing for this long in the middle of an answer is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Compressed bytes unpacked at once: they may become a thousand times as many.
const ZIPPED_BYTES_MAX: usize = 4 * 1024;

/// Where an answer goes that is larger than whoever asks wants to hold.
#[derive(Debug)]
pub struct Spill {
    above: usize,
    /// First byte that the result must have: a wrong answer is better refused than passed on.
    opens_with: Option<u8>,
    open: Mutex<Option<ResultStream>>,
}

impl Spill {
    /// Takes answers of more than `above` bytes.
    pub fn above(above: usize, opens_with: Option<u8>) -> Arc<Self> {
        Arc::new(Self { above, opens_with, open: Mutex::new(None) })
    }

    /// The answer that outgrew the limit. The call it belongs to then had an empty result.
    pub fn take(&self) -> Option<ResultStream> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn limit(&self) -> usize {
        self.above
    }

    /// Of two equal questions under way the later answer replaces the earlier: either is right.
    pub(super) fn put(&self, stream: ResultStream) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }
}

/// A body as plain bytes, piece by piece.
#[derive(Debug)]
pub(super) struct Reader {
    name: Arc<str>,
    body: Incoming,
    unzip: Option<MultiGzDecoder<Vec<u8>>>,
    zipped: Bytes,
    ended: bool,
}

impl Reader {
    pub(super) fn new(name: Arc<str>, body: Incoming, zipped: bool) -> Self {
        let unzip = zipped.then(|| MultiGzDecoder::new(Vec::new()));
        Self { name, body, unzip, zipped: Bytes::new(), ended: false }
    }

    /// The next piece; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RpcError> {
        loop {
            if let Some(plain) = self.unzipped()? {
                return Ok(Some(plain));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                None => {
                    self.ended = true;
                    if let Some(unzip) = &mut self.unzip {
                        unzip.try_finish().map_err(|error| broken_zip(&self.name, &error))?;
                        let last = std::mem::take(unzip.get_mut());
                        if !last.is_empty() {
                            return Ok(Some(last.into()));
                        }
                    }
                }
                Some(Ok(frame)) => match (frame.into_data(), &self.unzip) {
                    (Ok(data), Some(_)) => self.zipped = data,
                    (Ok(data), None) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
                Some(Err(error)) => {
                    let text = format!("connection lost in the middle of an answer: {error}");
                    return Err(RpcError::new(ErrorClass::Unreachable, &self.name, text));
                }
            }
        }
    }

    fn unzipped(&mut self) -> Result<Option<Bytes>, RpcError> {
        let Some(unzip) = &mut self.unzip else { return Ok(None) };
        while !self.zipped.is_empty() {
            let some = self.zipped.split_to(self.zipped.len().min(ZIPPED_BYTES_MAX));
            unzip.write_all(&some).map_err(|error| broken_zip(&self.name, &error))?;
            let plain = std::mem::take(unzip.get_mut());
            if !plain.is_empty() {
                return Ok(Some(plain.into()));
            }
        }
        Ok(None)
    }
}

fn broken_zip(name: &Arc<str>, error: &std::io::Error) -> RpcError {
    let text = format!("gzip body cannot be read: {error}");
    RpcError::new(ErrorClass::BadAnswer, name, text)
}

/// The result of one answer while it arrives.
#[derive(Debug)]
pub struct ResultStream {
    name: Arc<str>,
    reader: Reader,
    envelope: Envelope,
    id: u64,
    /// What came before it was known to be large.
    begun: VecDeque<Bytes>,
    ended: bool,
}

impl ResultStream {
    /// Goes on from what was read already, which must be the beginning of an answer with a result.
    pub(super) fn begin(
        reader: Reader,
        chunks: Vec<Bytes>,
        (spill, id): (&Spill, u64),
        name: &Arc<str>,
    ) -> Result<Self, RpcError> {
        let (mut envelope, mut begun) = (Envelope::new(), VecDeque::new());
        for chunk in chunks {
            let part =
                envelope.feed(&chunk).map_err(|error| malformed(name, &error.to_string()))?;
            begun.extend(part.filter(|part| !part.is_empty()));
        }
        // As long as nothing was passed on, another provider can be asked.
        if envelope.is_anothers(id) {
            return Err(malformed(name, "it carries another id"));
        }
        let first = begun.front().and_then(|part: &Bytes| part.first().copied());
        if spill.opens_with.is_some_and(|wanted| first.is_some_and(|first| first != wanted)) {
            return Err(malformed(name, "the result is of another kind"));
        }
        Ok(Self { name: name.clone(), reader, envelope, id, begun, ended: false })
    }

    /// The next piece of the result; nothing when it was whole. After an error there is nothing more,
    /// and what came before it must not be taken for an answer.
    pub async fn next(&mut self) -> Option<Result<Bytes, RpcError>> {
        if let Some(part) = self.begun.pop_front() {
            return Some(Ok(part));
        }
        while !self.ended {
            match self.read().await {
                Ok(Some(part)) if !part.is_empty() => return Some(Ok(part)),
                Ok(_) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn read(&mut self) -> Result<Option<Bytes>, RpcError> {
        let Ok(read) = tokio::time::timeout(IDLE_TIMEOUT, self.reader.next()).await else {
            let text = "nothing more came in the middle of an answer";
            return Err(RpcError::new(ErrorClass::Timeout, &self.name, text));
        };
        match read? {
            Some(chunk) => self
                .envelope
                .feed(&chunk)
                .map_err(|error| malformed(&self.name, &error.to_string())),
            None => {
                self.ended = true;
                if self.envelope.is_whole(self.id) {
                    return Ok(None);
                }
                Err(malformed(&self.name, "it ends too early or carries another id"))
            }
        }
    }
}

fn malformed(name: &Arc<str>, why: &str) -> RpcError {
    let text = format!("answer is cut off or malformed: {why}");
    RpcError::new(ErrorClass::BadAnswer, name, text)
}
