//! A collector of OpenTelemetry: Rotel, as it is published on `PyPI`.
//!
//! It takes OTLP over gRPC and over HTTP, and writes what it has taken into its log.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Process, PythonPackages, Result, free_port};

const ROTEL: PythonPackages = PythonPackages { name: "rotel-0.0.1a15", packages: &["rotel==0.0.1a15"] };

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// It writes each batch at once; a reader may still come between.
const SETTLES: Duration = Duration::from_millis(20);

/// How often it may lose the race for its ports.
const PORTS: usize = 10;

/// A running collector; it is gone when this is dropped.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    folder: TempDir,
    grpc: u16,
    http: u16,
}

/// A span as the collector tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// `service.name`, `service.version` and whatever else is said of who sent it.
    pub resource: BTreeMap<String, String>,
    /// 32 digits.
    pub trace: String,
    /// 16 digits; empty where the trace begins with it.
    pub parent: String,
    /// 16 digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `SERVER`, `CLIENT`.
    pub kind: String,
    /// `tracestate`.
    pub state: String,
    /// Whether its status is an error.
    pub failed: bool,
    /// When it began and ended, in nanoseconds since 1970.
    pub times: (u64, u64),
    /// What it tells, numbers and flags as texts.
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    /// Starts one, installed where it is not there yet. Blocks.
    pub fn start() -> Result<Self> {
        let mut last = None;
        for _ in 0..PORTS {
            match Self::start_on(free_port()?, free_port()?) {
                Ok(started) => return Ok(started),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| "no port was free".into()))
    }

    /// Starts one on these ports of 127.0.0.1. Blocks.
    pub fn start_on(grpc: u16, http: u16) -> Result<Self> {
        let program = ROTEL.file("rotel", "rotel-agent")?;
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity"])
            .args(["detailed", "--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .arg("--pid-file")
            .arg(folder.path().join("pid"))
            .current_dir(folder.path());
        let mut started = Self { process: Process::spawn(&mut command, log)?, folder, grpc, http };
        let end = Instant::now() + PATIENCE;
        while ![grpc, http].into_iter().all(|port| TcpStream::connect(("127.0.0.1", port)).is_ok()) {
            if !started.process.runs() || Instant::now() > end {
                return Err(format!("the collector did not come up: {}", started.log()?).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(started)
    }

    /// Its ports, for gRPC and for HTTP.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        (self.grpc, self.http)
    }

    /// Everything it has taken so far. Blocks for a moment: what it is still writing is not counted
    /// as whole, so its log is read until it says the same twice.
    pub fn spans(&self) -> Result<Vec<Collected>> {
        let mut log = self.log()?;
        loop {
            std::thread::sleep(SETTLES);
            let again = self.log()?;
            if again == log {
                return Ok(read(&log));
            }
            log = again;
        }
    }

    fn log(&self) -> Result<String> {
        let path: PathBuf = self.folder.path().join("log");
        Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
    }
}

/// The spans in a log.
fn read(log: &str) -> Vec<Collected> {
    let (mut spans, mut resource) = (Vec::<Collected>::new(), BTreeMap::new());
    let mut in_span = false;
    for line in log.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("ResourceSpans #") {
            (resource, in_span) = (BTreeMap::new(), false);
        } else if trimmed.starts_with("ScopeSpans #") {
            in_span = false;
        } else if trimmed.starts_with("Span #") {
            spans.push(Collected { resource: resource.clone(), ..Collected::default() });
            in_span = true;
        } else if let Some((key, value)) = trimmed.strip_prefix("-> ").and_then(|it| it.split_once(": ")) {
            let attributes = match spans.last_mut() {
                Some(span) if in_span => &mut span.attributes,
                _ => &mut resource,
            };
            let value = value.split_once('(').map_or(value, |(_, value)| value.trim_end_matches(')'));
            attributes.insert(key.to_owned(), value.to_owned());
        } else if let Some((key, value)) = trimmed.split_once(':')
            && let (Some(span), true) = (spans.last_mut(), in_span)
        {
            let value = value.trim().to_owned();
            match key.trim() {
                "Trace ID" => span.trace = value,
                "Parent ID" => span.parent = value,
                "ID" => span.id = value,
                "Name" => span.name = value,
                "Kind" => value.trim_start_matches("SPAN_KIND_").clone_into(&mut span.kind),
                "TraceState" => span.state = value,
                "Start time" => span.times.0 = value.parse().unwrap_or(0),
                "End time" => span.times.1 = value.parse().unwrap_or(0),
                "Status code" => span.failed = value == "STATUS_CODE_ERROR",
                _ => {}
            }
        }
    }
    spans
}
