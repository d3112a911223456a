//! Sockets passed in by socket activation (`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`).
//!
//! A passed socket is used in place of binding where its address, or its name as
//! `systemd:NAME`, is configured. The service manager keeps such sockets listening whatever
//! this process does, so they are kept here for good and lent out as duplicates: a listener
//! that a reload removes and a later one brings back gets the same socket again.

use std::{
    env,
    net::{SocketAddr, TcpListener},
};

use listenfd::ListenFd;
use tracing::warn;

use crate::address::{Address, AddressError};

/// The sockets that this process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Passed>,
}

#[derive(Debug)]
struct Passed {
    name: Option<String>,
    address: SocketAddr,
    socket: TcpListener,
}

impl Inherited {
    /// None: every address is bound.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Those that the environment tells of. Call it once, early: it takes the variables out
    /// of the environment. What is not a TCP listener is named in the log and left alone.
    #[must_use]
    pub fn from_env() -> Self {
        let names: Vec<String> = env::var("LISTEN_FDNAMES")
            .map(|names| names.split(':').map(str::to_owned).collect())
            .unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            let name = names.get(index).cloned();
            match passed.take_tcp_listener(index) {
                Ok(Some(socket)) => inherited.add(name, socket),
                Ok(None) => {}
                Err(error) => {
                    warn!(index, name, %error, "a passed-in socket cannot be used; check the socket unit");
                }
            }
        }
        inherited
    }

    fn add(&mut self, name: Option<String>, socket: TcpListener) {
        match socket.local_addr() {
            Ok(address) => self.sockets.push(Passed { name, address, socket }),
            Err(error) => warn!(name, %error, "a passed-in socket has no address; check the socket unit"),
        }
    }

    /// A duplicate of the socket for the address, if one was passed.
    pub(crate) fn lend(&self, address: &Address) -> Result<Option<TcpListener>, AddressError> {
        let duplicate = |passed: &Passed| {
            passed
                .socket
                .try_clone()
                .map(Some)
                .map_err(|source| AddressError::Unusable { address: passed.address.to_string(), source })
        };
        match (self.sockets.iter().find(|passed| passed.serves(address)), address) {
            (Some(passed), _) => duplicate(passed),
            (None, Address::Inherited(name)) => Err(AddressError::NotInherited(name.clone())),
            (None, Address::Socket(_)) => Ok(None),
        }
    }

    /// Says which sockets no listener uses: their clients would wait for ever.
    pub(crate) fn warn_unused(&self, configured: &[&Address]) {
        for passed in self.sockets.iter().filter(|passed| !configured.iter().any(|used| passed.serves(used)))
        {
            let (address, name) = (passed.address, passed.name.as_deref().unwrap_or_default());
            warn!(%address, name, "a passed-in socket is not used: add it to `listen`, or remove its socket unit");
        }
    }
}

impl Passed {
    fn serves(&self, address: &Address) -> bool {
        match address {
            Address::Socket(wanted) => *wanted == self.address,
            Address::Inherited(name) => self.name.as_deref() == Some(name),
        }
    }
}

impl FromIterator<(Option<String>, TcpListener)> for Inherited {
    /// Sockets by name, from another manager than systemd.
    fn from_iter<I: IntoIterator<Item = (Option<String>, TcpListener)>>(sockets: I) -> Self {
        let mut inherited = Self::default();
        sockets.into_iter().for_each(|(name, socket)| inherited.add(name, socket));
        inherited
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{Address, Inherited};

    #[test]
    fn a_passed_socket_is_found_by_its_address_and_by_its_name_again_and_again() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let inherited = Inherited::from_iter([(Some("web".to_owned()), socket)]);
        for wanted in [Address::Socket(address), Address::Inherited("web".into())] {
            for _ in 0..2 {
                let lent = inherited.lend(&wanted).unwrap().unwrap();
                assert_eq!(lent.local_addr().unwrap(), address);
            }
        }
        assert!(inherited.lend(&Address::Socket("127.0.0.1:1".parse().unwrap())).unwrap().is_none());
        let missing = inherited.lend(&Address::Inherited("api".into())).unwrap_err().to_string();
        assert!(missing.contains("FileDescriptorName=api"), "{missing}");
    }
}
