//! The PROXY protocol: a load balancer's word on whom a connection is from.
//!
//! Where a listener has `proxy_protocol`, every connection must begin with a header of version 1
//! (text) or 2 (binary), before TLS and HTTP. It is believed only from a trusted peer: from anybody
//! else it would let a client choose its own address, so the connection is closed. What the header
//! names is the peer from then on; where it names no address (`LOCAL`, `UNKNOWN`: the balancer's own
//! checks; or a Unix socket) the balancer is. What a version 2 header says besides (its TLVs) is read
//! over, but a checksum among them must hold.
//!
//! Exactly the header is read, so that what follows is untouched. It must be whole within
//! `header_read`; a version 1 line has at most 107 bytes, and a version 2 header says its length.

use std::{io, net::SocketAddr};

use proxy_protocol_rs::parse;
use sluicegate_core::TrustedPeers;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::metrics::Reason;

/// The shortest header: `PROXY UNKNOWN` and its line end.
const SHORTEST: usize = 15;

/// The first 16 bytes of version 2 say how many follow.
const FIXED: usize = 16;

/// The longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whom a connection is from, by the header that it must begin with.
pub(crate) async fn peer(
    stream: &mut TcpStream,
    socket: SocketAddr,
    trusted: &TrustedPeers,
) -> Result<SocketAddr, Reason> {
    if !trusted.contains(socket.ip()) {
        tracing::debug!(peer = %socket, "closed: it is none of the trusted peers, whose PROXY header would be believed");
        return Err(Reason::proxy_protocol);
    }
    let header = read(stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Reason::proxy_protocol,
        _ => Reason::io,
    });
    let told = header.and_then(|header| match parse(&header) {
        Ok((told, length)) if length == header.len() => Ok(told.source_inet()),
        _ => Err(Reason::proxy_protocol),
    });
    match told {
        Ok(told) => Ok(told.unwrap_or(socket)),
        Err(reason) => {
            tracing::debug!(peer = %socket, "closed: it begins with no PROXY header");
            Err(reason)
        }
    }
}

/// Reads the header and nothing after it.
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(SIGNATURE) {
        header.resize(FIXED, 0);
        stream.read_exact(&mut header[SHORTEST..]).await?;
        let left = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        header.resize(FIXED + left, 0);
        stream.read_exact(&mut header[FIXED..]).await?;
        return Ok(header);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    while !header.ends_with(b"\n") {
        let mut ahead = [0; LONGEST_LINE];
        let room = LONGEST_LINE.saturating_sub(header.len());
        let seen = stream.peek(&mut ahead[..room]).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = ahead[..seen].iter().position(|byte| *byte == b'\n').map_or(seen, |end| end + 1);
        let before = header.len();
        header.resize(before + line, 0);
        stream.read_exact(&mut header[before..]).await?;
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use sluicegate_core::TrustedPeers;

    use super::peer;
    use crate::metrics::Reason;

    /// Whom these bytes, in these pieces, are from; and what is left on the connection.
    async fn told(pieces: &[&[u8]], trusted: &str) -> (Result<SocketAddr, Reason>, SocketAddr, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut stream, from) = listener.accept().await.unwrap();
        let trusted = TrustedPeers::new(vec![trusted.parse().unwrap()]);
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let ((), told) = tokio::join!(send, peer(&mut stream, from, &trusted));
        let mut left = Vec::new();
        if told.is_ok() {
            stream.read_to_end(&mut left).await.unwrap();
        }
        (told, from, left)
    }

    const V4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x10\x92\x00\x50";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

    #[tokio::test]
    async fn what_a_trusted_peer_says_is_who_it_is_from() {
        let table: [(&[u8], &str); 3] = [
            (b"PROXY TCP4 192.0.2.7 127.0.0.1 4242 80\r\n", "192.0.2.7:4242"),
            (b"PROXY TCP6 2001:db8::7 ::1 4242 80\r\n", "[2001:db8::7]:4242"),
            (V4, "192.0.2.7:4242"),
        ];
        for (header, expected) in table {
            let whole = [header, b"GET / HTTP/1.1\r\n"].concat();
            let bytes: Vec<&[u8]> = whole.chunks(1).collect();
            for pieces in [&[whole.as_slice()][..], &bytes] {
                let (told, _, left) = told(pieces, "127.0.0.0/8").await;
                assert_eq!(told.unwrap(), expected.parse().unwrap());
                assert_eq!(left, b"GET / HTTP/1.1\r\n");
            }
        }
    }

    /// A version 2 header: command, family and protocol, and what follows.
    fn v2(command: u8, family: u8, after: &[u8]) -> Vec<u8> {
        let length = u16::try_from(after.len()).unwrap().to_be_bytes();
        [super::SIGNATURE.as_slice(), &[command, family], &length, after].concat()
    }

    #[tokio::test]
    async fn what_names_nobody_leaves_the_balancer() {
        let unix = v2(0x21, 0x31, &[b'/'; 216]);
        let local_with_addresses = v2(0x20, 0x11, &V4[16..]);
        let headers: [&[u8]; 5] = [
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
            LOCAL,
            &local_with_addresses,
            &unix,
        ];
        for header in headers {
            let (told, from, left) = told(&[header, b"x"], "127.0.0.1/32").await;
            assert_eq!(told.unwrap(), from, "{}", header.escape_ascii());
            assert_eq!(left, b"x");
        }
    }

    #[tokio::test]
    async fn what_a_header_says_besides_is_read_over() {
        let tlv = |kind: u8, value: &[u8]| {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            [&[kind], &length[..], value].concat()
        };
        let with = |tlvs: &[u8]| v2(0x21, 0x11, &[&V4[16..], tlvs].concat());
        let most = u16::MAX as usize - 12;
        for tlvs in [
            [tlv(0x02, b"api.example.org"), tlv(0xea, &[1; 40])].concat(),
            tlv(0x04, &vec![0; most - 3]),
            Vec::new(),
        ] {
            let (told, _, left) = told(&[&with(&tlvs), b"x"], "127.0.0.0/8").await;
            assert_eq!(told.unwrap(), "192.0.2.7:4242".parse().unwrap(), "{} bytes", tlvs.len());
            assert_eq!(left, b"x");
        }
        // One that is longer than the header, and a checksum that does not hold.
        for tlvs in [&[0x02, 0xff, 0xff, b'a'][..], &tlv(0x03, &[1, 2, 3, 4])] {
            let (told, ..) = told(&[&with(tlvs), b"x"], "127.0.0.0/8").await;
            assert_eq!(told.unwrap_err(), Reason::proxy_protocol, "{}", tlvs.escape_ascii());
        }
    }

    #[tokio::test]
    async fn anything_else_is_closed() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let wrong: [&[u8]; 9] = [
            b"",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4242 80",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4242\r\n",
            b"PROXY TCP4 192.0.2.700 127.0.0.1 42 80\r\n",
            b"PROXY TCP9 192.0.2.7 127.0.0.1 42 80\r\n",
            &long,
            &V4[..20],
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x10\x92\x00\x50",
        ];
        for bytes in wrong {
            let (told, ..) = told(&[bytes], "127.0.0.0/8").await;
            assert_eq!(told.unwrap_err(), Reason::proxy_protocol, "{}", bytes.escape_ascii());
        }
        let (told, ..) = told(&[b"PROXY TCP4 192.0.2.7 127.0.0.1 4242 80\r\n"], "192.0.2.0/24").await;
        assert_eq!(told.unwrap_err(), Reason::proxy_protocol, "not from a trusted peer");
    }
}
