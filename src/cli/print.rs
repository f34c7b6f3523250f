//! What goes to the terminal: data to stdout, everything else to stderr. A closed pipe is no error.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::app::run::Announce;

/// Writes data. A reader that has gone away ends the writing quietly.
pub(super) fn data(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a message for the person at the terminal.
pub(super) fn error(text: &str) {
    // Nothing is left to do when even this cannot be printed.
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Writes a completion script to stdout.
pub(super) fn completions(shell: clap_complete::Shell, mut command: clap::Command) {
    clap_complete::generate(shell, &mut command, "rwahub", &mut io::stdout());
}

/// Tells the outside that the daemon serves: tools wait for this line.
#[derive(Debug)]
pub(super) struct Listening;

impl Announce for Listening {
    fn listening(&self, address: SocketAddr) {
        error(&format!("listening on http://{address}"));
    }
}
