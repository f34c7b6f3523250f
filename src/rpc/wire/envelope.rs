//! JSON that arrives in pieces and is too large to keep: the envelope of an answer, the elements of an
//! array. Both look at every byte once and hold back no more than one element.
//!
//! Checks that brackets and strings close and that nothing is missing; what the values mean is for
//! whoever reads them.

use bytes::Bytes;

use super::WireError;

/// Longest name or id that an envelope may have: ours are short, and the rest is no answer to us.
const SMALL_BYTES_MAX: usize = 64;

/// Where in a JSON value we are.
#[derive(Debug, Clone, Copy, Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Goes on to where `depth` falls to `until`; the index behind that byte, or nothing if it is not
    /// in `bytes`.
    fn until_depth(&mut self, until: u32, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                    at += 1;
                    continue;
                }
                // Most of a large answer is hex inside strings.
                let rest = bytes.get(at..).unwrap_or_default();
                let found = memchr::memchr2(b'"', b'\\', rest)?;
                at += found + 1;
                if rest.get(found) == Some(&b'\\') {
                    self.escaped = true;
                    continue;
                }
                self.in_string = false;
                if self.depth == until {
                    return Some(at);
                }
                continue;
            }
            at += 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == until {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Result,
    Error,
    Id,
    Other,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Start,
    /// Between members.
    Members,
    Name,
    Colon,
    Before,
    /// In a string, an object or an array.
    Nested(Scan),
    /// In a number or a word.
    Plain,
    End,
}

/// An answer's envelope, read piece by piece.
#[derive(Debug)]
pub(crate) struct Envelope {
    phase: Phase,
    member: Member,
    name: Vec<u8>,
    id: Vec<u8>,
    error: Vec<u8>,
    has_result: bool,
}

impl Envelope {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Start,
            member: Member::Other,
            name: Vec::new(),
            id: Vec::new(),
            error: Vec::new(),
            has_result: false,
        }
    }

    /// Reads a piece; the part of it that belongs to `result`, if any.
    pub(crate) fn feed(&mut self, chunk: &Bytes) -> Result<Option<Bytes>, WireError> {
        let (mut at, mut found) = (0, None);
        while let Some(byte) = chunk.get(at).copied() {
            match self.phase {
                Phase::Nested(mut scan) => {
                    let rest = chunk.get(at..).unwrap_or_default();
                    let end = scan.until_depth(0, rest);
                    let length = end.unwrap_or(rest.len());
                    self.phase = if end.is_some() { Phase::Members } else { Phase::Nested(scan) };
                    self.value(chunk.slice(at..at + length), &mut found)?;
                    at += length;
                }
                Phase::Plain => {
                    let rest = chunk.get(at..).unwrap_or_default();
                    let is_end = |b: &u8| matches!(b, b',' | b'}') || b.is_ascii_whitespace();
                    let end = rest.iter().position(is_end);
                    let length = end.unwrap_or(rest.len());
                    if end.is_some() {
                        self.phase = Phase::Members;
                    }
                    self.value(chunk.slice(at..at + length), &mut found)?;
                    at += length;
                }
                Phase::Before if !byte.is_ascii_whitespace() => self.begin(byte)?,
                _ => {
                    self.step(byte)?;
                    at += 1;
                }
            }
        }
        Ok(found)
    }

    /// True when the answer was whole and carried this id.
    pub(crate) fn is_whole(&self, id: u64) -> bool {
        let error_is_null = self.error.is_empty() || self.error == b"null";
        matches!(self.phase, Phase::End)
            && self.has_result
            && error_is_null
            && self.id == id.to_string().as_bytes()
    }

    /// True when an id was read already and is not this one.
    pub(crate) fn is_anothers(&self, id: u64) -> bool {
        !self.id.is_empty() && self.id != id.to_string().as_bytes()
    }

    /// The first byte of a value; it is read again as part of it.
    fn begin(&mut self, byte: u8) -> Result<(), WireError> {
        if self.member == Member::Result {
            if self.has_result {
                return Err(malformed("two results"));
            }
            self.has_result = true;
        }
        self.phase = match byte {
            b'"' | b'{' | b'[' => Phase::Nested(Scan::default()),
            b'}' | b']' | b',' | b':' => return Err(malformed("a member without a value")),
            _ => Phase::Plain,
        };
        Ok(())
    }

    fn value(&mut self, part: Bytes, found: &mut Option<Bytes>) -> Result<(), WireError> {
        let small = match self.member {
            Member::Result => {
                *found = Some(part);
                return Ok(());
            }
            Member::Other => return Ok(()),
            Member::Id => &mut self.id,
            Member::Error => &mut self.error,
        };
        small.extend_from_slice(&part);
        if small.len() > SMALL_BYTES_MAX {
            return Err(malformed("an id or an error where a result was expected"));
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), WireError> {
        let space = byte.is_ascii_whitespace();
        self.phase = match (self.phase, byte) {
            (Phase::Start, b'{') => Phase::Members,
            (Phase::Members, b'"') => {
                self.name.clear();
                Phase::Name
            }
            (Phase::Members, b',') => Phase::Members,
            (Phase::Members, b'}') => Phase::End,
            (Phase::Name, b'"') => Phase::Colon,
            (Phase::Name, byte) if byte != b'\\' && self.name.len() < SMALL_BYTES_MAX => {
                self.name.push(byte);
                Phase::Name
            }
            (Phase::Colon, b':') => {
                self.member = match self.name.as_slice() {
                    b"result" => Member::Result,
                    b"error" => Member::Error,
                    b"id" => Member::Id,
                    _ => Member::Other,
                };
                Phase::Before
            }
            (phase, _) if space && !matches!(phase, Phase::Name) => phase,
            _ => return Err(malformed("not an answer")),
        };
        Ok(())
    }
}

