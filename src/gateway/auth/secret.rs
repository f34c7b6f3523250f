//! The one secret of an installation: from it come the keys that seal stored secrets, make nonces,
//! refresh and CSRF tokens, and sign checkpoints of the audit trail.
//!
//! All gateways of an installation share it. It is never stored with the records, so that a copy of
//! those signs nobody in.

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hmac};

use super::AuthError;

/// Bytes of the secret, of derived keys and of MACs.
pub(in crate::gateway) const SECRET_BYTES: usize = 32;

/// What derived keys are for. One purpose's never works for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Purpose {
    Nonce,
    Refresh,
    Csrf,
    Seal,
    AuditSigning,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Nonce => b"rwahub nonce v1",
            Self::Refresh => b"rwahub refresh v1",
            Self::Csrf => b"rwahub csrf v1",
            Self::Seal => b"rwahub seal v1",
            Self::AuditSigning => b"rwahub audit signing v1",
        }
    }
}

/// The secret.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The secret in a file as 64 hex digits; a missing file is made, readable by its owner alone.
    pub fn load(path: &Path) -> Result<Self, AuthError> {
        let unusable = |what: String| {
            AuthError::Secret(format!("{}: {what}; give 64 hex digits", path.display()))
        };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        match options.open(path) {
            Ok(mut file) => {
                let made = Self(rand::random());
                writeln!(file, "{}", hex(&made.0))
                    .and_then(|()| file.sync_all())
                    .map_err(|error| unusable(error.to_string()))?;
                return Ok(made);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(error.to_string())),
        }
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        match unhex(text.trim()).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(unusable("not a secret".into())),
        }
    }

    /// The key of a purpose.
    pub(in crate::gateway) fn derive(&self, purpose: Purpose) -> [u8; SECRET_BYTES] {
        mac_with(&self.0, &[purpose.label()])
    }

    /// Authenticates `parts`, whose borders count.
    pub(in crate::gateway) fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; SECRET_BYTES] {
        mac_with(&self.derive(purpose), parts)
    }

    /// Encrypts for storage under `name`; only the same name opens it.
    pub(in crate::gateway) fn seal(&self, name: &str, text: &[u8]) -> Result<String, AuthError> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = text.to_vec();
        self.aead()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| AuthError::Internal("sealing failed"))?;
        Ok(hex(&[&nonce[..], &sealed].concat()))
    }

    /// What was sealed under `name`.
    pub(in crate::gateway) fn unseal(
        &self,
        name: &str,
        sealed: &str,
    ) -> Result<Vec<u8>, AuthError> {
        let wrong = AuthError::Secret(format!(
            "{name} was sealed with another secret; bring back the secret file of this installation"
        ));
        let Some(bytes) = unhex(sealed) else { return Err(wrong) };
        let Some((nonce, body)) = bytes.split_first_chunk::<NONCE_LEN>() else { return Err(wrong) };
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        match self.aead()?.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body) {
            Ok(text) => Ok(text.to_vec()),
            Err(_) => Err(wrong),
        }
    }

    fn aead(&self) -> Result<LessSafeKey, AuthError> {
        UnboundKey::new(&AES_256_GCM, &self.derive(Purpose::Seal))
            .map(LessSafeKey::new)
            .map_err(|_| AuthError::Internal("the cipher refuses its key"))
    }
}

fn mac_with(key: &[u8], parts: &[&[u8]]) -> [u8; SECRET_BYTES] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut mac = [0; SECRET_BYTES];
    for (to, from) in mac.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    mac
}

/// Comparison in time that does not tell where two differ.
pub(in crate::gateway) fn same(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

pub(in crate::gateway) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

/// Lower-case hex.
pub(in crate::gateway) fn hex(bytes: &[u8]) -> String {
    faster_hex::hex_string(bytes)
}

/// The bytes of hex digits.
pub(in crate::gateway) fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    faster_hex::hex_decode(text.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_secret_and_name_only() {
        let secret = Secret::new([1; SECRET_BYTES]);
        let sealed = secret.seal("key/1", b"private").unwrap();
        assert!(!sealed.contains(&hex(b"private")));
        assert_eq!(secret.unseal("key/1", &sealed).unwrap(), b"private");
        assert!(secret.unseal("key/2", &sealed).is_err());
        assert!(Secret::new([2; SECRET_BYTES]).unseal("key/1", &sealed).is_err());
        assert!(secret.unseal("key/1", "00").is_err());
    }

    #[test]
    fn a_missing_file_is_made_for_its_owner_alone_and_read_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("auth.secret");
        let made = Secret::load(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secret::load(&path).unwrap().0, made.0);
        std::fs::write(&path, "short").unwrap();
        assert!(Secret::load(&path).is_err());
        assert_eq!(format!("{made:?}"), "Secret(..)");
    }

    #[test]
    fn macs_differ_by_purpose_and_by_where_parts_end() {
        let secret = Secret::new([1; SECRET_BYTES]);
        let mac = |purpose, parts: &[&[u8]]| secret.mac(purpose, parts);
        assert_ne!(mac(Purpose::Nonce, &[b"ab", b"c"]), mac(Purpose::Nonce, &[b"a", b"bc"]));
        assert_ne!(mac(Purpose::Nonce, &[b"a"]), mac(Purpose::Refresh, &[b"a"]));
    }
}
