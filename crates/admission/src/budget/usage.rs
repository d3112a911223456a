//! `usage`: what an answer says it took.
//!
//! OpenAI's chat and completions name `prompt_tokens`, `completion_tokens`, `total_tokens`;
//! its responses, and Anthropic's messages, `input_tokens` and `output_tokens`. Anthropic
//! counts what was read from and written to the prompt cache beside `input_tokens`, OpenAI
//! within it; here cached tokens count as any others. In a stream the numbers are cumulative
//! and may come in parts, so the largest that was told of each is what holds.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::json::{Count, Name, pass_over};

/// The tokens that an answer has reported up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    input: Option<u64>,
    cached: [u64; 2],
    output: Option<u64>,
    total: Option<u64>,
}

impl Usage {
    /// All tokens, if any were told.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        let parts = match (self.prompt(), self.output) {
            (None, None) => None,
            (prompt, output) => Some(prompt.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        };
        parts.max(self.total)
    }

    /// The tokens of the prompt, if they were told.
    #[must_use]
    pub fn prompt(&self) -> Option<u64> {
        let [written, read] = self.cached;
        Some(self.input?.saturating_add(written).saturating_add(read))
    }

    /// The tokens of the answer, if they were told.
    #[must_use]
    pub const fn output(&self) -> Option<u64> {
        self.output
    }

    /// Adds what a later report says.
    pub(super) fn merge(&mut self, later: Self) {
        self.input = self.input.max(later.input);
        self.output = self.output.max(later.output);
        self.total = self.total.max(later.total);
        for (cached, later) in self.cached.iter_mut().zip(later.cached) {
            *cached = (*cached).max(later);
        }
    }
}

impl<'de> Deserialize<'de> for Usage {
    /// Never fails over a member's type: what is no count is not there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Usage;

    pass_over!(Usage::default(); number, text, array);

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Usage, A::Error> {
        let mut usage = Usage::default();
        while let Some(part) = members.next_key_seed(Name(Part::of))? {
            let Some(part) = part else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let count = members.next_value::<Count>()?.0;
            match part {
                Part::Input => usage.input = usage.input.max(count),
                Part::Output => usage.output = usage.output.max(count),
                Part::Total => usage.total = usage.total.max(count),
                Part::CacheWritten => usage.cached[0] = count.unwrap_or(0),
                Part::CacheRead => usage.cached[1] = count.unwrap_or(0),
            }
        }
        Ok(usage)
    }
}

enum Part {
    Input,
    Output,
    Total,
    CacheWritten,
    CacheRead,
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "input_tokens" | "prompt_tokens" => Self::Input,
            "output_tokens" | "completion_tokens" => Self::Output,
            "total_tokens" => Self::Total,
            "cache_creation_input_tokens" => Self::CacheWritten,
            "cache_read_input_tokens" => Self::CacheRead,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    fn tokens(json: &str) -> Option<u64> {
        serde_json::from_str::<Usage>(json).unwrap().tokens()
    }

    #[test]
    fn each_shape_is_summed_by_its_own_rule() {
        assert_eq!(
            tokens(
                r#"{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":5}}"#
            ),
            Some(29)
        );
        assert_eq!(
            tokens(
                r#"{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,"total_tokens":123}"#
            ),
            Some(123)
        );
        assert_eq!(
            tokens(
                r#"{"input_tokens":2095,"cache_creation_input_tokens":2051,"cache_read_input_tokens":7,"output_tokens":503}"#
            ),
            Some(4656)
        );
        assert_eq!(tokens(r#"{"prompt_tokens":8,"total_tokens":8}"#), Some(8));
    }

    #[test]
    fn what_is_no_count_is_not_there() {
        for json in
            ["null", "{}", "[1]", "7", "-1", "1.5", "true", "\"x\"", r#"{"type":"duration","seconds":9}"#]
        {
            assert_eq!(tokens(json), None, "{json}");
        }
        assert_eq!(tokens(r#"{"input_tokens":null,"output_tokens":"7","total_tokens":[1]}"#), None);
        assert_eq!(tokens(r#"{"input_tokens":-5,"output_tokens":2.9}"#), Some(2));
        assert_eq!(tokens(r#"{"input_tokens":18446744073709551615,"output_tokens":1}"#), Some(u64::MAX));
    }

    #[test]
    fn reports_of_a_stream_are_cumulative() {
        let mut usage: Usage = serde_json::from_str(r#"{"input_tokens":25,"output_tokens":1}"#).unwrap();
        usage.merge(serde_json::from_str(r#"{"input_tokens":0,"output_tokens":15}"#).unwrap());
        assert_eq!(usage.tokens(), Some(40));
    }
}
