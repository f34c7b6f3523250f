//! A place in JSON text: strict steps over strings, quantities and whole values, without a tree.
//!
//! What is unusual (escapes, text beyond ASCII, deep nesting) ends the walk; the caller then asks
//! `serde_json`, which decides. Nothing is accepted here that `serde_json` would refuse.

use memchr::memchr2;

use super::hex;

/// Deepest nesting that is walked; what nodes send is five levels deep.
const DEPTH_MAX: usize = 32;

/// The walk met something that it leaves to `serde_json`.
#[derive(Debug)]
pub(crate) struct Unusual;

/// Where a reader stands in a text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    /// The whole text.
    pub(crate) fn json(&self) -> &'a [u8] {
        self.json
    }

    /// The present place.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes on at `at`, which somebody else has read up to.
    pub(crate) fn jump(&mut self, at: usize) {
        self.at = at;
    }

    /// Only white space may be left.
    pub(crate) fn end(&mut self) -> Result<(), Unusual> {
        self.skip_space();
        if self.at == self.json.len() { Ok(()) } else { Err(Unusual) }
    }

    /// The inside of a string without escapes. Its bytes are the caller's to check.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Unusual> {
        self.expect(b'"')?;
        let rest = self.json.get(self.at..).ok_or(Unusual)?;
        let end = memchr2(b'"', b'\\', rest).ok_or(Unusual)?;
        if rest.get(end) != Some(&b'"') {
            return Err(Unusual);
        }
        self.at += end + 1;
        rest.get(..end).ok_or(Unusual)
    }

    /// A member's name and the colon behind it.
    pub(crate) fn key(&mut self) -> Result<&'a [u8], Unusual> {
        let key = self.plain_string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Behind an element: true when another follows, false at the closing bracket.
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Unusual> {
        match self.next()? {
            b',' => Ok(true),
            byte if byte == close => Ok(false),
            _ => Err(Unusual),
        }
    }

    /// Opens an array or object: true when it has something in it.
    pub(crate) fn open(&mut self, open: u8, close: u8) -> Result<bool, Unusual> {
        self.expect(open)?;
        if self.peek()? == close {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Exactly `N` bytes as hex.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Unusual> {
        hex::fixed(self.string()?).ok_or(Unusual)
    }

    pub(crate) fn quantity(&mut self) -> Result<u64, Unusual> {
        hex::quantity(self.string()?).ok_or(Unusual)
    }

    pub(crate) fn quantity32(&mut self) -> Result<u32, Unusual> {
        hex::quantity32(self.string()?).ok_or(Unusual)
    }

    /// `null`, or what `read` reads.
    pub(crate) fn nullable<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Unusual>,
    ) -> Result<Option<T>, Unusual> {
        if self.literal(b"null") { Ok(None) } else { read(self).map(Some) }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Unusual> {
        if self.literal(b"false") {
            return Ok(false);
        }
        if self.literal(b"true") { Ok(true) } else { Err(Unusual) }
    }

    /// Steps over one value, which is valid JSON then, and gives its text.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], Unusual> {
        self.skip_space();
        let from = self.at;
        self.step(0)?;
        self.json.get(from..self.at).ok_or(Unusual)
    }

    fn step(&mut self, depth: usize) -> Result<(), Unusual> {
        if depth > DEPTH_MAX {
            return Err(Unusual);
        }
        match self.peek()? {
            b'"' => self.plain_string().map(drop),
            b'{' => {
                let mut more = self.open(b'{', b'}')?;
                while more {
                    self.key()?;
                    self.step(depth + 1)?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                let mut more = self.open(b'[', b']')?;
                while more {
                    self.step(depth + 1)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            b'-' | b'0'..=b'9' => self.number(),
            _ if self.literal(b"null") => Ok(()),
            _ => self.boolean().map(drop),
        }
    }

    fn plain_string(&mut self) -> Result<&'a [u8], Unusual> {
        let text = self.string()?;
        // Written so that it becomes vector code: no early exit.
        let plain = text.iter().fold(true, |plain, byte| plain & (0x20..0x7f).contains(byte));
        if plain { Ok(text) } else { Err(Unusual) }
    }

    fn number(&mut self) -> Result<(), Unusual> {
        self.take(b"-");
        if !self.take(b"0") {
            self.digits()?;
        }
        if self.take(b".") {
            self.digits()?;
        }
        if self.take(b"eE") {
            self.take(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Unusual> {
        let from = self.at;
        while self.take(b"0123456789") {}
        if self.at > from { Ok(()) } else { Err(Unusual) }
    }

    /// One of these bytes, if it stands right here.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let found = self.json.get(self.at).is_some_and(|byte| bytes.contains(byte));
        self.at += usize::from(found);
        found
    }

    pub(crate) fn literal(&mut self, word: &[u8]) -> bool {
        self.skip_space();
        let found = self.json.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        if found {
            self.at += word.len();
        }
        found
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.next()? == byte { Ok(()) } else { Err(Unusual) }
    }

    pub(crate) fn peek(&mut self) -> Result<u8, Unusual> {
        self.skip_space();
        self.json.get(self.at).copied().ok_or(Unusual)
    }

    fn next(&mut self) -> Result<u8, Unusual> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.json.get(self.at) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepted(text: &[u8]) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.value().is_ok() && cursor.end().is_ok()
    }

    #[test]
    fn whole_values_are_walked() {
        for good in
            [r#"{"a":[1,-0.5e+3,true,null,{}],"b":"x"}"#, "[]", " \n{ }", "0", "\"\"", "[[[]]]"]
        {
            assert!(accepted(good.as_bytes()), "{good}");
        }
        for bad in ["01", "1.", "{\"a\"}", "[1,]", "{,}", "tru", "\"a", "[1 2]", "-", "\"\u{1}\""] {
            assert!(!accepted(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_accepted_that_serde_json_refuses(
            text in r#"([\[\]{}:,"0-9eE.+\- \\a\u{e9}\u{1}]|null|true|"k":|"v"){0,12}"#
        ) {
            if accepted(text.as_bytes()) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            }
        }
    }
}
