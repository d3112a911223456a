//! Shadows as nobody wants them.
//!
//! Those that are a server give way to all others (`SCHED_IDLE`): in life they are on another
//! machine, and here what they waste must not be what slows the clients down.

use std::{io, path::Path, process::Command, time::Duration};

use clap::ValueEnum;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::spawn_local,
    time::sleep,
};

use crate::{Failure, child::Child};

/// What is wrong with a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bad {
    /// It takes requests and never answers.
    Hangs,
    /// Nobody listens where it should be.
    Refuses,
    /// It breaks the connection when a request has come.
    Resets,
    /// Its answers come a byte at a time.
    Trickles,
    /// Its answers have no end.
    NeverEnds,
    /// Its name is in no DNS.
    Missing,
}

/// A name that no DNS has.
const NOWHERE: &str = "shadow.invalid:80";
/// Between two bytes of an answer that trickles.
const PAUSE: Duration = Duration::from_millis(20);
/// Of an answer that has no end.
const CHUNK: usize = 16 * 1024;

impl Bad {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Hangs, Self::Refuses, Self::Resets, Self::Trickles, Self::NeverEnds, Self::Missing];

    /// How it is called in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hangs => "hangs",
            Self::Refuses => "refuses",
            Self::Resets => "resets",
            Self::Trickles => "trickles",
            Self::NeverEnds => "answers without end",
            Self::Missing => "is missing from DNS",
        }
    }

    /// Starts it by way of `own bad KIND`; returns its process and where the gateway is told that
    /// it is.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(self, own: &Path) -> Result<(Option<Child>, String), Failure> {
        let Some(kind) = self.to_possible_value().filter(|_| self != Self::Missing) else {
            return Ok((None, NOWHERE.to_owned()));
        };
        let child = Child::start(Command::new(own).args(["bad", kind.get_name()]))?;
        let address = child.address.to_string();
        Ok((Some(child), address))
    }

    /// Treats everyone badly until the process ends. Needs a local runtime.
    ///
    /// # Errors
    ///
    /// Accepting failed, or the priority cannot be lowered.
    pub async fn serve(self) -> io::Result<()> {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let address = socket.local_addr()?;
        if self == Self::Refuses {
            // Its port is taken, so that nobody else listens there.
            println!("listening on {address}");
            return std::future::pending().await;
        }
        let listener = socket.listen(1024)?;
        println!("listening on {address}");
        loop {
            let (stream, _) = listener.accept().await?;
            // Whoever is treated badly leaves.
            spawn_local(async move { drop(self.treat(stream).await) });
        }
    }

    async fn treat(self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = [0; 4096];
        stream.set_nodelay(true)?;
        if stream.read(&mut buffer).await? == 0 {
            return Ok(());
        }
        match self {
            Self::Hangs => while stream.read(&mut buffer).await? > 0 {},
            Self::Resets => stream.set_zero_linger()?,
            Self::Trickles => {
                stream.write_all(&head("content-length: 1000000")).await?;
                loop {
                    stream.write_all(b" ").await?;
                    sleep(PAUSE).await;
                }
            }
            Self::NeverEnds => {
                stream.write_all(&head("transfer-encoding: chunked")).await?;
                let chunk = chunk();
                loop {
                    stream.write_all(&chunk).await?;
                }
            }
            Self::Refuses | Self::Missing => {}
        }
        Ok(())
    }
}

fn head(framing: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{framing}\r\n\r\n").into_bytes()
}

fn chunk() -> Vec<u8> {
    format!("{CHUNK:x}\r\n{}\r\n", " ".repeat(CHUNK)).into_bytes()
}
