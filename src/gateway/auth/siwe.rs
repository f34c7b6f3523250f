//! Sign-In with Ethereum messages (EIP-4361): a strict reader of their text and the checks against us.
//!
//! Every byte must be where the grammar puts it; what is not known is refused, never skipped. Whether
//! the signature is the account's is `signature`'s question, whether the nonce is ours `nonce`'s.

use std::time::Duration;

use alloy_primitives::Address;

/// Longest message read: ours has about 400 bytes; wallets add resources at most.
pub(in crate::gateway) const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Resources of a message.
const RESOURCES_MAX: usize = 32;
/// Shortest nonce of the grammar.
const NONCE_CHARS_MIN: usize = 8;
/// How far a wallet's clock may run ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// A message signed longer ago than a nonce lives cannot hold a living nonce.
pub(in crate::gateway) const MESSAGE_AGE_MAX: Duration = Duration::from_secs(5 * 60);

const GREETING: &str = " wants you to sign in with your Ethereum account:";

/// A message that follows the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Message {
    pub(in crate::gateway) scheme: Option<String>,
    pub(in crate::gateway) domain: String,
    pub(in crate::gateway) address: Address,
    pub(in crate::gateway) statement: Option<String>,
    pub(in crate::gateway) uri: String,
    pub(in crate::gateway) chain_id: u64,
    pub(in crate::gateway) nonce: String,
    pub(in crate::gateway) issued_at_ms: u64,
    pub(in crate::gateway) expires_at_ms: Option<u64>,
    pub(in crate::gateway) not_before_ms: Option<u64>,
    pub(in crate::gateway) request_id: Option<String>,
    pub(in crate::gateway) resources: Vec<String>,
}

/// What is wrong with a message, in words for whoever wrote the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sign-in message: {0}")]
pub struct SiweError(pub(in crate::gateway) &'static str);

type Result<T> = std::result::Result<T, SiweError>;

/// Lines in order, each taken once.
struct Lines<'a>(std::iter::Peekable<std::str::Split<'a, char>>);

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str> {
        self.0.next().ok_or(SiweError("ends too early"))
    }

    fn required(&mut self, label: &'static str, missing: &'static str) -> Result<&'a str> {
        self.next()?.strip_prefix(label).ok_or(SiweError(missing))
    }

    fn optional(&mut self, label: &str) -> Option<&'a str> {
        let value = self.0.peek().and_then(|line| line.strip_prefix(label))?;
        self.0.next();
        Some(value)
    }
}

