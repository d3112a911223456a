//! The tokens of the admin API.

use super::{Findings, name_fault};
use crate::{Document, document::AdminRole, yaml::shortened};

/// The name goes into each line of the audit log, and into the notes of freezes and rollouts.
const LONGEST_NAME: usize = 32;

pub(super) fn check(document: &Document, found: &mut Findings) {
    let tokens = document.admin.token_files();
    for (at, token) in document.admin.tokens.iter().enumerate() {
        let path = format!("admin.tokens[{at}].name");
        if let Some(fault) = name_fault(&token.name) {
            found.fault(&path, fault);
        } else if token.name.len() > LONGEST_NAME {
            found.fault(
                &path,
                format!("`{}` is longer than {LONGEST_NAME} characters", shortened(&token.name)),
            );
        }
        let same = tokens.iter().filter(|other| other.name == token.name).count();
        if same > 1 {
            let message = format!(
                "`{}` is the name of another token, too, and the audit log could not tell them apart; \
                 `admin.token_file` is called `operate` there and `admin.read_token_file` `read`",
                shortened(&token.name)
            );
            found.fault(path, message);
        }
    }
    let operates = |role| role == AdminRole::Operate;
    if let Some(first) = tokens.first().filter(|_| !tokens.iter().any(|token| operates(token.role))) {
        found.fault(
            &first.at,
            "no token has the role `operate`, so that nobody could freeze, thaw or reload; add `admin.token_file`, or \
             a token with `role: operate` to `admin.tokens`",
        );
    }
}
