//! Strict hex: `0x`, then digits, nothing else. Quantities, fixed-width words, byte strings.

/// A quantity such as `0x1b4`: 1 to 16 digits.
pub fn quantity(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"0x")?;
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| Some(value << 4 | u64::from(nibble(*digit)?)))
}

/// A quantity that fits 32 bits.
pub fn quantity32(text: &[u8]) -> Option<u32> {
    u32::try_from(quantity(text)?).ok()
}

/// Exactly `N` bytes.
pub fn fixed<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0u8; N];
    decode(text.strip_prefix(b"0x")?, &mut out).then_some(out)
}

/// How many bytes a `0x` string of whole bytes holds.
pub fn bytes_len(text: &[u8]) -> Option<usize> {
    let digits = text.strip_prefix(b"0x")?;
    digits.len().is_multiple_of(2).then_some(digits.len() / 2)
}

/// Digits into `out`; false when the count or a digit is wrong.
pub fn decode(digits: &[u8], out: &mut [u8]) -> bool {
    digits.len() == out.len() * 2 && (out.is_empty() || faster_hex::hex_decode(digits, out).is_ok())
}

/// The value of one digit.
#[inline]
pub(super) fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_hex_is_accepted() {
        assert_eq!(quantity(b"0x1b4"), Some(0x1b4));
        assert_eq!(quantity(b"0xffffffffffffffff"), Some(u64::MAX));
        for bad in [&b"0x"[..], b"1b4", b"0x1g", b"0x10000000000000000", b"0x-1", b""] {
            assert_eq!(quantity(bad), None, "{bad:?}");
        }
        assert_eq!(fixed::<2>(b"0xAbcd"), Some([0xab, 0xcd]));
        assert_eq!(fixed::<2>(b"0xabc"), None);
        assert_eq!(fixed::<2>(b"0xabcdef"), None);
        assert_eq!(fixed::<2>(b"0xabzz"), None);
        assert_eq!(bytes_len(b"0x"), Some(0));
        assert_eq!(bytes_len(b"0xabc"), None);
    }
}