impl Message {
    /// Reads a message.
    pub(in crate::gateway) fn parse(text: &str) -> Result<Self> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(SiweError("is too long"));
        }
        let mut lines = Lines(text.split('\n').peekable());
        let greeting = lines.next()?;
        let authority = greeting.strip_suffix(GREETING).ok_or(SiweError("no greeting"))?;
        let (scheme, domain) = match authority.split_once("://") {
            Some((scheme, domain)) if is_scheme(scheme) => (Some(scheme.to_owned()), domain),
            Some(_) => return Err(SiweError("the scheme is not valid")),
            None => (None, authority),
        };
        if domain.is_empty() || !domain.bytes().all(is_authority_byte) {
            return Err(SiweError("the domain is not an authority"));
        }
        let address = address(lines.next()?)?;
        let empty = |line: &str| line.is_empty();
        if !empty(lines.next()?) {
            return Err(SiweError("no empty line after the address"));
        }
        let statement = match lines.next()? {
            "" => None,
            text if text.bytes().all(is_statement_byte) => Some(text.to_owned()),
            _ => return Err(SiweError("the statement has a character that is not allowed")),
        };
        if statement.is_some() && !empty(lines.next()?) {
            return Err(SiweError("no empty line after the statement"));
        }
        let uri = uri(lines.required("URI: ", "no URI")?)?;
        if lines.required("Version: ", "no version")? != "1" {
            return Err(SiweError("the version is not 1"));
        }
        let chain_id = decimal(lines.required("Chain ID: ", "no chain id")?)?;
        let nonce = lines.required("Nonce: ", "no nonce")?;
        if nonce.len() < NONCE_CHARS_MIN || !nonce.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(SiweError("the nonce is not at least 8 letters and digits"));
        }
        let issued_at_ms = instant(lines.required("Issued At: ", "no issue time")?)?;
        let expires_at_ms = lines.optional("Expiration Time: ").map(instant).transpose()?;
        let not_before_ms = lines.optional("Not Before: ").map(instant).transpose()?;
        let request_id = lines.optional("Request ID: ");
        if !request_id.unwrap_or_default().bytes().all(is_uri_byte) {
            return Err(SiweError("the request id has a character that is not allowed"));
        }
        let resources = resources(&mut lines)?;
        if lines.0.next().is_some() {
            return Err(SiweError("has a line that is not known or not in its place"));
        }
        Ok(Self {
            scheme,
            domain: domain.to_owned(),
            address,
            statement,
            uri,
            chain_id,
            nonce: nonce.to_owned(),
            issued_at_ms,
            expires_at_ms,
            not_before_ms,
            request_id: request_id.map(str::to_owned),
            resources,
        })
    }

    /// Whether the message was made for `origin` (scheme and authority), and is of now.
    pub(in crate::gateway) fn check(&self, origin: &str, now: Duration) -> Result<()> {
        let (scheme, authority) = origin.split_once("://").unwrap_or(("", origin));
        if self.domain != authority {
            return Err(SiweError("the domain is not ours"));
        }
        if self.scheme.as_ref().is_some_and(|own| own != scheme) {
            return Err(SiweError("the scheme is not ours"));
        }
        let path = self.uri.strip_prefix(origin).ok_or(SiweError("the URI is not ours"))?;
        if !path.is_empty() && !path.starts_with(['/', '?', '#']) {
            return Err(SiweError("the URI is not ours"));
        }
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now_ms = ms(now);
        let latest = now_ms.saturating_add(ms(CLOCK_SKEW));
        if self.issued_at_ms > latest || self.not_before_ms.is_some_and(|start| start > latest) {
            return Err(SiweError("is not valid yet; check the clock"));
        }
        if self.issued_at_ms.saturating_add(ms(MESSAGE_AGE_MAX)) < now_ms {
            return Err(SiweError("was issued too long ago"));
        }
        if self.expires_at_ms.is_some_and(|end| end <= now_ms) {
            return Err(SiweError("has expired"));
        }
        Ok(())
    }
}

fn resources(lines: &mut Lines<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    match lines.optional("Resources:") {
        None => return Ok(found),
        Some("") => {}
        Some(_) => return Err(SiweError("text after \"Resources:\"")),
    }
    while let Some(resource) = lines.optional("- ") {
        if found.len() == RESOURCES_MAX {
            return Err(SiweError("has too many resources"));
        }
        found.push(uri(resource)?);
    }
    Ok(found)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// RFC 3986: unreserved, sub-delims, `:` `@`, `%`, and brackets of an IPv6 address.
fn is_authority_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%[]".contains(&byte)
}

fn is_uri_byte(byte: u8) -> bool {
    is_authority_byte(byte) || b"/?#".contains(&byte)
}

/// reserved / unreserved / space, as EIP-4361 has it.
fn is_statement_byte(byte: u8) -> bool {
    byte == b' ' || (is_uri_byte(byte) && byte != b'%')
}

fn address(text: &str) -> Result<Address> {
    Address::parse_checksummed(text, None)
        .map_err(|_| SiweError("the address is not one with an EIP-55 checksum"))
}

fn uri(text: &str) -> Result<String> {
    let known = text.split_once(':').is_some_and(|(scheme, rest)| {
        is_scheme(scheme) && !rest.is_empty() && rest.bytes().all(is_uri_byte)
    });
    if known { Ok(text.to_owned()) } else { Err(SiweError("a URI is not valid")) }
}

fn decimal(text: &str) -> Result<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(SiweError("the chain id is not a number")),
    }
}

