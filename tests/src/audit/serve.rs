//! The audited upstream's connections.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{Act, Given, Ledger, Shape, Write};
use crate::wire::{Body, Fault, Fields, Framing, Read, Wire, text};

/// Takes connections until it is dropped.
pub(super) async fn door(listener: TcpListener, number: usize, ledger: Arc<Ledger>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let ledger = ledger.clone();
        connections.spawn(async move {
            if let Err(Fault::Invalid(what)) = connection(Wire::new(stream), number, &ledger).await {
                ledger.violation(what);
            }
        });
    }
}

/// Whether the connection can take another request.
#[derive(PartialEq, Eq)]
enum After {
    Open,
    Ended,
}

async fn connection(mut wire: Wire<TcpStream>, door: usize, ledger: &Ledger) -> Read<()> {
    while let Some(head) = wire.head().await? {
        let (method, fields) = parse(&head)?;
        let mut body = Body::new(Framing::of(&fields)?);
        if method != "POST" {
            while body.next(&mut wire).await?.is_some() {}
            wire.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            continue;
        }
        let key = fields.get("idempotency-key").unwrap_or_default().trim_matches('"').to_owned();
        let Some(number) = Write::number_of(&key) else {
            return Err(Fault::Invalid(format!("a write under the key {key:?}")));
        };
        let at = ledger.arrived(number, door);
        let after = exchange(&mut wire, body, at, number, ledger).await;
        ledger.ended(at);
        if after? == After::Ended {
            // Dropped with linger 0 where it was to be a reset.
            return Ok(());
        }
    }
    Ok(())
}

fn parse(head: &[u8]) -> Read<(String, Fields)> {
    let end = head.windows(2).position(|two| two == b"\r\n").unwrap_or(0);
    let line = text(&head[..end]);
    let Some((method, _)) = line.split_once(' ').filter(|_| line.ends_with(" HTTP/1.1")) else {
        return Err(Fault::Invalid(format!("a request line {line:?}")));
    };
    Ok((method.to_owned(), Fields::parse(&head[end + 2..head.len() - 2])?))
}

async fn exchange(
    wire: &mut Wire<TcpStream>,
    mut body: Body,
    at: usize,
    number: u64,
    ledger: &Ledger,
) -> Read<After> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next(wire).await? {
        bytes.extend_from_slice(&piece);
    }
    let write = Write::read(&bytes).filter(|write| write.number == number);
    let Some(write) = write else {
        return Err(Fault::Invalid(format!("under the key of write {number}: {}", text(&bytes))));
    };
    match ledger.choose(at, &write) {
        Act::Do { before, after, shape } => {
            sleep(before).await;
            let given = ledger.effect(at, &write, |effect| done(&write, effect, shape));
            sleep(after).await;
            ledger.ended(at);
            send(wire, &given, shape).await?;
        }
        Act::NotNow(status) => {
            let given = Given { status, body: "not now".into() };
            ledger.gives(at, &given);
            ledger.ended(at);
            send(wire, &given, Shape::Short).await?;
        }
        Act::Never(status) => {
            let body = json!({ "write": write.number, "never": status }).to_string();
            let given = Given { status, body: body.into() };
            ledger.gives(at, &given);
            ledger.ended(at);
            send(wire, &given, Shape::Short).await?;
        }
        Act::Fail { effect } => {
            let given = Given { status: 500, body: "something went wrong".into() };
            if effect {
                ledger.effect(at, &write, |_| given.clone());
            }
            ledger.gives(at, &given);
            ledger.ended(at);
            send(wire, &given, Shape::Short).await?;
        }
        Act::Reset { effect } => {
            if effect {
                ledger.effect(at, &write, |effect| done(&write, effect, Shape::Short));
            }
            ledger.ended(at);
            socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO))?;
            return Ok(After::Ended);
        }
        Act::Hang => {
            ledger.effect(at, &write, |effect| done(&write, effect, Shape::Short));
            while wire.fill().await? > 0 {}
            return Ok(After::Ended);
        }
        Act::Truncate => {
            let given = ledger.effect(at, &write, |effect| done(&write, effect, Shape::Short));
            let head = head(&given, Shape::Short);
            ledger.ended(at);
            wire.stream.write_all(&[head.as_bytes(), &given.body[..given.body.len() / 2]].concat()).await?;
            return Ok(After::Ended);
        }
    }
    Ok(After::Open)
}

/// The answer to a write that has had its effect.
fn done(write: &Write, effect: usize, shape: Shape) -> Given {
    let filling = if shape == Shape::Long { "x".repeat(16 * 1024) } else { String::new() };
    let body = json!({ "write": write.number, "effect": effect, "filling": filling }).to_string();
    Given { status: if shape == Shape::Short { 201 } else { 200 }, body: body.into() }
}

fn head(given: &Given, shape: Shape) -> String {
    let framing = match shape {
        Shape::Chunked => "Transfer-Encoding: chunked".to_owned(),
        Shape::Short | Shape::Long => format!("Content-Length: {}", given.body.len()),
    };
    format!(
        "HTTP/1.1 {} Said\r\nContent-Type: application/json\r\nX-Upstream: audited\r\n{framing}\r\n\r\n",
        given.status
    )
}

async fn send(wire: &mut Wire<TcpStream>, given: &Given, shape: Shape) -> Read<()> {
    let mut bytes = head(given, shape).into_bytes();
    if shape == Shape::Chunked {
        for piece in given.body.chunks(10) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(&given.body);
    }
    Ok(wire.stream.write_all(&Bytes::from(bytes)).await?)
}
