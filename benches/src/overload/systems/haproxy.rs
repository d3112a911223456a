//! `HAProxy`: so many requests at the server at one time, the others in its queue for 200 ms,
//! jobs behind people there (`priority-class`), and out of it when their client leaves.

use std::net::SocketAddr;

use super::Stage;
use crate::overload::{BULK, PATIENCE};

pub(super) fn document(stage: &Stage<'_>, address: SocketAddr) -> String {
    let (upstream, places) = (stage.upstream, stage.setting.places);
    let (deadline, patience) = (stage.setting.deadline.as_millis(), PATIENCE.as_millis());
    format!(
        "
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect {deadline}ms
  timeout client 300s
  timeout http-keep-alive 300s
  timeout queue {patience}ms
  timeout server {deadline}ms
  option abortonclose
  retries 0
  http-reuse always
frontend clients
  bind {address} backlog 4096
  http-request set-priority-class int(10) if {{ path {BULK} }}
  default_backend service
backend service
  server one {upstream} maxconn {places}
"
    )
}
