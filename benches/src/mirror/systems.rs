//! The proxies, each without copies and with them.
//!
//! Each has one worker, no access log, and kept-alive connections on all sides; the module of
//! each says what else it was told.

mod envoy;
mod gateway;
mod nginx;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure,
    child::Child,
    nginx::free_port,
    overload::systems::{System as Overloaded, passes},
};

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The gateway.
    Sluicegate,
    /// nginx, with `mirror`.
    Nginx,
    /// Envoy, with `request_mirror_policies`.
    Envoy,
}

/// What is done with the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// There are none.
    None,
    /// They are sent, and their answers read to the end.
    Sent,
    /// ... and compared with the primary's.
    Compared,
    /// ... and of some another copy goes to the primary, for the noise between two answers of one
    /// version.
    Weighed,
    /// Like these, to a shadow that does all it can to be a burden.
    Burdened,
}

impl Copies {
    /// How it is called in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sent => "sent",
            Self::Compared => "compared",
            Self::Weighed | Self::Burdened => "compared, 10 % noise",
        }
    }
}

/// What is measured, each system beginning with itself without copies.
pub const LINES: [(System, Copies); 8] = [
    (System::Sluicegate, Copies::None),
    (System::Sluicegate, Copies::Sent),
    (System::Sluicegate, Copies::Compared),
    (System::Sluicegate, Copies::Weighed),
    (System::Nginx, Copies::None),
    (System::Nginx, Copies::Sent),
    (System::Envoy, Copies::None),
    (System::Envoy, Copies::Sent),
];

/// What a proxy needs to be started.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// This program, which can become another on the proxies' core.
    pub own: &'a Path,
    /// A folder that outlives the proxy, and is its alone.
    pub folder: &'a Path,
    /// Where the primary listens.
    pub primary: SocketAddr,
    /// Where the shadow is thought to be: host and port.
    pub shadow: &'a str,
    /// Where Envoy is.
    pub envoy: &'a Path,
}

/// A proxy that is up.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub child: Child,
    /// Where the gateway tells its metrics.
    pub admin: Option<SocketAddr>,
}

impl System {
    /// How it is called in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sluicegate => "Sluicegate",
            Self::Nginx => "nginx",
            Self::Envoy => "Envoy",
        }
    }

    /// Its version; `None` where it cannot be run.
    #[must_use]
    pub fn version(self, envoy: &Path) -> Option<String> {
        match self {
            Self::Sluicegate => Overloaded::Sluicegate,
            Self::Nginx => Overloaded::NginxConns,
            Self::Envoy => Overloaded::EnvoyPending,
        }
        .version(envoy)
    }

    /// Starts it, and waits until requests pass through it.
    ///
    /// # Errors
    ///
    /// It does not start, or nothing passes.
    pub fn start(self, stage: &Stage<'_>, copies: Copies) -> Result<Running, Failure> {
        let mut admin = None;
        let child = match self {
            Self::Sluicegate => {
                let admin = *admin.insert(free_port()?);
                let path = stage.write("sluicegate.yaml", &gateway::document(stage, copies, admin))?;
                Child::start(Command::new(stage.own).arg("serve").arg("--config").arg(path))?
            }
            Self::Nginx => {
                let address = free_port()?;
                let path = stage.write("nginx.conf", &nginx::document(stage, copies, address))?;
                let (folder, log) = (stage.folder.display().to_string(), stage.folder.join("error.log"));
                let log = log.display().to_string();
                stage.run(address, Path::new("nginx"), &["-p", &folder, "-e", &log, "-c"], &path)?
            }
            Self::Envoy => {
                let address = free_port()?;
                let path = stage.write("envoy.yaml", &envoy::document(stage, copies, address))?;
                let args = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "critical", "-c"];
                stage.run(address, stage.envoy, &args, &path)?
            }
        };
        passes(child.address)?;
        Ok(Running { child, admin })
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
}
