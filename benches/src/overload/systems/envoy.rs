//! Envoy, in two ways.
//!
//! - [`pending`]: the circuit breaker allows so many connections to the service, and in its
//!   queue as many requests as are served in 200 ms; 503 beyond that. Jobs go at the default
//!   priority, whose connections are others than those of the high priority that people have:
//!   half as many.
//! - [`adaptive`]: `adaptive_concurrency` with the numbers of its documentation, which is not
//!   told what the service can do, and behind it `admission_control`, which refuses by the share
//!   of failures.

use std::net::SocketAddr;

use super::Stage;
use crate::overload::BULK;

/// What differs between the two.
#[derive(Debug)]
pub(super) struct Guards {
    filters: &'static str,
    thresholds: String,
}

pub(super) fn pending(stage: &Stage<'_>) -> Guards {
    let threshold = |priority: &str, part: u32| {
        format!(
            "{{ priority: {priority}, max_connections: {}, max_pending_requests: {}, max_requests: 9000 }}",
            stage.setting.places / part,
            stage.setting.queue() / part
        )
    };
    Guards { filters: "", thresholds: format!("{}, {}", threshold("HIGH", 1), threshold("DEFAULT", 2)) }
}

pub(super) fn adaptive(_: &Stage<'_>) -> Guards {
    let raised = |priority: &str| {
        format!(
            "{{ priority: {priority}, max_connections: 9000, max_pending_requests: 9000, max_requests: 9000 }}"
        )
    };
    Guards { filters: ADAPTIVE, thresholds: format!("{}, {}", raised("HIGH"), raised("DEFAULT")) }
}

const ADAPTIVE: &str = r#"
                - name: envoy.filters.http.adaptive_concurrency
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
                    gradient_controller_config:
                      sample_aggregate_percentile: { value: 90 }
                      concurrency_limit_params: { concurrency_update_interval: 0.1s }
                      min_rtt_calc_params: { jitter: { value: 10 }, interval: 60s, request_count: 50 }
                - name: envoy.filters.http.admission_control
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl
                    success_criteria: { http_criteria: { http_success_status: [{ start: 100, end: 500 }] } }
"#;

pub(super) fn document(stage: &Stage<'_>, address: SocketAddr, guards: &Guards) -> String {
    let (host, port) = (address.ip(), address.port());
    let (upstream_host, upstream_port) = (stage.upstream.ip(), stage.upstream.port());
    let deadline = stage.setting.deadline.as_secs_f64();
    let Guards { filters, thresholds } = guards;
    format!(
        r#"
static_resources:
  listeners:
    - address: {{ socket_address: {{ address: {host}, port_value: {port} }} }}
      tcp_backlog_size: 4096
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: clients
                codec_type: AUTO
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {{ path: {BULK} }}
                          route: {{ cluster: service, timeout: {deadline}s, priority: DEFAULT }}
                        - match: {{ prefix: / }}
                          route: {{ cluster: service, timeout: {deadline}s, priority: HIGH }}
                http_filters:
{filters}
                - name: envoy.filters.http.router
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: service
      type: STATIC
      connect_timeout: {deadline}s
      circuit_breakers: {{ thresholds: [{thresholds}] }}
      load_assignment:
        cluster_name: service
        endpoints:
          - lb_endpoints:
              - endpoint: {{ address: {{ socket_address: {{ address: {upstream_host}, port_value: {upstream_port} }} }} }}
"#
    )
}
