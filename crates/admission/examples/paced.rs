//! A plain axum service that is paced: two requests a second, four at once, eight that wait.
//!
//! ```text
//! cargo run -p sluicegate-admission --example paced
//! for i in $(seq 10); do curl -si http://127.0.0.1:3000/search & done; wait
//! ```
//!
//! Four answers come after half a second; the others get 429 with `Retry-After`.

use std::{convert::Infallible, time::Duration};

use axum::{Router, extract::Request, routing::get};
use prometheus_client::registry::Registry;
use sluicegate_admission::{
    Admission, AdmissionLayer, AdmissionOptions, RouteLimits, SharedLimits, input::RateInput,
};
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Chance, Refusal, RespondLayer};
use tower::{
    ServiceBuilder,
    util::{MapErrLayer, MapRequestLayer},
};

/// Puts these limits around all routes of a service.
fn paced(routes: Router, limits: &RouteLimits) -> Result<Router, Box<dyn std::error::Error>> {
    let options = AdmissionOptions { bodies: Budget::new(64 << 20), chance: Chance::from_system() };
    let admission = Admission::open(options, &mut Registry::default());
    let shared = admission.shared(&SharedLimits::default());
    let Some(plan) = admission.plan("search", &[("own", None)], limits, &shared)? else { return Ok(routes) };
    admission.apply(std::slice::from_ref(&plan));
    Ok(routes.layer(
        ServiceBuilder::new()
            .layer(RespondLayer)
            .layer(MapRequestLayer::new(|request: Request| request.map(Gathered::untouched)))
            .layer(AdmissionLayer::new(admission).with_plan(plan))
            .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} })),
    ))
}

async fn search() -> &'static str {
    tokio::time::sleep(Duration::from_millis(500)).await;
    "found\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limits = RouteLimits {
        rate: Some(RateInput { rps: 2.0, burst: Some(4) }.check()?),
        concurrent: Some(4),
        queue: 8,
        ..RouteLimits::default()
    };
    let routes = paced(Router::new().route("/search", get(search)), &limits)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, routes).await?)
}
