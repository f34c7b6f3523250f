//! One file into an age-encrypted, compressed archive and back, hashed on both sides of the sealing.
//!
//! Streams; knows nothing of what the file holds.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::str::FromStr;

use age::x25519::{Identity, Recipient};
use anyhow::{Context, Result, anyhow, bail};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Buffer of the streams; a page of the store many times over.
const BUFFER_BYTES: usize = 256 * 1024;
/// An identity file is a few lines.
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

/// Length and hash of what went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Plain and sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) plain: Measure,
    pub(super) sealed: Measure,
}

/// Whom backups are sealed for: public keys, `age1...`.
pub(super) fn recipients(texts: &[String]) -> Result<Vec<Recipient>> {
    if texts.is_empty() {
        bail!(
            "no recipient: backups are always encrypted; make a key with `rwahub backup keygen --out FILE`, keep the file away from this machine and put its public key into [backup] recipients"
        );
    }
    let read = |text: &String| {
        Recipient::from_str(text).map_err(|error| anyhow!("recipient {text:?}: {error}"))
    };
    texts.iter().map(read).collect()
}

/// The secret keys of an identity file: lines that begin with `AGE-SECRET-KEY-`.
pub(super) fn identities(path: &Path) -> Result<Vec<Identity>> {
    let file = File::open(path).with_context(|| format!("identity file {}", path.display()))?;
    let mut text = String::new();
    file.take(IDENTITY_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("identity file {}", path.display()))?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        // The line is a secret: it must not be in the message.
        Identity::from_str(line).map_err(|_| anyhow!("{} holds no age identity", path.display()))
    };
    let identities: Vec<Identity> = lines.map(read).collect::<Result<_>>()?;
    if identities.is_empty() {
        bail!("{} holds no age identity", path.display());
    }
    Ok(identities)
}

/// Seals `from` into the new file `to`, which is on the disk when this returns.
pub(super) fn seal(from: &Path, to: &Path, recipients: &[Recipient]) -> Result<Sealed> {
    let mut source = Metered::new(BufReader::with_capacity(BUFFER_BYTES, File::open(from)?));
    let target = File::create_new(to).with_context(|| format!("{}", to.display()))?;
    let target = Metered::new(BufWriter::with_capacity(BUFFER_BYTES, target));
    let encryptor =
        age::Encryptor::with_recipients(recipients.iter().map(|one| one as &dyn age::Recipient))?;
    let mut packed = GzEncoder::new(encryptor.wrap_output(target)?, Compression::fast());
    io::copy(&mut source, &mut packed)?;
    let mut target = packed.finish()?.finish()?;
    target.flush()?;
    target.inner.get_ref().sync_all()?;
    Ok(Sealed { plain: source.measure(), sealed: target.measure() })
}

/// Opens `from` into the new file `to`; an error, and no file, when a hash is not as `expected`.
pub(super) fn open(
    from: &Path,
    to: &Path,
    identities: &[Identity],
    expected: &Sealed,
) -> Result<()> {
    let opened = unseal(from, to, identities, expected);
    if opened.is_err() {
        std::fs::remove_file(to).ok();
    }
    opened
}

fn unseal(from: &Path, to: &Path, identities: &[Identity], expected: &Sealed) -> Result<()> {
    let name = from.display();
    let file = File::open(from).with_context(|| format!("{name}"))?;
    let mut source = Metered::new(BufReader::with_capacity(BUFFER_BYTES, file));
    // The whole file first: a damaged one is told as damaged, not as a wrong key.
    io::copy(&mut source, &mut io::sink())?;
    if source.measure() != expected.sealed {
        bail!("{name} is damaged: its hash is not the one in the manifest");
    }
    let source = BufReader::with_capacity(BUFFER_BYTES, File::open(from)?);
    let decryptor = age::Decryptor::new(source).with_context(|| format!("{name}"))?;
    let keys = identities.iter().map(|one| one as &dyn age::Identity);
    let plain = decryptor.decrypt(keys).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => {
            anyhow!("{name} is sealed for another key: find the identity of a recipient that the manifest names")
        }
        other => anyhow!("{name}: {other}"),
    })?;
    let mut plain = Metered::new(GzDecoder::new(plain));
    let mut target = File::create_new(to).with_context(|| format!("{}", to.display()))?;
    io::copy(&mut plain, &mut target)?;
    target.sync_all()?;
    if plain.measure() != expected.plain {
        bail!("{name} opens to something else than the manifest says");
    }
    Ok(())
}

/// A stream that counts and hashes what passes.
struct Metered<S> {
    inner: S,
    hash: Sha256,
    bytes: u64,
}

impl<S> Metered<S> {
    fn new(inner: S) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn measure(&self) -> Measure {
        let hash = self.hash.clone().finalize();
        let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Measure { bytes: self.bytes, sha256 }
    }
}

impl<S: Read> Read for Metered<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<S: Write> Write for Metered<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.passed(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(folder: &Path, key: &Identity) -> (std::path::PathBuf, Sealed) {
        let (plain, to) = (folder.join("plain"), folder.join("sealed"));
        std::fs::write(&plain, b"canary 4711 ".repeat(10_000)).expect("written");
        let measure = seal(&plain, &to, &[key.to_public()]).expect("sealed");
        (to, measure)
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_alone_and_shows_nothing_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Identity::generate();
        let (path, measure) = sealed(folder.path(), &key);
        let bytes = std::fs::read(&path).expect("read");
        assert!(!bytes.windows(6).any(|part| part == b"canary"), "sealed means unreadable");
        let back = folder.path().join("back");
        let error = open(&path, &back, &[Identity::generate()], &measure).expect_err("wrong key");
        assert!(error.to_string().contains("sealed for another key"), "{error}");
        assert!(!back.exists());
        open(&path, &back, &[key], &measure).expect("right key");
        assert_eq!(std::fs::read(back).expect("read"), b"canary 4711 ".repeat(10_000));
    }

    #[test]
    fn a_flipped_bit_and_a_missing_tail_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = [Identity::generate()];
        let (path, measure) = sealed(folder.path(), &key[0]);
        let whole = std::fs::read(&path).expect("read");
        let back = folder.path().join("back");
        for (at, what) in [(whole.len() / 2, "flip"), (whole.len() - 20, "cut")] {
            let mut bytes = whole.clone();
            match what {
                "flip" => bytes[at] ^= 1,
                _ => bytes.truncate(at),
            }
            std::fs::write(&path, bytes).expect("written");
            let error = open(&path, &back, &key, &measure).expect_err(what);
            assert!(error.to_string().contains("damaged"), "{what}: {error}");
            assert!(!back.exists());
        }
    }
}
