//! What stands between the clients and the service.
//!
//! Each has one worker, no access log, kept-alive connections on both sides, and of its own
//! means those that come nearest to: so many requests at the service at one time, a short queue
//! before it, people before jobs. The module of each says what it was told.

mod envoy;
mod gateway;
mod haproxy;
mod nginx;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{ASK, Setting};
use crate::{Failure, child::Child, nginx::free_port};

/// A system to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum System {
    /// Nothing: the clients reach the service itself.
    Nothing,
    /// The gateway.
    Sluicegate,
    /// nginx, refusing what finds no place.
    NginxConns,
    /// nginx, spreading requests to a rate.
    NginxRate,
    /// `HAProxy`, queueing before a full server.
    Haproxy,
    /// Envoy, queueing before full connections.
    EnvoyPending,
    /// Envoy, which finds the limit by itself.
    EnvoyAdaptive,
}

/// What a proxy needs to be started.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// This program, which can become another on the proxies' core.
    pub own: &'a Path,
    /// A folder of the proxy's own.
    pub folder: &'a Path,
    /// Where the service listens.
    pub upstream: SocketAddr,
    /// What the service can do.
    pub setting: Setting,
    /// Where Envoy is.
    pub envoy: &'a Path,
}

impl System {
    /// How it is called in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Sluicegate => "Sluicegate",
            Self::NginxConns => "nginx, `max_conns`",
            Self::NginxRate => "nginx, `limit_req`",
            Self::Haproxy => "HAProxy, `maxconn`",
            Self::EnvoyPending => "Envoy, circuit breaker",
            Self::EnvoyAdaptive => "Envoy, adaptive concurrency",
        }
    }

    /// Its version; `None` where it cannot be run.
    #[must_use]
    pub fn version(self, envoy: &Path) -> Option<String> {
        let (program, flag): (&Path, &str) = match self {
            Self::Nothing => return Some("-".to_owned()),
            Self::Sluicegate => return Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::NginxConns | Self::NginxRate => (Path::new("nginx"), "-v"),
            Self::Haproxy => (Path::new("haproxy"), "-v"),
            Self::EnvoyPending | Self::EnvoyAdaptive => (envoy, "--version"),
        };
        let output = Command::new(program).arg(flag).output().ok()?;
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        let number = |word: &&str| word.starts_with(|it: char| it.is_ascii_digit()) && word.contains('.');
        told.split([' ', '/', '\n']).find(number).map(str::to_owned)
    }

    /// Starts it, and waits until requests pass through it. Without a process: where the
    /// clients go is the service itself.
    ///
    /// # Errors
    ///
    /// It does not start, or nothing passes.
    pub fn start(self, stage: &Stage<'_>) -> Result<(Option<Child>, SocketAddr), Failure> {
        let child = match self {
            Self::Nothing => return Ok((None, stage.upstream)),
            Self::Sluicegate => {
                let path = stage.write("sluicegate.yaml", &gateway::document(stage))?;
                Child::start(Command::new(stage.own).arg("serve").arg("--config").arg(path))?
            }
            Self::NginxConns => stage.nginx(nginx::max_conns)?,
            Self::NginxRate => stage.nginx(nginx::limit_req)?,
            Self::Haproxy => {
                let address = free_port()?;
                let path = stage.write("haproxy.cfg", &haproxy::document(stage, address))?;
                stage.run(address, Path::new("haproxy"), &["-q", "-db", "-f"], &path)?
            }
            Self::EnvoyPending => stage.envoy(envoy::pending)?,
            Self::EnvoyAdaptive => stage.envoy(envoy::adaptive)?,
        };
        let address = child.address;
        passes(address)?;
        Ok((Some(child), address))
    }
}

impl Stage<'_> {
    fn write(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs a program that ends its command line with the path of its configuration.
    fn run(
        &self,
        address: SocketAddr,
        program: &Path,
        args: &[&str],
        config: &Path,
    ) -> Result<Child, Failure> {
        let mut command = Command::new(self.own);
        Child::start_at(command.args(["run", "--"]).arg(program).args(args).arg(config), address)
    }

    fn nginx(&self, limits: fn(&Self) -> nginx::Limits) -> Result<Child, Failure> {
        let address = free_port()?;
        let path = self.write("nginx.conf", &nginx::document(self, address, &limits(self)))?;
        let (folder, log) = (self.folder.display().to_string(), self.folder.join("error.log"));
        let log = log.display().to_string();
        self.run(address, Path::new("nginx"), &["-p", &folder, "-e", &log, "-c"], &path)
    }

    fn envoy(&self, guards: fn(&Self) -> envoy::Guards) -> Result<Child, Failure> {
        let address = free_port()?;
        let path = self.write("envoy.yaml", &envoy::document(self, address, &guards(self)))?;
        let args = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"];
        self.run(address, self.envoy, &args, &path)
    }
}

/// How long it may take until requests pass.
const LIMIT: Duration = Duration::from_secs(20);

/// Some accept before they can answer.
pub(crate) fn passes(address: SocketAddr) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match get(address, ASK) {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > LIMIT => {
                return Err(format!("nothing passes through {address}: {error}").into());
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The body of the answer to a GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(format!("{address}{path} answered: {answer}").into()),
    }
}
