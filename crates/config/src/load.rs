//! From text to a checked document.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use sluicegate_shadow::ShadowsInput;

use crate::{
    Document, Problem, Rejected, Source, check,
    read::read,
    secrets::Secrets,
    source::unreadable,
    yaml::{self, Fault, Node},
};

/// A document that was taken, with what is needed to speak about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The document, with every default filled in.
    pub document: Arc<Document>,
    /// Where it came from.
    pub source: Source,
    /// SHA-256 of its text, in hexadecimal.
    pub hash: String,
    /// Its text, as it came.
    pub text: Arc<str>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Problem>,
    tree: Arc<Node>,
    secrets: Secrets,
}

impl Loaded {
    /// The document as JSON, as `GET /config` shows it: with every default filled in, passwords
    /// replaced by `[redacted]`, and what came from the environment by its references.
    #[must_use]
    pub fn redacted(&self) -> serde_json::Value {
        let mut shown = self.document.redacted();
        self.secrets.hide_in(&mut shown);
        shown
    }

    /// The files that the document names and whose content counts: certificates, keys,
    /// authorities, secrets, the admin tokens. Resolved, for [`Watcher`](crate::Watcher).
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let document = &self.document;
        let tls = document.listen.iter().filter_map(|listen| listen.tls.as_ref());
        let towards = document.upstreams.values().filter_map(|upstream| upstream.tls.as_ref());
        let towards = towards.flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]).flatten();
        let routes = document.routes.iter();
        let secrets = routes.flat_map(|route| {
            let shadows = route.shadow.iter().flat_map(ShadowsInput::each);
            let shadows = shadows.flat_map(|(_, shadow)| shadow.set_file.values());
            route.request.set_file.values().chain(route.response.set_file.values()).chain(shadows)
        });
        let jwt = document.jwt.iter().flat_map(|jwt| jwt.jwks_file.iter().chain(&jwt.ca));
        let webhooks = document.webhooks.iter().flat_map(|one| one.secret_file.iter().chain(&one.ca));
        let otlp =
            document.telemetry.otlp.iter().flat_map(|otlp| otlp.ca.iter().chain(otlp.headers_file.values()));
        let named = tls
            .flat_map(|tls| [&tls.cert, &tls.key])
            .chain(towards)
            .chain(jwt)
            .chain(secrets)
            .chain(document.intents.headers_file.values())
            .chain(webhooks)
            .chain(otlp)
            .map(PathBuf::as_path);
        let tokens = document.admin.token_files().into_iter().map(|token| token.file);
        named.chain(tokens).map(|path| self.source.resolve(path)).collect()
    }
}

/// Reads and checks the file at `path`.
///
/// # Errors
///
/// Everything that is wrong: a file that cannot be read, text that is not YAML, a shape that
/// does not fit, values that do not fit together.
pub fn load(path: &Path) -> Result<Loaded, Rejected> {
    let source = Source::file(path);
    let placeless = |message| {
        Rejected::from(Problem { file: source.label(), line: 0, column: 0, path: String::new(), message })
    };
    let bytes = fs::read(path).map_err(|error| placeless(unreadable(&error)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|&byte| byte == b'\n').count();
        placeless(format!("line {line} is not UTF-8 text; save the file as UTF-8"))
    })?;
    parse(&text, &source)
}

/// Checks a document. Nothing is bound, resolved or opened.
///
/// # Errors
///
/// Everything that is wrong with the text, the shape or the values.
pub fn parse(text: &str, source: &Source) -> Result<Loaded, Rejected> {
    let tree = yaml::build(text).map_err(|faults| Rejected {
        problems: faults.into_iter().map(|fault| problem(source, &Secrets::default(), fault)).collect(),
    })?;
    let secrets = Secrets::of(&tree);
    let rejected = |faults: Vec<Fault>| Rejected {
        problems: faults.into_iter().map(|fault| problem(source, &secrets, fault)).collect(),
    };
    let document: Document = read(&tree).map_err(rejected)?;
    let found = check::check(&document);
    if !found.faults.is_empty() {
        return Err(rejected(check::placed(found.faults, &tree)));
    }
    let warnings = rejected(check::placed(found.warnings, &tree)).problems;
    Ok(Loaded {
        document: Arc::new(document),
        source: source.clone(),
        hash: hash(text.as_bytes()),
        text: text.into(),
        warnings,
        tree,
        secrets,
    })
}

/// A problem found later, at the value that `path` (such as `listen[0].tls.cert`) leads to;
/// where the text has no such value, at the deepest part of the path that it has.
#[must_use]
pub fn problem_at(loaded: &Loaded, path: &str, message: impl Into<String>) -> Problem {
    let pos = loaded.tree.locate(path).value;
    problem(&loaded.source, &loaded.secrets, Fault { pos, path: path.to_owned(), message: message.into() })
}

fn problem(source: &Source, secrets: &Secrets, Fault { pos, path, message }: Fault) -> Problem {
    let message = secrets.hide(&path, message);
    Problem { file: source.label(), line: pos.line, column: pos.column, path, message }
}

/// SHA-256 in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
