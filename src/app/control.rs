//! The control socket: where it is, how it is opened, how a command on the same machine asks it.
//!
//! What it answers is the gateway's business.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::config::{Config, Store};

/// The socket's name in the data directory.
const NAME: &str = "control.sock";
/// Only the daemon's own user may talk to it.
const MODE: u32 = 0o600;
/// Longest answer that is read: a scorecard of many chains.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A probe of providers takes up to 10 s.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where the control socket of this configuration is.
pub fn path(config: &Config) -> PathBuf {
    let Store::Embedded { path } = &config.store;
    path.join(NAME)
}

/// Opens the socket. The caller holds the store, so a file that is there is of a daemon that died.
pub(super) fn bind(path: &Path) -> Result<UnixListener> {
    // Permissions come before the name that others look for.
    let fresh = path.with_extension("new");
    let failed = || format!("control socket {}", path.display());
    for old in [path, &fresh] {
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(failed);
            }
            _ => {}
        }
    }
    let listener = UnixListener::bind(&fresh).with_context(failed)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(MODE)).with_context(failed)?;
    std::fs::rename(&fresh, path).with_context(failed)?;
    Ok(listener)
}

/// Asks the running daemon; its answer whatever the status, and whether it was a success.
pub async fn ask(config: &Config, method: &str, route: &str) -> Result<(bool, Value)> {
    let path = path(config);
    let mut stream = UnixStream::connect(&path).await.map_err(|error| {
        anyhow!(
            "no daemon answers at {} ({error}); start `rwahub run` with this configuration",
            path.display()
        )
    })?;
    let request = format!(
        "{method} {route} HTTP/1.1\r\nhost: control\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await
    };
    tokio::time::timeout(TIMEOUT, exchange).await.context("the daemon does not answer")??;
    let answer = String::from_utf8_lossy(&answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("no HTTP answer") };
    let status: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let value = serde_json::from_str(body).with_context(|| format!("status {status}"))?;
    Ok(((200..300).contains(&status), value))
}

/// A path segment of a name that may hold anything.
pub fn segment(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_and_replaces_that_of_a_dead_daemon() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        drop(bind(&path).expect("binds"));
        let listener = bind(&path).expect("binds again");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let (connected, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(segment("a-b.c"), "a-b.c");
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
    }
}
