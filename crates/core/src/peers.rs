//! Whose word is taken for whom a connection or a request is from.

use std::net::IpAddr;

use ipnet::IpNet;

/// The peers that may say on whose behalf they come, in `X-Forwarded-*` or a PROXY header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedPeers(Vec<IpNet>);

impl TrustedPeers {
    /// Trusts the peers in these networks.
    #[must_use]
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether `peer` is one of them; an IPv4 address that is written as IPv6 counts as itself.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::TrustedPeers;

    #[test]
    fn a_mapped_address_counts_as_itself() {
        let trusted = TrustedPeers::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for (peer, expected) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("fd00::1", true), ("11.0.0.1", false)]
        {
            assert_eq!(trusted.contains(peer.parse().unwrap()), expected, "{peer}");
        }
        assert!(!TrustedPeers::default().contains("127.0.0.1".parse().unwrap()));
    }
}
