//! The nearest known name to one that is not known.

/// No known name is longer, and the comparison costs the product of both lengths.
const LONGEST: usize = 64;

/// The name in `known` that `written` most likely stands for: at most a third of its
/// letters differ (one always may), swaps of neighbours counting once.
pub(crate) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > LONGEST {
        return None;
    }
    let most = (written.chars().count() / 3).max(1);
    let lower = written.to_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let (name, distance) =
        known.into_iter().map(|name| (name, distance(&name))).min_by_key(|found| found.1)?;
    (distance <= most && distance < name.chars().count()).then_some(name)
}

/// ``did you mean `x`?``, or what is allowed instead.
pub(crate) fn hint(written: &str, known: &[&str], what: &str) -> String {
    match nearest(written, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => format!("there are no {what} here"),
        None => format!("the {what} here are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{hint, nearest};

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["listen", "upstreams", "routes", "rps"];
        assert_eq!(nearest("listne", known), Some("listen"));
        assert_eq!(nearest("Upstream", known), Some("upstreams"));
        assert_eq!(nearest("rsp", known), Some("rps"));
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest(&"x".repeat(1 << 22), known), None);
        assert_eq!(nearest("metrics", known), None);
        assert_eq!(hint("zzz", &known, "keys"), "the keys here are listen, upstreams, routes, rps");
        assert_eq!(hint("zzz", &[], "keys"), "there are no keys here");
    }
}
