//! References to the environment: `${NAME}` and `${NAME:-default}` inside of a value.
//!
//! They stand in values of any kind, never in keys: what a variable holds becomes text inside of
//! one value and cannot add to the structure around it. Where a number or a truth value is wanted it
//! is read by what comes out, quoted or not, so that `workers: ${WORKERS}` is a number. `$${` is the
//! text `${` itself; any other `$` is just that.

/// A value that refers to the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// As it stands in the document.
    pub(crate) text: String,
    /// What came from the environment: each reference as it is written, and what it stands for.
    pub(crate) values: Vec<(String, String)>,
}

/// The text with its references resolved by `lookup`, and how it was written where there were any;
/// or what is wrong. A lookup fails where a variable is not text.
pub(crate) fn resolve(
    text: &str,
    lookup: &dyn Fn(&str) -> Result<Option<String>, String>,
) -> Result<Option<(String, Written)>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut resolved, mut values) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            resolved.push_str(before);
            resolved.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        resolved.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let end = inside.find('}').ok_or_else(malformed)?;
        let (inside, after) = (&inside[..end], &inside[end + 1..]);
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(malformed());
        }
        match (lookup(name)?.filter(|value| !value.is_empty() || default.is_none()), default) {
            (Some(value), _) => {
                resolved.push_str(&value);
                values.push((format!("${{{name}}}"), value));
            }
            (None, Some(default)) => resolved.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the environment has no variable `{name}`; set it, or write ${{{name}:-default}}"
                ));
            }
        }
        rest = after;
    }
    resolved.push_str(rest);
    Ok(Some((resolved, Written { text: text.to_owned(), values })))
}

fn malformed() -> String {
    "`${` begins a reference to the environment that is none; write ${NAME} or ${NAME:-default}, or $${ for the text itself".to_owned()
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A variable of the process.
pub(crate) fn from_environment(name: &str) -> Result<Option<String>, String> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(format!("the variable `{name}` of the environment is not UTF-8 text; set it anew"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    fn resolved(text: &str) -> Result<Option<String>, String> {
        let lookup = |name: &str| match name {
            "ONE" => Ok(Some("1".to_owned())),
            "EMPTY" => Ok(Some(String::new())),
            "TRICK" => Ok(Some("${ONE}: {a: b}".to_owned())),
            "BYTES" => Err("not text".to_owned()),
            _ => Ok(None),
        };
        resolve(text, &lookup).map(|found| found.map(|(text, _)| text))
    }

    #[test]
    fn references_are_resolved_once() {
        for (text, expected) in [
            ("${ONE}", "1"),
            ("a${ONE}b${ONE}", "a1b1"),
            ("${NONE:-d}", "d"),
            ("${NONE:-}", ""),
            ("${EMPTY:-d:-e}", "d:-e"),
            ("${EMPTY}", ""),
            ("${ONE:-d}", "1"),
            ("$${ONE}", "${ONE}"),
            ("$${ONE} ${ONE}", "${ONE} 1"),
            ("${TRICK}", "${ONE}: {a: b}"),
        ] {
            assert_eq!(resolved(text).unwrap().as_deref(), Some(expected), "{text}");
        }
        for text in ["", "$", "$ONE", "{ONE}", "a$", "$$"] {
            assert_eq!(resolved(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_told() {
        for text in ["${", "${ONE", "${}", "${1A}", "${A-B}", "${:-d}", "${A B}"] {
            assert!(resolved(text).unwrap_err().contains("${NAME}"), "{text}");
        }
        let missing = resolved("x${NONE}").unwrap_err();
        assert_eq!(missing, "the environment has no variable `NONE`; set it, or write ${NONE:-default}");
        assert_eq!(resolved("${BYTES}").unwrap_err(), "not text");
    }
}