/// An RFC 3339 date-time as milliseconds since the Unix epoch.
fn instant(text: &str) -> Result<u64> {
    parse_instant(text).ok_or(SiweError("a time is not an RFC 3339 date and time"))
}

fn parse_instant(text: &str) -> Option<u64> {
    let digits = |from: usize, count: usize| -> Option<i64> {
        let part = text.get(from..from + count)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let mark = |at: usize, allowed: &[u8]| {
        text.as_bytes().get(at).is_some_and(|byte| allowed.contains(byte)).then_some(())
    };
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    mark(4, b"-")?;
    mark(7, b"-")?;
    mark(10, b"Tt")?;
    mark(13, b":")?;
    mark(16, b":")?;
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    // A leap second counts as the one before it.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return None;
        }
        let shown: String = fraction.chars().take(count.min(3)).collect();
        ms = format!("{shown:0<3}").parse::<i64>().ok()?;
        rest = fraction.get(count..)?;
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = rest.get(1..)?.split_once(':')?;
            let two = |part: &str| {
                (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
                    .then(|| part.parse::<i64>().ok())?
            };
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes) * 60
        }
    };
    let secs =
        days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second.min(59)
            - offset;
    u64::try_from(secs * 1_000 + ms).ok()
}

/// Days from 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "made-up texts are ASCII")]
mod tests {
    use super::*;

    const GOOD: &str = "hub.example wants you to sign in with your Ethereum account:\n\
        0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\n\
        I accept the terms: https://hub.example/tos\n\n\
        URI: https://hub.example/login\nVersion: 1\nChain ID: 1\nNonce: 32891757a\n\
        Issued At: 2021-09-30T16:25:24.000Z\nExpiration Time: 2021-09-30T16:30:24Z\n\
        Not Before: 2021-09-30T18:25:24+02:00\nRequest ID: some_id\n\
        Resources:\n- ipfs://Qme7ss3ARVgxv6rXqVPiikMJ8u2NLgmgszg13pYrDKEoiu\n- https://hub.example/x.json";
    /// When it was issued.
    const THEN: Duration = Duration::from_secs(1_633_019_124);

    #[test]
    fn a_full_message_is_read_field_by_field() {
        let message = Message::parse(GOOD).unwrap();
        assert_eq!(message.domain, "hub.example");
        assert_eq!(
            message.statement.as_deref(),
            Some("I accept the terms: https://hub.example/tos")
        );
        assert_eq!((message.chain_id, message.nonce.as_str()), (1, "32891757a"));
        assert_eq!(u128::from(message.issued_at_ms), THEN.as_millis());
        assert_eq!(message.not_before_ms, Some(message.issued_at_ms));
        assert_eq!(message.resources.len(), 2);
        message.check("https://hub.example", THEN).unwrap();
    }

    #[test]
    fn optional_parts_may_be_left_out_and_authorities_take_every_form() {
        let none = GOOD.replace("I accept the terms: https://hub.example/tos\n\n", "\n");
        assert_eq!(Message::parse(&none).unwrap().statement, None);
        let (short, _) = GOOD.split_once("\nExpiration").unwrap();
        let message = Message::parse(short).unwrap();
        assert_eq!((message.expires_at_ms, message.resources.len()), (None, 0));
        for domain in ["127.0.0.1", "test@127.0.0.1", "127.0.0.1:8080", "t@[::1]:80", "https://a.b"]
        {
            let text = GOOD.replacen("hub.example", domain, 1);
            Message::parse(&text).unwrap_or_else(|error| panic!("{domain}: {error}"));
        }
    }

