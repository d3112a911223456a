//! Active probes, and names that may resolve to something else.
//!
//! One task per upstream and snapshot runs on the side runtime, so that a slow probe never
//! delays a request. It ends when a later snapshot has taken over, or has no such upstream.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    endpoint::Endpoint, fetch::fetch, input::HealthInput, pins::manifest, registry::Upstream,
    settings::lookup,
};

/// How often names are resolved anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Starts what watches over `upstream`.
pub(crate) fn watch(upstream: &Arc<Upstream>, side: &tokio::runtime::Handle) {
    if let Some(health) = upstream.health.clone() {
        side.spawn(probe_all(Arc::downgrade(upstream), health));
    }
    if upstream.endpoints.iter().any(|endpoint| endpoint.is_named()) {
        side.spawn(resolve_all(Arc::downgrade(upstream)));
    }
    manifest::watch(upstream, side);
}

async fn resolve_all(upstream: Weak<Upstream>) {
    loop {
        tokio::time::sleep(RESOLVE_EVERY).await;
        let Some(upstream) = upstream.upgrade() else { return };
        for endpoint in upstream.endpoints.iter().filter(|endpoint| endpoint.is_named()).cloned() {
            let (host, port) = (endpoint.host.clone(), endpoint.port);
            match tokio::task::spawn_blocking(move || lookup(&host, port)).await {
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