/// An array of objects, cut into runs of whole elements.
#[derive(Debug, Default)]
pub(crate) struct Elements {
    scan: Scan,
    /// The beginning of an element whose end has not come yet.
    rest: Vec<u8>,
    opened: bool,
    closed: bool,
}

impl Elements {
    /// Reads a piece; the elements that are whole now, in brackets: `[{..},{..}]`. Nothing if none is.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<Option<Bytes>, WireError> {
        let mut chunk = chunk;
        if !self.opened {
            chunk = chunk.trim_ascii_start();
            match chunk.split_first() {
                None => return Ok(None),
                Some((b'[', after)) => (self.opened, chunk) = (true, after),
                Some(_) => return Err(malformed("not an array")),
            }
            self.scan.depth = 1;
        }
        let (mut at, mut whole) = (0, 0);
        while let Some(left) = chunk.get(at..).filter(|left| !left.is_empty()) {
            if self.closed {
                if left.trim_ascii().is_empty() {
                    break;
                }
                return Err(malformed("text behind the array"));
            }
            if self.scan.depth == 1 && !self.scan.in_string {
                match left.first() {
                    Some(b']') => self.closed = true,
                    Some(b'{') => {}
                    Some(b',') => {}
                    Some(byte) if byte.is_ascii_whitespace() => {}
                    _ => return Err(malformed("an element that is no object")),
                }
                if left.first() != Some(&b'{') {
                    at += 1;
                    continue;
                }
            }
            match self.scan.until_depth(1, left) {
                Some(length) => {
                    at += length;
                    whole = at;
                }
                None => break,
            }
        }
        Ok(self.take(chunk, whole))
    }

    /// True when the array was closed with no element begun.
    pub(crate) fn is_whole(&self) -> bool {
        self.closed
    }

    fn take(&mut self, chunk: &[u8], whole: usize) -> Option<Bytes> {
        let (done, open) = chunk.split_at_checked(whole).unwrap_or((chunk, &[]));
        let run = (whole > 0).then(|| {
            let mut run = Vec::with_capacity(self.rest.len() + done.len() + 2);
            run.push(b'[');
            let elements = [self.rest.as_slice(), done].concat();
            let first = elements.iter().position(|b| *b == b'{').unwrap_or(0);
            run.extend_from_slice(elements.get(first..).unwrap_or_default());
            run.push(b']');
            self.rest.clear();
            Bytes::from(run)
        });
        if !self.closed {
            self.rest.extend_from_slice(open);
        }
        run
    }
}

