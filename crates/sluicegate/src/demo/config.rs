//! The demo's configuration: the quickstart with the addresses that are really in use.
//!
//! The text is changed and not the document, so that its comments stay for whoever opens
//! the file. The quickstart's own ports are taken where they are free, so that commands work
//! as they stand in the documentation; where one is not, a free port takes its place.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

const QUICKSTART: &str = include_str!("../../../../config/quickstart.yaml");
/// The log of a demo shares the terminal with its live line.
const QUIET: &str = "\nlog: { level: warn }                   # the demo's terminal stays quiet\n";

/// Where the quickstart's listener and its admin API are.
pub(super) const PREFERRED: [SocketAddr; 2] = [loopback(8080), loopback(9901)];
/// The upstreams of the quickstart, in the order of [`Addresses::instances`].
pub(super) const UPSTREAMS: [(&str, SocketAddr); 3] =
    [("stable", loopback(7001)), ("next", loopback(7002)), ("lab", loopback(7003))];

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The addresses of one demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) instances: [SocketAddr; 3],
}

/// The quickstart with these addresses in place of its own.
///
/// All are replaced in one pass, so that an address that was put in is never taken for one
/// to be replaced.
pub(super) fn text(addresses: &Addresses) -> String {
    let [listen, admin] = PREFERRED;
    let mut changes = vec![(listen.to_string(), addresses.listen), (admin.to_string(), addresses.admin)];
    changes.extend(UPSTREAMS.iter().zip(addresses.instances).map(|((_, from), to)| (from.to_string(), to)));
    let mut text = String::with_capacity(QUICKSTART.len() + QUIET.len());
    let mut left = QUICKSTART;
    while let Some((at, from, to)) =
        changes.iter().filter_map(|(from, to)| Some((left.find(from)?, from, to))).min_by_key(|found| found.0)
    {
        text.push_str(&left[..at]);
        text.push_str(&to.to_string());
        left = &left[at + from.len()..];
    }
    text + left + QUIET
}

/// Keeps each of the `wanted` addresses, or a free port where it is taken, until the sockets
/// are dropped; nobody else gets them before.
pub(super) fn reserve(wanted: [SocketAddr; 2]) -> io::Result<[TcpListener; 2]> {
    let [listen, admin] = wanted;
    Ok([reserve_one(listen)?, reserve_one(admin)?])
}

fn reserve_one(wanted: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(wanted).or_else(|_| TcpListener::bind(loopback(0)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sluicegate_config::{Source, document::LogLevel, parse};

    use super::{Addresses, PREFERRED, loopback, reserve, text};

    #[test]
    fn every_address_is_replaced_and_nothing_else() {
        // The first instance has a port of the quickstart's: it must not be replaced again.
        let addresses = Addresses {
            listen: loopback(18080),
            admin: loopback(7002),
            instances: [loopback(9901), loopback(17002), loopback(17003)],
        };
        let text = text(&addresses);
        let loaded = parse(&text, &Source::sent(Path::new("."))).unwrap();
        let quickstart = parse(super::QUICKSTART, &Source::sent(Path::new("."))).unwrap();
        let document = &loaded.document;
        assert_eq!(document.listen[0].address, "127.0.0.1:18080");
        assert_eq!(document.admin.address, addresses.admin);
        let endpoint = |name: &str| document.upstreams[name].endpoints[0].as_str();
        assert!(endpoint("stable").starts_with("http://127.0.0.1:9901"));
        assert!(endpoint("next").starts_with("http://127.0.0.1:17002"));
        assert!(endpoint("lab").starts_with("http://127.0.0.1:17003"));
        assert_eq!(document.log.level, LogLevel::Warn);
        assert_eq!(document.upstreams.len(), super::UPSTREAMS.len());
        assert_eq!(document.routes, quickstart.document.routes);
        assert_eq!(document.freeze, quickstart.document.freeze);
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }

    #[test]
    fn the_preferred_addresses_leave_the_quickstart_as_it_is() {
        let [listen, admin] = PREFERRED;
        let instances = super::UPSTREAMS.map(|(_, address)| address);
        let text = text(&Addresses { listen, admin, instances });
        assert!(text.starts_with(super::QUICKSTART));
    }

    #[test]
    fn a_port_that_is_taken_gives_way_to_a_free_one() {
        let [held, free] = reserve([loopback(0), loopback(0)]).unwrap();
        let (taken, wanted) = (held.local_addr().unwrap(), free.local_addr().unwrap());
        drop(free);
        let [first, second] = reserve([taken, wanted]).unwrap();
        assert_ne!(first.local_addr().unwrap(), taken);
        assert!(first.local_addr().unwrap().ip().is_loopback());
        assert_eq!(second.local_addr().unwrap(), wanted);
    }
}
