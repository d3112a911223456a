//! nginx: `mirror` to an internal location, which asks the shadow for the share that
//! `split_clients` picks, and answers 204 for the others.

use std::net::SocketAddr;

use super::{Copies, Stage};
use crate::mirror::SHARE;

pub(super) fn document(stage: &Stage<'_>, copies: Copies, address: SocketAddr) -> String {
    let (folder, primary, shadow) = (stage.folder.display(), stage.primary, stage.shadow);
    let split = format!(
        "
  upstream lab {{ server {shadow} max_fails=0; keepalive 64; keepalive_requests 1000000000; }}
  split_clients \"$connection $connection_requests $msec\" $copied {{ {SHARE}% 1; * 0; }}"
    );
    let location = "
    location = /mirror {
      internal;
      if ($copied = 0) { return 204; }
      proxy_pass http://lab$request_uri;
    }";
    let (split, location, mirror) =
        if copies == Copies::None { Default::default() } else { (&*split, location, "mirror /mirror; ") };
    format!(
        "
daemon off;
# One process, so that its CPU time is all in one place.
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  proxy_http_version 1.1;
  proxy_set_header Connection \"\";
  proxy_next_upstream off;
  upstream stable {{ server {primary} max_fails=0; keepalive 64; keepalive_requests 1000000000; }}{split}
  server {{
    listen {address} backlog=4096;
    location / {{ {mirror}proxy_pass http://stable; }}{location}
  }}
}}
"
    )
}