fn malformed(what: &str) -> WireError {
    WireError::Json(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `size` bytes; the result's bytes, and whether all was well.
    fn result(text: &str, size: usize) -> (Vec<u8>, bool) {
        let mut envelope = Envelope::new();
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            match envelope.feed(&Bytes::copy_from_slice(piece)) {
                Ok(part) => out.extend_from_slice(&part.unwrap_or_default()),
                Err(_) => return (out, false),
            }
        }
        (out, envelope.is_whole(7))
    }

    #[test]
    fn the_result_is_found_whatever_the_order_and_the_pieces() {
        for value in [r#"[{"a":"]}\"\\"},2]"#, r#""te\"xt""#, "null", "-1.5e3", "{}", "[[[]]]"] {
            let texts = [
                format!(r#"{{"jsonrpc":"2.0","id":7,"result":{value}}}"#),
                format!(" {{ \"result\" : {value} , \"id\" : 7 , \"error\":null}}\n"),
                format!(r#"{{"x":{{"result":[1]}},"id":7,"result":{value}}}"#),
            ];
            for text in texts {
                for size in 1..text.len() + 1 {
                    let (found, whole) = result(&text, size);
                    assert_eq!(String::from_utf8_lossy(&found), value, "{text} by {size}");
                    assert!(whole, "{text} by {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_anothers_is_never_whole() {
        let text = r#"{"jsonrpc":"2.0","id":7,"result":[{"a":"b"},{}]}"#;
        for end in 0..text.len() {
            assert!(!result(&text[..end], 5).1, "cut at {end}");
        }
        for text in [
            r#"{"id":8,"result":1}"#,
            r#"{"id":"7","result":1}"#,
            r#"{"result":1}"#,
            r#"{"id":7}"#,
            r#"{"id":7,"result":1,"result":2}"#,
            r#"{"id":7,"result":1}x"#,
            r#"{"id":7,"result":1,"error":{"code":1}}"#,
            r#"{"id":7,"result":}"#,
            "<html>",
        ] {
            assert!(!result(text, 3).1, "{text}");
        }
    }

    #[test]
    fn anothers_answer_is_known_before_it_ends() {
        let mut envelope = Envelope::new();
        envelope.feed(&Bytes::from_static(br#"{"id":1,"result":"0x00"#)).expect("fine so far");
        assert!(envelope.is_anothers(7) && !envelope.is_anothers(1));
        let mut envelope = Envelope::new();
        envelope.feed(&Bytes::from_static(br#"{"result":"0x00"#)).expect("fine so far");
        assert!(!envelope.is_anothers(7), "the id may come behind");
    }

    #[test]
    fn elements_come_whole_and_in_order() {
        let elements = [r#"{"a":"}]"}"#, r#"{"b":[1,{"c":"\""}]}"#, "{}"];
        let text = format!("[ {} ]", elements.join(" , "));
        for size in 1..text.len() + 1 {
            let mut reader = Elements::default();
            let mut seen: Vec<serde_json::Value> = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                if let Some(run) = reader.feed(piece).expect("fine") {
                    let values: Vec<serde_json::Value> =
                        serde_json::from_slice(&run).expect("whole elements");
                    seen.extend(values);
                }
            }
            assert!(reader.is_whole(), "by {size}");
            let expected: Vec<serde_json::Value> =
                elements.iter().map(|e| serde_json::from_str(e).expect("JSON")).collect();
            assert_eq!(seen, expected, "by {size}");
        }
        for text in ["[]", " [ ] "] {
            let mut reader = Elements::default();
            assert!(reader.feed(text.as_bytes()).expect("fine").is_none());
            assert!(reader.is_whole());
        }
        let mut reader = Elements::default();
        assert!(reader.feed(b"[{\"a\":1},{\"b\"").expect("fine").is_some());
        assert!(!reader.is_whole(), "cut off");
        for bad in ["{}", "[1]", "[]x", "null"] {
            assert!(Elements::default().feed(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
