//! Redis and Valkey.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Package, Process, Result, free_port};

/// How long a server may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it may lose the race for its port.
const PORTS: usize = 10;

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// Redis 8.
    Redis,
    /// Valkey 8.
    Valkey,
}

impl Brand {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    const fn package(self) -> Package {
        match self {
            Self::Redis => Package { name: "redis", program: "usr/bin/redis-server", debs: &REDIS },
            Self::Valkey => Package { name: "valkey", program: "usr/bin/valkey-server", debs: &VALKEY },
        }
    }
}

const REDIS: [&str; 13] = [
    "redis-server",
    "redis-tools",
    "libatomic1",
    "libc6",
    "libcap2",
    "libgcc-s1",
    "libjemalloc2",
    "liblzf1",
    "libssl3t64",
    "libstdc++6",
    "libsystemd0",
    "libzstd1",
    "zlib1g",
];

const VALKEY: [&str; 13] = [
    "valkey-server",
    "valkey-tools",
    "libatomic1",
    "libc6",
    "libcap2",
    "libgcc-s1",
    "libjemalloc2",
    "liblzf1",
    "libssl3t64",
    "libstdc++6",
    "libsystemd0",
    "libzstd1",
    "zlib1g",
];

/// How a server is set up, beside its port and folder.
#[derive(Clone, Debug)]
pub struct Settings {
    brand: Brand,
    directives: Vec<(String, String)>,
}

impl Settings {
    /// As a gateway wants it: every write on disk before it is acknowledged, nothing evicted.
    #[must_use]
    pub fn durable(brand: Brand) -> Self {
        Self { brand, directives: Vec::new() }
            .with("save", "\"\"")
            .with("appendonly", "yes")
            .with("appendfsync", "always")
            .with("maxmemory-policy", "noeviction")
    }

    /// With this directive of its configuration file; a later one of the same name counts.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.directives.retain(|(known, _)| known != name);
        self.directives.push((name.into(), value.into()));
        self
    }

    /// Starts it.
    pub async fn start(self) -> Result<Redis> {
        tokio::task::spawn_blocking(move || Redis::start_blocking(&self)).await?
    }
}

/// A server that runs, or did.
#[derive(Debug)]
pub struct Redis {
    settings: Settings,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Redis {
    /// A durable Redis.
    pub async fn start() -> Result<Self> {
        Settings::durable(Brand::Redis).start().await
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        match self.password() {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Lets it stop by itself, with everything written.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // The connection ends without an answer when it stops.
        let _ = self.command(&["SHUTDOWN", "SAVE"]);
        let until = Instant::now() + PATIENCE;
        while process.runs() {
            if Instant::now() > until {
                return Err(self.complain("did not stop").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Starts it again after [`Redis::kill`] or [`Redis::stop`], on its port and in its
    /// folder.
    pub async fn restart(self) -> Result<Self> {
        tokio::task::spawn_blocking(move || {
            let mut redis = self;
            redis.process = None;
            redis.launch()?;
            Ok(redis)
        })
        .await?
    }

    /// Starts it again with other settings.
    pub async fn restart_with(mut self, settings: Settings) -> Result<Self> {
        self.settings = settings;
        self.restart().await
    }

    /// Starts it again without anything it had kept.
    pub async fn restart_empty(mut self) -> Result<Self> {
        self.process = None;
        self.folder = tempfile::tempdir()?;
        self.restart().await
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it answers to a command, as it comes over the wire. Blocks.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        if let Some(password) = self.password() {
            exchange(&mut stream, &["AUTH", password])?;
        }
        exchange(&mut stream, words)
    }

    fn start_blocking(settings: &Settings) -> Result<Self> {
        let mut failed = None;
        for _ in 0..PORTS {
            let folder = tempfile::tempdir()?;
            let mut redis = Self { settings: settings.clone(), folder, port: free_port()?, process: None };
            match redis.launch() {
                Ok(()) => return Ok(redis),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| "no server was started".into()))
    }

    fn launch(&mut self) -> Result<()> {
        let file = self.folder.path().join("server.conf");
        let mut text = format!(
            "bind 127.0.0.1\nport {}\ndir {}\nprotected-mode no\n",
            self.port,
            self.folder.path().display()
        );
        for (name, value) in &self.settings.directives {
            text.extend([name, " ", value, "\n"]);
        }
        std::fs::write(&file, text)?;
        let mut command = self.settings.brand.package().command()?;
        command.arg(&file);
        let log = File::options().append(true).create(true).open(self.folder.path().join("server.log"))?;
        let mut process = Process::spawn(&mut command, log)?;
        let until = Instant::now() + PATIENCE;
        loop {
            if !process.runs() {
                return Err(self.complain("ended at once").into());
            }
            // Its own process id in its own answer: whoever else took the port is not it.
            let said = self.command(&["INFO"]).unwrap_or_default();
            if said.contains(&format!("\nprocess_id:{}\r", process.id())) && said.contains("\nloading:0\r") {
                break;
            }
            if Instant::now() > until {
                return Err(self.complain("did not come up").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
        Ok(())
    }

    fn password(&self) -> Option<&str> {
        let set = self.settings.directives.iter().find(|(name, _)| name == "requirepass");
        set.map(|(_, password)| password.as_str())
    }

    fn complain(&self, what: &str) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        format!("{:?} on port {} {what}; its log:\n{log}", self.settings.brand, self.port)
    }
}

/// Sends a command and reads its answer: a line, or a string of a told length.
fn exchange(stream: &mut TcpStream, words: &[&str]) -> Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.extend(["$", &word.len().to_string(), "\r\n", word, "\r\n"]);
    }
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !whole(&answer) {
        match stream.read(&mut chunk)? {
            0 => return Err("the connection ended within an answer".into()),
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]);
    match head.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => answer.len() >= end + 2 + length + 2,
        None => true,
    }
}
