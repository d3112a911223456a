//! What the server's errors mean, in words for an operator.

use ::redis::{ErrorKind, RedisError};

/// What a server says that refuses any write.
pub(super) const REFUSALS: [&str; 6] = ["READONLY", "OOM", "MISCONF", "NOAUTH", "NOREPLICAS", "LOADING"];

/// The first word of an error. Before Redis 7 an error within a script is told inside one
/// about the script.
pub(super) fn code(error: &RedisError) -> Option<&str> {
    let inside = error.detail().and_then(|detail| {
        let (_, rest) = detail.rsplit_once(": -").or_else(|| detail.rsplit_once(" -"))?;
        REFUSALS.into_iter().find(|code| rest.starts_with(code))
    });
    inside.or_else(|| error.code())
}

/// An error as an operator should read it.
pub(super) fn words(error: &RedisError) -> String {
    if error.is_timeout() {
        return "it did not answer in time".into();
    }
    if error.is_connection_refusal() {
        return "nobody listens there; start it, or correct `url`".into();
    }
    if error.is_io_error() {
        return format!("the connection failed ({error})");
    }
    let detail = error.detail().unwrap_or_default();
    match code(error) {
        _ if error.kind() == ErrorKind::RESP3NotSupported => {
            "it does not know HELLO, so it is older than Redis 6.0, the least that can be used; upgrade it"
                .into()
        }
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            format!("it does not accept the user or password in `url` ({error})")
        }
        Some("WRONGPASS") => format!("it does not accept the user or password in `url` ({detail})"),
        Some("NOAUTH") => "it asks for a password; put one into `url`".into(),
        Some("NOPERM") => format!(
            "the user in `url` may not do what is needed ({detail}); \
             allow EVAL, EVALSHA, SCRIPT, INFO and all data commands on its keys"
        ),
        Some("READONLY") => "it is a replica and cannot be written; connect to the primary".into(),
        Some("OOM") => "its memory is full; raise `maxmemory`, or lower the bounds of the store".into(),
        Some("MISCONF") => format!("it refuses writes because it could not save its data ({detail})"),
        Some("NOREPLICAS") => format!("it refuses writes because it has too few replicas ({detail})"),
        Some("LOADING") => "it is still loading its data".into(),
        _ => format!("it answered with an error ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use ::redis::{RedisError, Value, parse_redis_value};

    use super::{code, words};

    fn error(said: &str) -> RedisError {
        match parse_redis_value(format!("-{said}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_within_a_script_is_told_as_what_it_is() {
        let old = "ERR Error running script (call to f_e4): @user_script:167: @user_script: 167: \
            -OOM command not allowed when used memory > 'maxmemory'.";
        assert_eq!(code(&error(old)), Some("OOM"));
        assert_eq!(code(&error("OOM command not allowed when used memory > 'maxmemory'.")), Some("OOM"));
        assert_eq!(code(&error("ERR something: -else")), Some("ERR"));
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (said, told) in [
            ("LOADING Redis is loading the dataset in memory", "still loading"),
            ("READONLY You can't write against a read only replica.", "connect to the primary"),
            ("NOAUTH Authentication required.", "put one into `url`"),
            ("NOPERM this user has no permissions to run the 'eval' command", "'eval' command); allow"),
            ("MISCONF Errors writing to the AOF file: No space left on device", "No space left"),
            ("WRONGPASS invalid username-password pair", "user or password in `url`"),
            ("OOM command not allowed", "raise `maxmemory`"),
            ("NOREPLICAS Not enough good replicas to write.", "too few replicas"),
            ("ERR unknown", "answered with an error"),
        ] {
            let words = words(&error(said));
            assert!(words.contains(told), "{said}: {words}");
        }
    }
}
