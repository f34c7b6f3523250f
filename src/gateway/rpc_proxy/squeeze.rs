//! Gzip of JSON-RPC answers, for clients that take it. Large ones are compressed as they are sent.
//!
//! By hand rather than by a layer: a layer costs every small answer an allocation, and those are most.

use std::io::Write;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, Stream, StreamExt};

/// Answers below this many bytes gain nothing.
pub(super) const ABOVE_BYTES: usize = 1_024;

/// True for a client that takes gzip.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    text.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        let refused = |word: &str| matches!(word.strip_prefix("q="), Some("0" | "0.0" | "0.00"));
        words.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"))
            && !words.any(refused)
    })
}

/// The whole of it, compressed.
pub(super) fn whole(plain: &Bytes) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    // Writing to memory cannot fail.
    encoder.write_all(plain).unwrap_or_default();
    encoder.finish().unwrap_or_default().into()
}

/// Piece by piece. An error goes through, and nothing comes behind it.
pub(super) fn stream<E: Send + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    stream::unfold((pieces.boxed(), Some(encoder)), |(mut pieces, encoder)| async move {
        let mut encoder = encoder?;
        loop {
            match pieces.next().await {
                Some(Ok(piece)) => {
                    encoder.write_all(&piece).unwrap_or_default();
                    let ready = std::mem::take(encoder.get_mut());
                    if !ready.is_empty() {
                        return Some((Ok(ready.into()), (pieces, Some(encoder))));
                    }
                }
                Some(Err(error)) => return Some((Err(error), (pieces, None))),
                None => {
                    let end = encoder.finish().unwrap_or_default();
                    return Some((Ok(end.into()), (pieces, None)));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_used_only_where_it_is_taken() {
        let wanted = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            is_wanted(&headers)
        };
        assert!(wanted("gzip") && wanted("br, GZIP;q=0.5") && wanted("deflate,gzip"));
        assert!(!wanted("br") && !wanted("gzip;q=0") && !wanted("identity") && !wanted("xgzip"));
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn what_is_squeezed_comes_out_as_it_was_and_a_broken_stream_stays_broken() {
        let plain: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let unzip = |zipped: &[u8]| {
            let mut out = Vec::new();
            flate2::read::GzDecoder::new(zipped).read_to_end(&mut out).map(|_| out)
        };
        let once = whole(&plain.clone().into());
        assert_eq!(unzip(&once).expect("gzip"), plain);
        let pieces: Vec<Result<Bytes, &str>> =
            plain.chunks(70_001).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let sent: Vec<_> = stream(stream::iter(pieces.clone())).collect().await;
        let sent: Vec<u8> = sent.into_iter().flat_map(|piece| piece.expect("no error")).collect();
        assert_eq!(unzip(&sent).expect("gzip"), plain);
        let broken = pieces.into_iter().take(5).chain([Err("lost")]);
        let sent: Vec<_> = stream(stream::iter(broken)).collect().await;
        assert!(sent.last().is_some_and(Result::is_err));
    }
}