    #[test]
    fn whatever_is_missing_moved_or_malformed_is_refused() {
        let line = |name: &str| {
            let start = GOOD.find(name).unwrap();
            let end = GOOD[start..].find('\n').map_or(GOOD.len(), |at| start + at + 1);
            GOOD[start..end].to_owned()
        };
        let mut bad: Vec<(String, String)> = Vec::new();
        for name in ["URI: ", "Version: ", "Chain ID: ", "Nonce: ", "Issued At: "] {
            bad.push((format!("{name} missing"), GOOD.replace(&line(name), "")));
            bad.push((format!("{name} empty line"), GOOD.replace(&line(name), "\n")));
            bad.push((format!("{name} twice"), GOOD.replace(&line(name), &line(name).repeat(2))));
        }
        let swaps = [
            ("URI: ", "Version: "),
            ("Version: ", "Chain ID: "),
            ("Nonce: ", "Issued At: "),
            ("Expiration Time: ", "Not Before: "),
            ("Not Before: ", "Request ID: "),
        ];
        for (first, second) in swaps {
            let (one, two) = (line(first), line(second));
            let swapped = GOOD.replace(&format!("{one}{two}"), &format!("{two}{one}"));
            assert_ne!(swapped, GOOD);
            bad.push((format!("{first} after {second}"), swapped));
        }
        let changes = [
            ("hub.example wants", " wants"),
            ("hub.example wants", "hub example wants"),
            ("0xC02aaA39", "0xc02aaa39"),
            ("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n", "\n"),
            ("accept the", "accept\nthe"),
            ("accept", "a\u{e7}eito"),
            ("\n\nI accept", "\n\n\nI accept"),
            ("https://hub.example/login", "_not_a_uri_"),
            ("Version: 1", "Version: 2"),
            ("Chain ID: 1", "Chain ID: ?"),
            ("Chain ID: 1", "Chain ID: +1"),
            ("Nonce: 32891757a", "Nonce: 1234567"),
            ("Nonce: 32891757a", "Nonce: 12345678-"),
            ("2021-09-30T16:25:24.000Z", "Wed Oct 05 2011 16:48:00 GMT+0200 (CEST)"),
            ("2021-09-30T16:25:24.000Z", "2021-02-29T16:25:24Z"),
            ("2021-09-30T16:25:24.000Z", "2021-09-30T16:25:24"),
            ("2021-09-30T16:25:24.000Z", "2021-09-30 16:25:24Z"),
            ("2021-09-30T16:30:24Z", "2021-13-30T16:30:24Z"),
            ("\n- https://hub.example/x.json", " - https://hub.example/x.json"),
            ("- ipfs://Qme", "- _not_Qme"),
            ("x.json", "x.json\n"),
            ("x.json", "x.json\r"),
        ];
        for (from, to) in changes {
            let changed = GOOD.replacen(from, to, 1);
            assert_ne!(changed, GOOD, "{from}");
            bad.push((format!("{from:?} as {to:?}"), changed));
        }
        for (name, text) in bad {
            assert!(Message::parse(&text).is_err(), "accepted: {name}\n{text}");
        }
    }

    #[test]
    fn a_message_for_another_place_or_time_is_refused() {
        let message = Message::parse(GOOD).unwrap();
        let at = |secs: u64| Duration::from_secs(secs);
        let origin = "https://hub.example";
        for wrong in ["https://hub.example.evil", "https://evil", "http://hub.example:80"] {
            assert!(message.check(wrong, THEN).is_err(), "{wrong}");
        }
        assert!(message.check("http://hub.example", THEN).is_err(), "the URI has https");
        let mut other = message.clone();
        other.uri = "https://hub.example.evil/".into();
        assert_eq!(other.check(origin, THEN), Err(SiweError("the URI is not ours")));
        assert!(message.check(origin, THEN - at(61)).is_err());
        message.check(origin, THEN - at(59)).unwrap();
        message.check(origin, THEN + at(299)).unwrap();
        assert!(message.check(origin, THEN + at(300)).is_err(), "expired");
        let mut endless = message;
        endless.expires_at_ms = None;
        assert!(endless.check(origin, THEN + at(301)).is_err(), "too old for its nonce");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(parse_instant("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_instant("2000-02-29T12:00:00.5+01:00"), Some(951_822_000_500));
        assert_eq!(parse_instant("2026-11-24T15:25:20z"), Some(1_795_533_920_000));
        assert_eq!(parse_instant("1969-12-31T23:59:59Z"), None, "before the epoch");
    }
}
