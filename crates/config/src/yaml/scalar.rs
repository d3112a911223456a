//! Plain scalars by the core schema of YAML 1.2.2 (section 10.3.2): `true` and `null` are
//! not text, `yes` and `on` are.

use super::reference::Written;

/// A scalar: how it was written, and what that means where no text is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) kind: Kind,
    /// How it is written, where it refers to the environment.
    pub(crate) written: Option<Box<Written>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

impl Scalar {
    /// A quoted or block scalar.
    pub(crate) fn quoted(text: String) -> Self {
        Self { text, kind: Kind::Text, written: None }
    }

    /// A plain scalar.
    pub(crate) fn plain(text: String) -> Self {
        let kind = kind(&text);
        Self { text, kind, written: None }
    }

    /// The same, made of what stands in the environment: never nothing, since it was written.
    pub(crate) fn written(mut self, written: Written) -> Self {
        if self.kind == Kind::Null {
            self.kind = Kind::Text;
        }
        self.written = Some(Box::new(written));
        self
    }

    /// What it is, in words.
    pub(crate) fn describe(&self) -> String {
        if let Some(written) = &self.written {
            return format!("what `{}` stands for", shortened(&written.text));
        }
        match self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Int(_) | Kind::Float(_) => format!("the number {}", self.text),
            Kind::Text if self.text.is_empty() => "empty text".to_owned(),
            Kind::Text => format!("the text `{}`", shortened(&self.text)),
        }
    }
}

/// The first part of a text that is to be shown in a message, on one line.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 64;
    let one_line = text.escape_debug().take(MOST + 1).collect::<String>();
    match one_line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &one_line[..end]),
        None => one_line,
    }
}

fn kind(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !numeric {
        return Kind::Text;
    }
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix)?;
        let clean = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        clean.then(|| i128::from_str_radix(digits, radix).ok()).flatten()
    };
    let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        Kind::Int(value)
    } else if let Some(value) = whole.then(|| text.parse().ok()).flatten() {
        Kind::Int(value)
    } else {
        let float = digits.bytes().all(|byte| byte.is_ascii_digit() || b"eE+-.".contains(&byte));
        match text.parse::<f64>() {
            Ok(value) if float && value.is_finite() => Kind::Float(value),
            _ => Kind::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Scalar};

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let table = [
            ("", Kind::Null),
            ("~", Kind::Null),
            ("True", Kind::Bool(true)),
            ("yes", Kind::Text),
            ("12", Kind::Int(12)),
            ("-3", Kind::Int(-3)),
            ("0x1F", Kind::Int(31)),
            ("0o17", Kind::Int(15)),
            ("0.25", Kind::Float(0.25)),
            ("1e3", Kind::Float(1000.0)),
            (".5", Kind::Float(0.5)),
            ("5m", Kind::Text),
            ("1.2.3", Kind::Text),
            ("1e999", Kind::Text),
            ("0x", Kind::Text),
            ("127.0.0.1:80", Kind::Text),
            ("inf", Kind::Text),
            ("-", Kind::Text),
        ];
        for (text, kind) in table {
            assert_eq!(Scalar::plain(text.to_owned()).kind, kind, "{text}");
        }
    }

    #[test]
    fn long_text_is_shortened_and_stays_on_one_line() {
        let shown = Scalar::quoted(format!("a\n{}", "ä".repeat(100))).describe();
        assert!(shown.starts_with("the text `a\\nä") && shown.ends_with("ä…`"), "{shown}");
    }
}
