//! What routes ask of hosts and header fields, and what they change of what passes.

use super::Findings;
use crate::Document;

pub(super) fn check(document: &Document, found: &mut Findings) {
    for (at, listen) in document.listen.iter().enumerate() {
        if listen.proxy_protocol && document.trusted_peers.is_empty() {
            let message = "nobody's header would be believed, and every connection closed: list the load balancer's addresses in `trusted_peers`";
            found.fault(format!("listen[{at}].proxy_protocol"), message);
        }
    }
    for (at, route) in document.routes.iter().enumerate() {
        let asked = route.r#match.check().err().unwrap_or_default();
        let asked = asked.into_iter().map(|(path, message)| (format!("match.{path}"), message));
        for (path, message) in asked.chain(route.rewrite(None).err().unwrap_or_default()) {
            found.fault(format!("routes[{at}].{path}"), message);
        }
        let hosts = &route.r#match.hosts;
        for (second, host) in hosts.iter().enumerate() {
            if let Some(first) = hosts[..second].iter().position(|other| other.covers(host)) {
                let message = format!("`{host}` is one of `{}` already; remove one", hosts[first]);
                found.fault(format!("routes[{at}].match.hosts[{second}]"), message);
            }
        }
    }
}
