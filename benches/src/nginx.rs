//! nginx as a peer, where it is installed.
//!
//! Its settings are those that make a fair run: one worker, no access log, kept-alive
//! connections on both sides that never wear out, h2c on a port of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
};

use crate::{Failure, child::Child};

/// Where it would be.
const NAME: &str = "nginx";

/// A running nginx, in the foreground.
#[derive(Debug)]
pub struct Nginx {
    /// The process that proxies.
    pub child: Child,
    /// Where it speaks h2c.
    pub http2: SocketAddr,
}

/// Its version, if it is installed.
#[must_use]
pub fn version() -> Option<String> {
    let output = Command::new(NAME).arg("-v").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(text.trim().rsplit('/').next()?.to_owned())
}

/// Starts it in `folder`, which must outlive it, by way of `pinned run`: it cannot be told
/// which core to use, but takes the one it is started on.
///
/// # Errors
///
/// There is no free port, or it does not start.
pub fn start(pinned: &Path, folder: &Path, upstream: SocketAddr) -> Result<Nginx, Failure> {
    let (http1, http2) = (free_port()?, free_port()?);
    fs::write(folder.join("nginx.conf"), config(folder, upstream, http1, http2))?;
    let mut command = Command::new(pinned);
    command.args(["run", "--", NAME, "-p"]).arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command.arg("-e").arg(folder.join("error.log"));
    let child = Child::start_at(&mut command, http1)?;
    Ok(Nginx { child, http2 })
}

/// It cannot be told to choose a port: one that was free a moment ago has to do.
pub(crate) fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn config(folder: &Path, upstream: SocketAddr, http1: SocketAddr, http2: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "
daemon off;
# One process, so that its CPU time is all in one place.
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  upstream stable {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen {http1};
    listen {http2} http2;
    location / {{
      proxy_pass http://stable;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}
}}
"
    )
}
