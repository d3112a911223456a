//! `cors`: which pages may read what the gateway itself answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which pages of other origins may read the gateway's own answers: refusals, intents, the banner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsInput {
    /// The origins, such as `https://app.example.com`; or `"*"` alone, for all.
    #[schemars(length(min = 1))]
    pub origins: Vec<String>,
    /// Whether pages may send cookies and read the answer; not with `"*"`.
    #[serde(default)]
    pub credentials: bool,
}

impl CorsInput {
    /// What is wrong with it: pairs of a path inside the section and a message.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let any = self.origins.iter().any(|origin| origin == "*");
        if self.origins.is_empty() {
            faults.push((
                "origins".to_owned(),
                "names nothing; name an origin, or leave `cors` out".to_owned(),
            ));
        }
        if any && self.origins.len() > 1 {
            faults.push((
                "origins".to_owned(),
                "has `*` among others; keep `*` alone, or the others".to_owned(),
            ));
        }
        if any && self.credentials {
            let message = "does not go with `*`: browsers refuse it; name the origins";
            faults.push(("credentials".to_owned(), message.to_owned()));
        }
        for (at, origin) in self.origins.iter().enumerate() {
            if origin != "*" && !is_origin(origin) {
                let message = format!(
                    "`{}` is not an origin; write scheme, host and port alone and in lower case, such as https://app.example.com",
                    origin.chars().take(100).collect::<String>().escape_debug()
                );
                faults.push((format!("origins[{at}]"), message));
            }
        }
        faults
    }
}

/// As browsers write it (RFC 6454, 6.2): no path, no default port, lower case.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
    let scheme_fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    !scheme.is_empty()
        && scheme.chars().all(scheme_fits)
        && !rest.is_empty()
        && rest.chars().all(fits)
        && (default.is_empty() || !rest.ends_with(default))
}

#[cfg(test)]
mod tests {
    use super::CorsInput;

    fn faults(origins: &[&str], credentials: bool) -> Vec<String> {
        let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
        CorsInput { origins, credentials }.faults().into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let good = [
            "https://app.example.com",
            "http://localhost:3000",
            "http://[::1]:8080",
            "capacitor://localhost",
        ];
        assert_eq!(faults(&good, true), [""; 0]);
        assert_eq!(faults(&["*"], false), [""; 0]);
        let bad = [
            "https://app.example.com/",
            "app.example.com",
            "https://App.example.com",
            "https://a:443",
            "http://a:80",
            "null",
            "",
        ];
        assert_eq!(faults(&bad, false).len(), bad.len());
        assert_eq!(faults(&[], false), ["origins"]);
        assert_eq!(faults(&["*"], true), ["credentials"]);
        assert_eq!(faults(&["*", "https://a"], false), ["origins"]);
    }
}
