//! Active probes, and names that may resolve to something else.
//!
//! One task per upstream and snapshot runs on the side runtime, so that a slow probe never
//! delays a request. It ends when a later snapshot has taken over, or has no such upstream.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    endpoint::Endpoint, fetch::fetch, input::HealthInput, pins::manifest, registry::Upstream,
    settings::lookup,
};

/// Starts what watches over `upstream`.
pub(crate) fn watch(upstream: &Arc<Upstream>, side: &tokio::runtime::Handle) {
    if let Some(health) = upstream.health.clone() {
        side.spawn(probe_all(Arc::downgrade(upstream), health));
    }
    if upstream.endpoints.iter().any(|endpoint| endpoint.is_named()) {
        side.spawn(resolve_all(Arc::downgrade(upstream), lookup));
    }
    manifest::watch(upstream, side);
}

/// Has `find` look for the endpoints' addresses again and again. What does not resolve for a while
/// stays where it was last found.
async fn resolve_all<F>(upstream: Weak<Upstream>, find: F)
where
    F: Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Copy + Send + 'static,
{
    loop {
        let Some(every) = upstream.upgrade().map(|upstream| upstream.resolve) else { return };
        tokio::time::sleep(every).await;
        let Some(upstream) = upstream.upgrade() else { return };
        for endpoint in upstream.endpoints.iter().filter(|endpoint| endpoint.is_named()).cloned() {
            let (host, port) = (endpoint.host.clone(), endpoint.port);
            match tokio::task::spawn_blocking(move || find(&host, port)).await {
                Ok(Ok(addresses)) => endpoint.set_addresses(addresses),
                Ok(Err(error)) => tracing::warn!(
                    endpoint = %endpoint.text, %error,
                    "the name does not resolve now; the addresses known so far stay in use"
                ),
                Err(_) => {}
            }
        }
    }
}

async fn probe_all(upstream: Weak<Upstream>, health: HealthInput) {
    // Results in a row, per endpoint: positive are good ones, negative bad ones.
    let mut streaks: Vec<i64> = Vec::new();
    loop {
        let Some(alive) = upstream.upgrade() else { return };
        if !alive.endpoints.iter().any(|endpoint| endpoint.is_entrusted(alive.id)) {
            return;
        }
        streaks.resize(alive.endpoints.len(), 0);
        let mut probes = JoinSet::new();
        for (at, endpoint) in alive.endpoints.iter().cloned().enumerate() {
            let health = health.clone();
            probes.spawn(async move { (at, probe(&endpoint, &health).await) });
        }
        while let Some(result) = probes.join_next().await {
            let Ok((at, result)) = result else { continue };
            judge((&alive.endpoints[at], alive.id), &mut streaks[at], result, &health);
        }
        drop(alive);
        tokio::time::sleep(health.interval.0).await;
    }
}

fn judge(
    (endpoint, prober): (&Endpoint, u64),
    streak: &mut i64,
    result: Result<(), String>,
    health: &HealthInput,
) {
    match result {
        Ok(()) => {
            *streak = (*streak).max(0) + 1;
            if *streak >= i64::from(health.healthy_after) && endpoint.probed(prober, true) {
                tracing::info!(endpoint = %endpoint.text, "endpoint is healthy again");
            }
        }
        Err(reason) => {
            *streak = (*streak).min(0) - 1;
            if -*streak >= i64::from(health.unhealthy_after) && endpoint.probed(prober, false) {
                tracing::warn!(endpoint = %endpoint.text, reason, "endpoint is unhealthy: {} probes in a row failed", -*streak);
            }
        }
    }
}

async fn probe(endpoint: &Endpoint, health: &HealthInput) -> Result<(), String> {
    match timeout(health.timeout.0, fetch(endpoint, &health.path, None)).await {
        Err(_) => Err(format!("no answer within {}", health.timeout)),
        Ok(Err(error)) => Err(error),
        Ok(Ok((status, _))) => {
            let good = match &health.status {
                Some(listed) => listed.contains(&status.as_u16()),
                None => status.is_success(),
            };
            if good { Ok(()) } else { Err(format!("status {status}")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use prometheus_client::registry::Registry;
    use tokio::{runtime::Handle, time::sleep};

    use super::resolve_all;
    use crate::{UpstreamMetrics, UpstreamSettings, Upstreams};

    static ASKED: AtomicUsize = AtomicUsize::new(0);

    fn at(end: u8, port: u16) -> SocketAddr {
        ([127, 0, 0, end], port).into()
    }

    /// Two addresses, then none for a while, then another one.
    fn find(_: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![at(2, port), at(3, port)]),
            1 | 2 => Err(io::Error::other("the resolver is away")),
            _ => Ok(vec![at(3, port)]),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_resolved_again_and_the_last_good_addresses_stay() {
        let input = serde_json::json!({ "endpoints": ["http://localhost:9"], "resolve": "10s" });
        let input = serde_json::from_value(input).unwrap();
        let settings = UpstreamSettings::check("main", &input, &std::path::Path::to_owned).unwrap();
        let metrics = UpstreamMetrics::register(&mut Registry::default());
        let prepared = Upstreams::new(metrics, Handle::current()).prepare(vec![settings]);
        let upstream = prepared.get("main").unwrap().clone();
        let endpoint = upstream.endpoints[0].clone();
        let watching = tokio::spawn(resolve_all(Arc::downgrade(&upstream), find));
        for (asked, expected) in
            [(1, vec![at(2, 9), at(3, 9)]), (2, vec![at(2, 9), at(3, 9)]), (4, vec![at(3, 9)])]
        {
            while ASKED.load(Ordering::SeqCst) < asked {
                sleep(Duration::from_secs(1)).await;
            }
            // What was found is put in place a moment after it was asked for.
            sleep(Duration::from_secs(1)).await;
            let mut addresses = endpoint.addresses();
            addresses.sort_unstable();
            assert_eq!(addresses, expected, "asked {asked} times");
        }
        drop((upstream, prepared));
        watching.await.unwrap();
    }
}
