//! Reading the tokens of the admin API from their files.

use std::path::Path;

use sluicegate_admin::{NamedToken, Role};
use sluicegate_config::{
    Source,
    document::{AdminInput, AdminRole},
};
use sluicegate_core::secret_file;

/// All tokens, or what is wrong with them, by the path in the document.
pub(crate) fn read(admin: &AdminInput, source: &Source) -> Result<Vec<NamedToken>, Vec<(String, String)>> {
    let (mut tokens, mut faults) = (Vec::<NamedToken>::new(), Vec::new());
    for token in admin.token_files() {
        let role = match token.role {
            AdminRole::Read => Role::Read,
            AdminRole::Operate => Role::Operate,
        };
        match read_one(&source.resolve(token.file)) {
            Err(message) => faults.push((token.at, message)),
            Ok(secret) => match tokens.iter().find(|other| other.secret == secret) {
                Some(other) => faults.push((
                    token.at,
                    format!("holds the same token as that of `{}`; give each a token of its own", other.name),
                )),
                None => tokens.push(NamedToken { name: token.name.to_owned(), role, secret }),
            },
        }
    }
    if faults.is_empty() { Ok(tokens) } else { Err(faults) }
}

fn read_one(path: &Path) -> Result<String, String> {
    let shown = path.display();
    match secret_file::read(path)?.trim() {
        "" => Err(format!("{shown} is empty; write the token into it")),
        token if token.chars().all(|c| c.is_ascii_graphic() || c == ' ') => Ok(token.to_owned()),
        _ => Err(format!(
            "{shown} holds what no request can carry as a token; write one line of visible ASCII into it"
        )),
    }
}
