//! nginx, in two ways; it has no queue before a full server (`queue` is in the commercial one).
//!
//! - [`max_conns`]: the server takes so many connections, and what finds none is refused with
//!   502. Jobs may have half of them.
//! - [`limit_req`]: requests are spread to a rate just below the capacity, which one has to
//!   know, and wait up to 200 ms for their turn; 503 after that. Jobs have a rate of their own,
//!   which fills what the calm load of people leaves.

use std::net::SocketAddr;

use super::Stage;
use crate::overload::{BULK, PATIENCE};

/// What differs between the two.
#[derive(Debug)]
pub(super) struct Limits {
    zones: String,
    server: String,
    people: String,
    jobs: String,
}

pub(super) fn max_conns(stage: &Stage<'_>) -> Limits {
    let places = stage.setting.places;
    Limits {
        zones: "limit_conn_zone $server_addr zone=jobs:1m;".to_owned(),
        server: format!("max_conns={places} max_fails=0"),
        people: String::new(),
        jobs: format!("limit_conn jobs {};", places / 2),
    }
}

/// Of the capacity, how much nginx lets through: with all of it the service's own queue would
/// grow without end.
const SHARE: f64 = 0.95;
/// ... and of this, how much for jobs.
const JOBS: f64 = 0.45;

pub(super) fn limit_req(stage: &Stage<'_>) -> Limits {
    let zone = |name: &str, share: f64| {
        let rate = stage.setting.capacity() * share;
        let burst = rate * PATIENCE.as_secs_f64();
        (
            format!("limit_req_zone $server_addr zone={name}:1m rate={rate:.0}r/s; "),
            format!("limit_req zone={name} burst={burst:.0};"),
        )
    };
    let ((people_zone, people), (jobs_zone, jobs)) = (zone("people", SHARE), zone("jobs", JOBS));
    Limits { zones: people_zone + &jobs_zone, server: "max_fails=0".to_owned(), people, jobs }
}

pub(super) fn document(stage: &Stage<'_>, address: SocketAddr, limits: &Limits) -> String {
    let (folder, upstream) = (stage.folder.display(), stage.upstream);
    let deadline = stage.setting.deadline.as_millis();
    let Limits { zones, server, people, jobs } = limits;
    format!(
        "
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  proxy_http_version 1.1;
  proxy_set_header Connection \"\";
  proxy_connect_timeout {deadline}ms;
  proxy_read_timeout {deadline}ms;
  proxy_next_upstream off;
  {zones}
  upstream service {{ zone service 64k; server {upstream} {server}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen {address} backlog=4096;
    location / {{ {people} proxy_pass http://service; }}
    location {BULK} {{ {jobs} proxy_pass http://service; }}
  }}
}}
"
    )
}
