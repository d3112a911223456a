//! What a demo consists of, started and stopped as one.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sluicegate_config::{Rejected, load};
use sluicegate_demo_rag::Running;
use sluicegate_server::Inherited;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{
    config::{self, Addresses},
    instances,
};
use crate::{
    gateway::{Gateway, Options, StartError},
    logging::LogSwitch,
};

/// Why a demo could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StandError {
    #[error("cannot make a temporary folder: {0}; is TMPDIR a folder this user may write to?")]
    Folder(io::Error),
    #[error("cannot listen on loopback: {0}")]
    Reserve(io::Error),
    #[error("{0}")]
    Instance(io::Error),
    #[error("{0}")]
    Rejected(#[from] Rejected),
    #[error("{0}")]
    Gateway(#[from] StartError),
    #[error("the start of the gateway was cut off: {0}")]
    CutOff(#[from] tokio::task::JoinError),
}

/// A running demo. The folder is removed when it is stopped or dropped.
pub(super) struct Stand {
    gateway: Arc<Gateway>,
    instances: [Running; 3],
    addresses: Addresses,
    config: PathBuf,
    _folder: TempDir,
}

impl Stand {
    /// Starts the instances and the gateway, which listens where it is `wanted`, first the
    /// listener and then the admin API, or on a free port where that is taken.
    pub(super) async fn start(
        side: Handle,
        log: LogSwitch,
        wanted: [SocketAddr; 2],
    ) -> Result<Self, StandError> {
        let folder =
            tempfile::Builder::new().prefix("sluicegate-demo-").tempdir().map_err(StandError::Folder)?;
        let [listen, admin] = config::reserve(wanted).map_err(StandError::Reserve)?;
        let instances = instances::start_all().await.map_err(StandError::Instance)?;
        let addresses = Addresses {
            listen: listen.local_addr().map_err(StandError::Reserve)?,
            admin: admin.local_addr().map_err(StandError::Reserve)?,
            instances: [instances[0].address(), instances[1].address(), instances[2].address()],
        };
        let config = folder.path().join("gateway.yaml");
        fs::write(&config, config::text(&addresses)).map_err(StandError::Folder)?;
        let options =
            Options { loaded: load(&config)?, side, inherited: Inherited::none(), log, connect: None };
        let started = tokio::task::spawn_blocking(move || {
            // Held until now, so that nothing else of this process could be given their ports.
            drop((listen, admin));
            Gateway::start(options)
        });
        let gateway = Arc::new(started.await??);
        gateway.watch();
        Ok(Self { gateway, instances, addresses, config, _folder: folder })
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The configuration file, which is watched.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// Stops everything; what runs has `limit` to finish.
    pub(super) async fn stop(self, limit: Duration) {
        self.gateway.close(limit).await;
        for instance in self.instances {
            instance.stop().await;
        }
    }
}
