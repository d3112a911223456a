//! A small gRPC service by tonic, and its client: no generated code, the same wire.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, future::BoxFuture, stream};
use http::uri::PathAndQuery;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client,
    metadata::MetadataMap,
    server::{self, NamedService, ServerStreamingService, StreamingService, UnaryService},
    transport::{Channel, Server},
};
use tonic_prost::ProstCodec;

/// What is said, both ways.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Line {
    /// The words.
    #[prost(string, tag = "1")]
    pub text: String,
    /// A number.
    #[prost(uint32, tag = "2")]
    pub number: u32,
}

type Codec = ProstCodec<Line, Line>;
type Lines = Pin<Box<dyn Stream<Item = Result<Line, Status>> + Send>>;

/// The service: `Say` answers in kind, `Count` streams up to `number` and then fails with a
/// status that carries trailers, `Chat` answers each line as it comes.
#[derive(Clone, Default)]
pub struct Talk {
    calls: Arc<AtomicUsize>,
}

impl NamedService for Talk {
    const NAME: &'static str = "test.Talk";
}

struct Say;
struct Count;
struct Chat;

impl UnaryService<Line> for Say {
    type Response = Line;
    type Future = BoxFuture<'static, Result<Response<Line>, Status>>;

    fn call(&mut self, request: Request<Line>) -> Self::Future {
        Box::pin(async move {
            let said = request.metadata().get("x-said").cloned();
            let mut response = Response::new(request.into_inner());
            if let Some(said) = said {
                response.metadata_mut().insert("x-heard", said);
            }
            Ok(response)
        })
    }
}

impl ServerStreamingService<Line> for Count {
    type Response = Line;
    type ResponseStream = Lines;
    type Future = BoxFuture<'static, Result<Response<Lines>, Status>>;

    fn call(&mut self, request: Request<Line>) -> Self::Future {
        let Line { text, number } = request.into_inner();
        let lines = stream::iter((0..number).map(move |number| Ok(Line { text: text.clone(), number })));
        let mut trailers = MetadataMap::new();
        trailers.insert("x-counted", number.into());
        let end = Status::with_metadata(Code::OutOfRange, "that is all", trailers);
        let lines: Lines = Box::pin(lines.chain(stream::once(async { Err(end) })));
        Box::pin(async { Ok(Response::new(lines)) })
    }
}

impl StreamingService<Line> for Chat {
    type Response = Line;
    type ResponseStream = Lines;
    type Future = BoxFuture<'static, Result<Response<Lines>, Status>>;

    fn call(&mut self, request: Request<Streaming<Line>>) -> Self::Future {
        let lines: Lines = Box::pin(request.into_inner());
        Box::pin(async { Ok(Response::new(lines)) })
    }
}

impl tower_service::Service<http::Request<Body>> for Talk {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut grpc = server::Grpc::new(Codec::default());
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/test.Talk/Say" => grpc.unary(Say, request).await,
                "/test.Talk/Count" => grpc.server_streaming(Count, request).await,
                "/test.Talk/Chat" => grpc.streaming(Chat, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A running gRPC upstream; it ends when it is dropped.
pub struct GrpcUpstream {
    address: SocketAddr,
    talk: Talk,
    _running: JoinSet<Result<(), tonic::transport::Error>>,
}

impl GrpcUpstream {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let talk = Talk::default();
        let server = Server::builder().add_service(talk.clone());
        let mut running = JoinSet::new();
        running.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, talk, _running: running }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many calls reached it.
    pub fn calls(&self) -> usize {
        self.talk.calls.load(Ordering::SeqCst)
    }
}

/// A real client of the service.
pub struct GrpcClient(client::Grpc<Channel>);

impl GrpcClient {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self(client::Grpc::new(channel))
    }

    /// One line, one answer.
    pub async fn say(&mut self, request: Request<Line>) -> Result<Response<Line>, Status> {
        self.ready().await?;
        self.0.unary(request, PathAndQuery::from_static("/test.Talk/Say"), Codec::default()).await
    }

    /// One line, many answers.
    pub async fn count(&mut self, line: Line) -> Result<Response<Streaming<Line>>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/test.Talk/Count");
        self.0.server_streaming(Request::new(line), path, Codec::default()).await
    }

    /// Many lines, many answers.
    pub async fn chat(
        &mut self,
        lines: impl Stream<Item = Line> + Send + 'static,
    ) -> Result<Response<Streaming<Line>>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/test.Talk/Chat");
        self.0.streaming(Request::new(lines), path, Codec::default()).await
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}
