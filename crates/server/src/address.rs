//! Addresses of listeners, and binding them.
//!
//! An entry is known by its address: over a reload, an equal address keeps its socket (and a
//! port that the system chose stays the same).

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel may hold until they are accepted; the kernel's own limit cuts it.
const BACKLOG: i32 = 4096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// Bind it.
    Socket(SocketAddr),
    /// A socket passed in under this name.
    Inherited(String),
}

/// Why an address cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("\"{0}\" is not an address to listen on: write IP:PORT, such as 127.0.0.1:8080 or [::]:8080")]
    Syntax(String),
    #[error(
        "no socket named \"{0}\" was passed in: set FileDescriptorName={0} in the systemd socket unit and start through it"
    )]
    NotInherited(String),
    #[error("{address} is in use by {by}", by = in_use_by(*.address, *.ours))]
    InUse { address: SocketAddr, ours: bool },
    #[error(
        "{0} may not be bound: ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities in systemd), or choose a higher port"
    )]
    Denied(SocketAddr),
    #[error(
        "{0} cannot be bound: no network interface of this machine has that address (`ip addr` shows them)"
    )]
    NotLocal(SocketAddr),
    #[error("{address} cannot be listened on: {source}")]
    Other { address: SocketAddr, source: io::Error },
    #[error("the socket for {address} cannot be used: {source}")]
    Unusable { address: String, source: io::Error },
}

fn in_use_by(address: SocketAddr, ours: bool) -> String {
    if ours {
        "another listener of this gateway that overlaps it: remove that one first, in a change of its own"
            .into()
    } else {
        let port = address.port();
        format!(
            "another process: stop it (`ss -ltnp 'sport = :{port}'` shows which) or choose another address"
        )
    }
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(name) = text.strip_prefix("systemd:").filter(|name| !name.is_empty()) {
            return Ok(Self::Inherited(name.to_owned()));
        }
        text.parse().map(Self::Socket).map_err(|_| AddressError::Syntax(text.to_owned()))
    }
}

/// Binds and listens. `ours` tells whether a port is held by a listener of this server.
pub(crate) fn bind(address: SocketAddr, ours: impl Fn(u16) -> bool) -> Result<TcpListener, AddressError> {
    listen(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => AddressError::InUse { address, ours: ours(address.port()) },
        io::ErrorKind::PermissionDenied => AddressError::Denied(address),
        io::ErrorKind::AddrNotAvailable => AddressError::NotLocal(address),
        _ => AddressError::Other { address, source },
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets a restart bind while connections of the former process are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::{Address, bind};

    #[test]
    fn an_address_is_an_ip_and_a_port_or_the_name_of_a_passed_socket() {
        for good in ["127.0.0.1:80", "[::1]:0", "0.0.0.0:8443"] {
            assert!(matches!(Address::parse(good), Ok(Address::Socket(_))), "{good}");
        }
        assert_eq!(Address::parse("systemd:web").unwrap(), Address::Inherited("web".into()));
        for bad in ["", "8080", ":8080", "localhost:8080", "127.0.0.1", "systemd:", "127.0.0.1:99999"] {
            let message = Address::parse(bad).unwrap_err().to_string();
            assert!(message.contains("IP:PORT") && message.contains(bad), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_bound_says_what_to_do() {
        let held = bind("127.0.0.1:0".parse().unwrap(), |_| false).unwrap();
        let address = held.local_addr().unwrap();
        let theirs = bind(address, |_| false).unwrap_err().to_string();
        assert_eq!(
            theirs,
            format!(
                "{address} is in use by another process: stop it (`ss -ltnp 'sport = :{}'` shows which) \
                 or choose another address",
                address.port()
            )
        );
        let ours = bind(address, |port| port == address.port()).unwrap_err().to_string();
        assert!(ours.contains("another listener of this gateway"), "{ours}");
        // 192.0.2.0/24 is set aside for documentation: no machine has it.
        let foreign = bind("192.0.2.1:0".parse().unwrap(), |_| false).unwrap_err().to_string();
        assert!(foreign.contains("no network interface"), "{foreign}");
    }
}
