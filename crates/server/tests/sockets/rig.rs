//! A server with an echoing handler, and clients for it.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use sluicegate_core::BoxError;
use sluicegate_server::{
    Conn, ConnSettings, Handler, Inherited, ListenInput, Server, ServerOptions, TlsInput,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    sync::Semaphore,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Far more than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers by path; `/hold` waits until the test lets it go.
pub(crate) struct Echo {
    worker: usize,
    held: Arc<Held>,
}

pub(crate) struct Held {
    pub(crate) begun: AtomicUsize,
    pub(crate) go: Semaphore,
}

type Body = UnsyncBoxBody<Bytes, BoxError>;

fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync())
}

impl Handler for Echo {
    type Body = Body;
    type Future = Pin<Box<dyn Future<Output = Response<Body>>>>;

    fn call(&self, conn: &Arc<Conn>, mut request: Request<Incoming>) -> Self::Future {
        let (worker, held, conn) = (self.worker, self.held.clone(), conn.clone());
        Box::pin(async move {
            match request.uri().path() {
                "/worker" => text(worker.to_string()),
                "/conn" => text(format!(
                    "http2={} tls={} name={:?} peer={} local={}",
                    conn.is_http2(),
                    conn.is_tls(),
                    conn.server_name(),
                    conn.peer(),
                    conn.local()
                )),
                "/hold" => {
                    held.begun.fetch_add(1, Ordering::SeqCst);
                    let _go = held.go.acquire().await;
                    text("held")
                }
                "/refuse" => {
                    let mut response = text("too much");
                    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                    response
                }
                "/panic" => panic!("as asked"),
                "/broken" => {
                    let start = Full::new(Bytes::from_static(b"start")).map_err(|never| match never {});
                    Response::new(Broken { start: Some(start) }.boxed_unsync())
                }
                "/endless" => Response::new(Endless.boxed_unsync()),
                "/upgrade" => {
                    tokio::task::spawn_local(async move {
                        let mut io = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                        let (mut read, mut write) = tokio::io::split(&mut io);
                        let _ = tokio::io::copy(&mut read, &mut write).await;
                    });
                    let mut response =
                        Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
                    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                    response.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
                    response.headers_mut().insert(header::UPGRADE, "echo".parse().unwrap());
                    response
                }
                _ => Response::new(request.into_body().map_err(Into::into).boxed_unsync()),
            }
        })
    }
}

/// A body that fails after its start.
struct Broken<B> {
    start: Option<B>,
}

impl<B: http_body::Body<Data = Bytes, Error = BoxError> + Unpin> http_body::Body for Broken<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        match self.start.take() {
            Some(mut start) => Pin::new(&mut start).poll_frame(cx),
            None => std::task::Poll::Ready(Some(Err("broken off".into()))),
        }
    }
}

/// A body that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        static BLOCK: [u8; 16 * 1024] = [b'x'; 16 * 1024];
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&BLOCK)))))
    }
}

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) held: Arc<Held>,
    pub(crate) settings: ConnSettings,
    registry: Registry,
    pub(crate) dir: TempDir,
}

/// Settings that no test runs into by itself.
pub(crate) fn calm() -> ConnSettings {
    ConnSettings { header_read: PATIENCE, idle: PATIENCE, write_stall: PATIENCE, ..ConnSettings::default() }
}

#[expect(clippy::needless_pass_by_value, reason = "called with literals, strings and addresses")]
pub(crate) fn plain(address: impl ToString) -> ListenInput {
    ListenInput { address: address.to_string(), tls: None, proxy_protocol: false }
}

pub(crate) fn tls(address: &str, name: &str) -> ListenInput {
    let tls = TlsInput { cert: format!("{name}.pem").into(), key: format!("{name}.key").into() };
    ListenInput { address: address.to_owned(), tls: Some(tls), proxy_protocol: false }
}

impl Rig {
    /// With one plain listener on a port of the system's choice.
    pub(crate) fn start(workers: usize, settings: ConnSettings) -> Self {
        let rig = Self::bare(workers, settings, Inherited::none());
        rig.listen(&[plain("127.0.0.1:0")]);
        rig
    }

    pub(crate) fn bare(workers: usize, settings: ConnSettings, inherited: Inherited) -> Self {
        let held = Arc::new(Held { begun: AtomicUsize::new(0), go: Semaphore::new(0) });
        let mut registry = Registry::default();
        let make = {
            let held = held.clone();
            move |worker| Echo { worker, held: held.clone() }
        };
        let server = Server::start(ServerOptions {
            workers,
            side: Handle::current(),
            registry: &mut registry,
            inherited,
            settings: settings.clone(),
            make,
        })
        .unwrap();
        Self { server, held, settings, registry, dir: tempfile::tempdir().unwrap() }
    }

    /// Prepares and commits.
    pub(crate) fn listen(&self, listen: &[ListenInput]) {
        let prepared = self.server.prepare(listen, self.dir.path()).unwrap();
        self.server.commit(prepared, self.settings.clone());
    }

    /// The address of the first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0].address
    }

    pub(crate) async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// Waits until so many requests have reached `/hold`.
    pub(crate) async fn begun(&self, count: usize) {
        eventually("requests to begin", || self.held.begun.load(Ordering::SeqCst) == count).await;
    }

    pub(crate) fn let_go(&self) {
        self.held.go.add_permits(1_000_000);
    }

    /// A sample of the metrics, as `name{label="value"}`; nothing there counts as 0.
    pub(crate) fn metric(&self, sample: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub(crate) fn errors(&self, reason: &str) -> u64 {
        self.metric(&format!("sluicegate_connection_errors_total{{reason=\"{reason}\"}}"))
    }

    /// Writes `name.pem` and `name.key`, and gives a client's settings that trust them.
    pub(crate) fn certificate(&self, name: &str, alpn: &[&str]) -> TlsConnector {
        certificate(self.dir.path(), name);
        let mut roots = RootCertStore::empty();
        let pem = fs::read(self.dir.path().join(format!("{name}.pem"))).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn certificate(dir: &Path, name: &str) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(dir.join(format!("{name}.pem")), cert.pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), signing_key.serialize_pem()).unwrap();
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) type Http1 = http1::SendRequest<Full<Bytes>>;
pub(crate) type Http2 = http2::SendRequest<Full<Bytes>>;

pub(crate) async fn http1(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http1 {
    let (client, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    client
}

pub(crate) async fn http2(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http2 {
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) async fn encrypted(
    connector: &TlsConnector,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    connector.connect("localhost".try_into().unwrap(), stream).await
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    post(path, "")
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let uri = format!("http://localhost{path}");
    Request::builder().uri(uri).header(header::HOST, "localhost").body(Full::new(body.into())).unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> String {
    let body = in_time("a body", response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Writes, then reads until the server closes.
pub(crate) async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    to_end(stream).await
}

/// What comes until the server closes.
pub(crate) async fn to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    in_time("the end of a connection", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}
