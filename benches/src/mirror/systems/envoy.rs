//! Envoy: `request_mirror_policies` with a fraction; its request ids and counters are on, as they
//! are by default, and its circuit breakers are raised.

use std::net::SocketAddr;

use super::{Copies, Stage};
use crate::mirror::SHARE;

fn cluster(name: &str, host: &str, port: &str) -> String {
    format!(
        "
    - name: {name}
      type: STATIC
      connect_timeout: 1s
      circuit_breakers: {{ thresholds: [{{ max_connections: 9000, max_pending_requests: 9000, max_requests: 9000 }}] }}
      load_assignment:
        cluster_name: {name}
        endpoints:
          - lb_endpoints:
              - endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }}"
    )
}

pub(super) fn document(stage: &Stage<'_>, copies: Copies, address: SocketAddr) -> String {
    let (host, port) = (address.ip(), address.port());
    let primary = cluster("stable", &stage.primary.ip().to_string(), &stage.primary.port().to_string());
    let (shadow_host, shadow_port) = stage.shadow.rsplit_once(':').unwrap_or((stage.shadow, "80"));
    let lab = cluster("lab", shadow_host, shadow_port);
    let policies = format!(
        ", request_mirror_policies: [{{ cluster: lab, runtime_fraction: {{ default_value: {{ numerator: {SHARE} }} }} }}]"
    );
    let (lab, policies) = if copies == Copies::None { Default::default() } else { (lab, policies) };
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
                        - match: {{ prefix: / }}
                          route: {{ cluster: stable, timeout: 5s{policies} }}
                http_filters:
                - name: envoy.filters.http.router
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:{primary}{lab}
"#
    )
}
