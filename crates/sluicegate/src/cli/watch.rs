//! `--watch` where the gateway has no changes to wait for: a look every so often, until ctrl-c.
//!
//! On a terminal the screen is drawn anew; elsewhere each look follows the one before after an empty
//! line, and with `--json` it is one line. A gateway that does not answer for a while is waited for:
//! it may be restarting. The first look must come, so that a wrong address is told at once. It ends
//! with ctrl-c, or where nobody reads any more (`--watch | head`).

use std::{
    io::{self, ErrorKind},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::{io::Interest, net::unix::pipe::Sender, runtime::Builder, time::timeout};

use super::{Exit, Failure, Streams, ask::print_refusal, client::ClientError};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows what `look` finds, again and again.
pub(super) fn watch(
    json: bool,
    look: impl Fn() -> Result<Value, Failure>,
    show: impl Fn(&Value, &mut Streams<'_>) -> Result<(), Failure>,
    to: &mut Streams<'_>,
) -> Result<Exit, Failure> {
    let (mut shown, mut lost) = (false, false);
    loop {
        match look() {
            Ok(found) => {
                if json {
                    writeln!(to.out, "{found}")?;
                } else {
                    if to.terminal {
                        write!(to.out, "{CLEAR}")?;
                    } else if shown {
                        writeln!(to.out)?;
                    }
                    show(&found, to)?;
                }
                to.out.flush()?;
                (shown, lost) = (true, false);
            }
            Err(Failure::Client(error)) if shown && is_away(&error) => {
                if !std::mem::replace(&mut lost, true) {
                    writeln!(to.err, "sluicegate: the gateway does not answer; trying on")?;
                }
            }
            Err(error) => {
                if let Failure::Client(error) = &error {
                    print_refusal(error, json, to)?;
                }
                return Err(error);
            }
        }
        thread::sleep(EVERY);
        while_read()?;
    }
}

/// Fails where nobody reads standard output any more. Who has nothing to write would not notice.
pub(super) fn while_read() -> io::Result<()> {
    /// The answer is there at once.
    const LIMIT: Duration = Duration::from_millis(10);
    let looked = Builder::new_current_thread().enable_all().build()?.block_on(async {
        // What is no pipe, such as a file, cannot lose its reader.
        let out = Sender::from_owned_fd_unchecked(io::stdout().as_fd().try_clone_to_owned()?)?;
        Ok::<_, io::Error>(timeout(LIMIT, out.ready(Interest::ERROR)).await.is_ok())
    });
    if looked.unwrap_or(false) { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

/// Whether the gateway may come back.
pub(super) fn is_away(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. } | ClientError::NoAnswer { .. })
}
