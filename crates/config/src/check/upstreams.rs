//! Upstreams: their names, endpoints, probes and timeouts.

use std::path::Path;

use sluicegate_core::units::Span;
use sluicegate_upstream::{
    affinity::AffinityInput,
    input::{HealthInput, UpstreamInput},
};

use super::{Findings, name_fault, values::positive};
use crate::{Document, yaml::shortened};

pub(super) fn check(document: &Document, found: &mut Findings) {
    if document.upstreams.is_empty() {
        found.fault(
            "upstreams",
            "at least one upstream is needed, such as `stable: { endpoints: [\"http://127.0.0.1:7001\"] }`",
        );
    }
    for (name, upstream) in &document.upstreams {
        let path = format!("upstreams.{name}");
        if let Some(message) = name_fault(name) {
            found.fault_at_key(&path, message);
        }
        endpoints(&path, upstream, found);
        if let Some(health) = &upstream.health {
            probe(&format!("{path}.health"), health, found);
        }
        for error in upstream.pin_faults() {
            found.fault(format!("{path}.{}", error.path), error.message);
        }
        for error in upstream.breaker.faults() {
            found.fault(format!("{path}.{}", error.path), error.message);
        }
        if let Some(Err((key, message))) = upstream.affinity.as_ref().map(AffinityInput::check) {
            found.fault(format!("{path}.affinity.{key}"), message);
        }
        if upstream.affinity.is_some() && upstream.endpoints.len() == 1 {
            found.warn(format!("{path}.affinity"), "there is one endpoint, where every session is anyhow");
        }
        if upstream.resolve < Span::secs(1) {
            let message = format!("`{}` is below 1s, which would be a flood", upstream.resolve);
            found.fault(format!("{path}.resolve"), message);
        }
        if upstream.concurrent == Some(0) {
            let message = "0 would let nothing run; write 1 or more, or remove the key for no limit";
            found.fault(format!("{path}.concurrent"), message);
        }
        let timeouts = &upstream.timeouts;
        let spans = [
            ("connect", timeouts.connect),
            ("per_try", timeouts.per_try),
            ("stream_idle", timeouts.stream_idle),
            ("body_idle", timeouts.body_idle),
        ];
        for (key, span) in spans.into_iter().filter_map(|(key, span)| Some((key, span?))) {
            positive(found, &format!("{path}.timeouts.{key}"), span);
        }
        for (at, status) in upstream.not_applied.iter().enumerate() {
            if !(400..=599).contains(status) {
                let message = format!(
                    "{status} cannot promise that nothing was done; name statuses from 400 to 599, such as 429"
                );
                found.fault(format!("{path}.not_applied[{at}]"), message);
            }
        }
        if let Some(tls) = &upstream.tls {
            if tls.ca.as_deref().is_some_and(|ca| ca == Path::new("")) {
                found.fault(format!("{path}.tls.ca"), "the path is empty; name a PEM file");
            }
            match (&tls.cert, &tls.key) {
                (Some(_), None) => {
                    found.fault(format!("{path}.tls.cert"), "its key is missing; name it in `key`");
                }
                (None, Some(_)) => {
                    found.fault(format!("{path}.tls.key"), "its certificate is missing; name it in `cert`");
                }
                _ => {}
            }
            if tls.server_name.as_deref().is_some_and(|name| !host_fits(name)) {
                found.fault(format!("{path}.tls.server_name"), "this is not the name of a host");
            }
            if !upstream.endpoints.iter().any(|endpoint| endpoint.starts_with("https://")) {
                found.warn(format!("{path}.tls"), "no endpoint here is https, so this does nothing");
            }
        }
    }
}

fn endpoints(path: &str, upstream: &UpstreamInput, found: &mut Findings) {
    if upstream.endpoints.is_empty() {
        let message = "at least one endpoint is needed, such as \"http://127.0.0.1:7001\"";
        found.fault(format!("{path}.endpoints"), message);
    }
    for (at, endpoint) in upstream.endpoints.iter().enumerate() {
        let path = format!("{path}.endpoints[{at}]");
        if let Err(wrong) = endpoint_fits(endpoint) {
            let message =
                format!("`{}` {wrong}; write http://HOST:PORT or https://HOST", shortened(endpoint));
            found.fault(&path, message);
        }
        if let Some(first) = upstream.endpoints[..at].iter().position(|other| other == endpoint) {
            found
                .fault(&path, format!("`{}` is already endpoints[{first}]; remove one", shortened(endpoint)));
        }
    }
}

/// Whether an endpoint is a scheme, a host and perhaps a port, and nothing else.
fn endpoint_fits(endpoint: &str) -> Result<(), &'static str> {
    let after = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    let authority = after.ok_or("is not an http or https URL")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains('@') {
        return Err("has a user in it, which would be sent nowhere");
    }
    if authority.contains(['/', '?', '#']) {
        return Err("has more than a host and a port; paths are passed on as they come");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inside) => {
            let (host, port) = inside.split_once(']').ok_or("has no closing bracket")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "has no IPv6 address in its brackets")?;
            (None, port)
        }
        None => match authority.split_once(':') {
            Some((host, _)) => (Some(host), &authority[host.len()..]),
            None => (Some(authority), ""),
        },
    };
    if host.is_some_and(|host| !host_fits(host)) {
        return Err("has no host that can be looked up");
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse::<u16>() {
            Ok(1..) => Ok(()),
            _ => Err("has a port outside 1 to 65535"),
        },
        _ => Err("has a port that is not a number"),
    }
}

fn host_fits(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&host.len())
        && host.bytes().all(fits)
        && !host.starts_with('.')
        && !host.contains("..")
}

fn probe(path: &str, health: &HealthInput, found: &mut Findings) {
    if !health.path.starts_with('/')
        || health.path.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#')
    {
        let message =
            format!("`{}` is not a path; begin it with `/`, such as /healthz", shortened(&health.path));
        found.fault(format!("{path}.path"), message);
    }
    if health.interval < Span::millis(10) {
        found.fault(
            format!("{path}.interval"),
            format!("`{}` is below 10ms, which would be a flood", health.interval),
        );
    }
    positive(found, &format!("{path}.timeout"), health.timeout);
    for (key, count) in [("healthy_after", health.healthy_after), ("unhealthy_after", health.unhealthy_after)]
    {
        if count == 0 {
            found.fault(format!("{path}.{key}"), "0 probes decide nothing; write 1 or more");
        }
    }
    if health.status.as_ref().is_some_and(Vec::is_empty) {
        found.fault(format!("{path}.status"), "no status counts as good; name one, or remove the key");
    }
    for (at, status) in health.status.iter().flatten().enumerate() {
        if !(200..=599).contains(status) {
            found.fault(
                format!("{path}.status[{at}]"),
                format!("{status} is not a final status; 200 to 599 are"),
            );
        }
    }
}
