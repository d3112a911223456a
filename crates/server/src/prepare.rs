//! Checking `listen` whole before anything is changed.
//!
//! Syntax and certificates need no server and serve an offline [`check`] too; sockets are
//! bound by [`Server::prepare`](crate::Server::prepare). Everything that is wrong is told at
//! once, each with its place in the document.

use std::{collections::HashSet, net::SocketAddr, path::Path};

use tokio::net::TcpListener;

use crate::{
    ListenInput,
    address::Address,
    tls::{self, Certificate},
};

/// What is wrong: the place in the document (`listen[0].address`), and what to do.
pub(crate) type Problems = Vec<(String, String)>;

/// Listeners that were checked, bound and loaded, and wait for
/// [`Server::commit`](crate::Server::commit). Dropped instead, it closes what it bound.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) checked: Checked,
    /// `None`: a running listener goes on under it.
    pub(crate) socket: Option<Socket>,
}

/// A bound socket, ready to be accepted from.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// An entry of `listen` whose address and certificate are right.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) configured: String,
    pub(crate) address: Address,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) proxied: bool,
}

/// What is wrong with `listen` as far as can be told without binding: each with its place in
/// the document and what to do. Relative paths start at `base`. Blocks on files.
#[must_use]
pub fn check(listen: &[ListenInput], base: &Path) -> Vec<(String, String)> {
    checked(listen, base).err().unwrap_or_default()
}

pub(crate) fn checked(listen: &[ListenInput], base: &Path) -> Result<Vec<Checked>, Problems> {
    let mut problems = Problems::new();
    let mut entries = Vec::with_capacity(listen.len());
    let mut seen = HashSet::new();
    for (index, input) in listen.iter().enumerate() {
        let address = match Address::parse(&input.address) {
            Ok(address) if seen.insert(address.clone()) => Some(address),
            Ok(_) => {
                let message = format!("{} is listened on twice: remove one of the entries", input.address);
                problems.push((format!("listen[{index}].address"), message));
                None
            }
            Err(error) => {
                problems.push((format!("listen[{index}].address"), error.to_string()));
                None
            }
        };
        let certificate = match input.tls.as_ref().map(|input| tls::load(input, base)).transpose() {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                let path = format!("listen[{index}].tls.{}", error.member());
                problems.push((path.trim_end_matches('.').to_owned(), error.to_string()));
                None
            }
        };
        if let (Some(address), Some(certificate)) = (address, certificate) {
            let (configured, proxied) = (input.address.clone(), input.proxy_protocol);
            entries.push(Checked { configured, address, certificate, proxied });
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::check;
    use crate::{ListenInput, TlsInput};

    fn at(address: &str) -> ListenInput {
        ListenInput { address: address.into(), tls: None, proxy_protocol: false }
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let tls = TlsInput { cert: "none.pem".into(), key: "none.key".into() };
        let listen = [
            at("127.0.0.1:80"),
            at("127.0.0.1:80"),
            at("http"),
            ListenInput { tls: Some(tls), ..at("127.0.0.1:443") },
        ];
        let problems = check(&listen, Path::new("/nonexistent"));
        let places: Vec<_> = problems.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["listen[1].address", "listen[2].address", "listen[3].tls.cert"]);
        assert!(problems[2].1.contains("/nonexistent/none.pem"), "{}", problems[2].1);
        assert!(check(&listen[..1], Path::new("")).is_empty());
    }
}
