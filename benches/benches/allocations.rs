//! Allocations per request, and the size of its futures: the guards over a service that
//! answers at once, then admission by itself, then the whole path over a real connection to an
//! upstream.
//!
//! Its allocator counts per thread, so what the upstream's thread does is not in it. It
//! prints tables and measures no time.

use std::{cell::Cell, hint::black_box, net::SocketAddr, rc::Rc, thread};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use sluicegate::{gateway, ingress::Ingress};
use sluicegate_benches::{
    Failure,
    admission::{self, Asked, Layered},
    config,
    stand::{Immediate, Requests, Stand, Weighing, alone, through},
    upstream,
};
use sluicegate_body::{Gathered, Inbound, Teed};
use sluicegate_classify::PeekedBody;
use sluicegate_core::Chance;
use sluicegate_server::Handler;
use sluicegate_shadow::CopyTap;
use sluicegate_upstream::Proxy;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::LocalRuntime,
    task::spawn_local,
};

const COUNT: usize = 256;
const READ: &str = "/v1/documents/1";
const WRITE: &str = "/v1/documents";

type Body = Teed<Gathered<PeekedBody<Inbound<Incoming>>>, CopyTap>;
/// The future of one request as a worker keeps it.
type Outer = <Ingress<gateway::Stack> as Handler>::Future;

fn main() -> Result<(), Failure> {
    let runtime = LocalRuntime::new()?;
    println!("| per request | allocations | bytes |");
    println!("|---|---|---|");
    in_process(&runtime)?;
    admitted()?;
    let upstream = serve_upstream()?;
    client_alone(&runtime, upstream)?;
    let proxy = proxied(&runtime, upstream)?;
    println!();
    println!("| future | bytes |");
    println!("|---|---|");
    println!("| ingress and guards, which hold a pointer to the proxy's | {} |", size_of::<Outer>());
    println!("| proxy, boxed | {proxy} |");
    Ok(())
}

fn row(name: &str, info: &AllocationInfo) {
    let per_request = |total: u64| total as f64 / COUNT as f64;
    println!("| {name} | {:.1} | {:.0} |", per_request(info.count_total), per_request(info.bytes_total));
}

/// Requests made ahead, so that making them is not counted.
fn requests(method: &Method, target: &str) -> Result<Vec<Request<Incoming>>, Failure> {
    let requests = Requests::new(method, target)?;
    (0..COUNT).map(|_| requests.next()).collect()
}

fn in_process(runtime: &LocalRuntime) -> Result<(), Failure> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let (small, large) = (config::gateway(nowhere), config::many_routes(nowhere, 60));
    let cases = [
        ("read", &small, &[][..], Method::GET, READ),
        ("read, a freeze covers it", &small, &["read", "write"], Method::GET, READ),
        ("read, 60 routes", &large, &[], Method::GET, READ),
        ("write let through", &small, &[], Method::POST, WRITE),
        ("write refused", &small, &["write"], Method::POST, WRITE),
        ("no route", &small, &[], Method::GET, "/elsewhere"),
    ];
    let made = requests(&Method::GET, READ)?;
    let each = |request| {
        alone(request);
    };
    row("inner service alone", &measure(|| made.into_iter().for_each(each)));
    for (name, document, frozen, method, target) in cases {
        let stand = Stand::new(document, runtime.handle())?;
        if !frozen.is_empty() {
            runtime.block_on(stand.freeze(frozen))?;
        }
        let ingress = stand.ingress(Immediate);
        let each = |request| {
            through(&ingress, stand.conn(), request);
        };
        // What is made once, such as the slots of the barrier's list, is there by then.
        requests(&method, target)?.into_iter().for_each(each);
        let made = requests(&method, target)?;
        row(name, &measure(|| made.into_iter().for_each(each)));
    }
    Ok(())
}

/// The layer of admission by itself, over the service that answers at once.
fn admitted() -> Result<(), Failure> {
    let (limited, unlimited) = (Layered::limited()?, Layered::unlimited()?);
    let alone = |_: &Layered, request| admission::alone(request);
    row_of_layer("admission: inner service alone", &limited, alone);
    row_of_layer("admission: nothing is limited", &unlimited, Layered::through);
    row_of_layer("admission: three buckets, two caps", &limited, Layered::through);
    Ok(())
}

fn row_of_layer(name: &str, layered: &Layered, through: fn(&Layered, Asked) -> Option<StatusCode>) {
    let requests = || (0..COUNT).map(|_| layered.request()).collect::<Vec<_>>();
    let each = |request| {
        black_box(through(layered, request));
    };
    // The tenant's cells are there by then.
    requests().into_iter().for_each(each);
    let made = requests();
    row(name, &measure(|| made.into_iter().for_each(each)));
}

fn serve_upstream() -> Result<SocketAddr, Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    thread::spawn(move || {
        // A local runtime is made on the thread that runs it.
        let serving = async { upstream::serve(TcpListener::from_std(listener)?).await };
        LocalRuntime::new()?.block_on(serving)
    });
    Ok(address)
}

/// What hyper's client takes by itself.
fn client_alone(runtime: &LocalRuntime, address: SocketAddr) -> Result<(), Failure> {
    let mut sender = runtime.block_on(async {
        let (sender, connection) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
        spawn_local(async move { drop(connection.await) });
        Ok::<_, Failure>(sender)
    })?;
    let mut made: Vec<_> =
        requests(&Method::GET, READ)?.into_iter().map(|it| it.map(|_| Empty::<Bytes>::new())).collect();
    let mut ask = || {
        runtime.block_on(async {
            for request in made.drain(..) {
                sender.ready().await?;
                drop(sender.send_request(request).await?.into_body().collect().await?);
            }
            Ok::<_, Failure>(())
        })
    };
    let mut asked = Ok(());
    row("hyper's client alone", &measure(|| asked = ask()));
    asked
}

/// The guards and the proxy, over a connection that is there. Returns the size of the
/// proxy's future.
fn proxied(runtime: &LocalRuntime, address: SocketAddr) -> Result<usize, Failure> {
    let stand = Stand::new(&config::gateway(address), runtime.handle())?;
    let weight = Rc::new(Cell::new(0));
    // A proxy sweeps its pool by a local task.
    let proxy = runtime.block_on(async { Proxy::<Body>::new(Chance::seeded(1)) });
    let ingress = stand.ingress(Weighing::new(proxy, weight.clone()));
    let ask = |made: Vec<Request<Incoming>>| {
        runtime.block_on(async {
            for request in made {
                let answer = ingress.call(stand.conn(), request).await;
                if answer.status() != 200 {
                    return Err(Failure::from(format!("the gateway answered {}", answer.status())));
                }
                drop(answer.into_body().collect().await?);
            }
            Ok(())
        })
    };
    ask(requests(&Method::GET, READ)?)?;
    let made = requests(&Method::GET, READ)?;
    let mut asked = Ok(());
    row("guards, proxy and hyper's client", &measure(|| asked = ask(made)));
    asked.map(|()| weight.get())
}
