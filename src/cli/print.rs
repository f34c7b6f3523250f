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

/// Writes a manual page to stdout.
pub(super) fn manual(mut program: clap::Command, page: Option<&str>) -> anyhow::Result<()> {
    program.build();
    let command = match page {
        None => program,
        Some(name) => program
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("there is no command {name:?}"))?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    data(&String::from_utf8_lossy(&text))
}

/// Tells the outside that the daemon serves: tools wait for this line.
#[derive(Debug)]
pub(super) struct Listening;

impl Announce for Listening {
    fn listening(&self, address: SocketAddr) {
        error(&format!("listening on http://{address}"));
    }
}
