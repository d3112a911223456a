//! What is wrong with a document, and where.

use std::fmt;

/// One thing that is wrong with a document.
///
/// It is shown as `FILE:LINE:COLUMN: PATH: MESSAGE`; what has no place (a file that cannot
/// be read) or no path (text that is not YAML) leaves that part out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file, as the operator named it, or where the document came from.
    pub file: String,
    /// The line, from 1; 0 where the problem has no place in the text.
    pub line: usize,
    /// The column in characters, from 1; 0 where the problem has no place in the text.
    pub column: usize,
    /// The place in the document, such as `routes[1].upstream`; empty for the whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A document that is not taken. It has at least one problem; they are in the order in
/// which they stand in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejected {
    /// Everything that was found wrong.
    pub problems: Vec<Problem>,
}

impl From<Problem> for Rejected {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
