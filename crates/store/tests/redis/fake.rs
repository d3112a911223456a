//! A server that says what no real one here would say.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// The URL of a server that answers `INFO` so, and everything else with `+OK`; one that is not
/// new does not know `HELLO`.
pub(crate) async fn saying(info: &'static str, new: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, info, new));
        }
    });
    url
}

async fn serve(stream: TcpStream, info: &'static str, new: bool) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let words = number(&mut stream, '*').await?;
        let mut command = Vec::new();
        for _ in 0..words {
            let mut word = vec![0; number(&mut stream, '$').await? + 2];
            stream.read_exact(&mut word).await.ok()?;
            command.push(String::from_utf8_lossy(&word).trim().to_uppercase());
        }
        let answer = match command[0].as_str() {
            "INFO" => format!("${}\r\n{info}\r\n", info.len()),
            "HELLO" if !new => "-ERR unknown command `HELLO`\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn number(stream: &mut BufReader<TcpStream>, kind: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim().strip_prefix(kind)?.parse().ok()
}
