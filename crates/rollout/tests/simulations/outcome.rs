//! How the runs of a scenario ended.

use crate::{
    file::{Ends, File},
    optimal::{self, Needs},
};

/// How one run ended.
pub(crate) struct End {
    pub(crate) ends: Ends,
    /// When.
    pub(crate) seconds: f64,
    /// The candidate's requests until then.
    pub(crate) requests: u64,
}

/// The head of the table.
pub(crate) const HEAD: &str = "\
| scenario | what happens | runs | right | passed | aborted | failed | held | time to stop: median, p95 | candidate's requests: median, p95 | SPRT: Wald, simulated |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// A line of the table.
pub(crate) struct Row<'a> {
    name: &'a str,
    file: &'a File,
    runs: usize,
    /// How many ended so.
    ended: [(Ends, usize); 4],
    right: usize,
    stopped: Option<Stopped>,
    optimal: Option<Needs>,
}

/// Of the runs that were aborted or failed: the median and the p95.
struct Stopped {
    seconds: [f64; 2],
    requests: [f64; 2],
}

impl<'a> Row<'a> {
    pub(crate) fn new(name: &'a str, file: &'a File, ends: &[End]) -> Self {
        let count = |ended: Ends| ends.iter().filter(|end| end.ends == ended).count();
        let stopped: Vec<_> =
            ends.iter().filter(|end| matches!(end.ends, Ends::Aborted | Ends::Failed)).collect();
        Self {
            name,
            file,
            runs: ends.len(),
            ended: [Ends::Passed, Ends::Aborted, Ends::Failed, Ends::Held].map(|ended| (ended, count(ended))),
            right: file.right.iter().map(|ended| count(*ended)).sum(),
            stopped: (!stopped.is_empty()).then(|| Stopped {
                seconds: median_and_p95(stopped.iter().map(|end| end.seconds)),
                requests: median_and_p95(stopped.iter().map(|end| end.requests as f64)),
            }),
            optimal: optimal::needs(file),
        }
    }

    pub(crate) fn line(&self) -> String {
        let percent = |count: usize| shown(count as f64 * 100.0 / self.runs as f64);
        let [passed, aborted, failed, held] = self.ended.map(|(_, count)| percent(count));
        let (seconds, requests) = match &self.stopped {
            Some(Stopped { seconds, requests }) => {
                (seconds.map(time).join(", "), requests.map(number).join(", "))
            }
            None => (String::new(), String::new()),
        };
        let optimal = self
            .optimal
            .as_ref()
            .map(|needs| format!("{}, {}", number(needs.formula), number(needs.simulated)));
        format!(
            "| {} | {} | {} | {} | {passed} | {aborted} | {failed} | {held} | {seconds} | {requests} | {} |",
            self.name,
            self.file.about,
            number(self.runs as f64),
            percent(self.right),
            optimal.unwrap_or_default()
        )
    }

    /// The ranges that were missed; where there are few runs, only beyond what chance explains.
    pub(crate) fn missed(&self, exactly: bool) -> Vec<String> {
        let expect = &self.file.expect;
        let [passed, aborted, failed, held] = self.ended.map(|(_, count)| count);
        let shares = [
            ("right", self.right, expect.right),
            ("passed", passed, expect.passed),
            ("aborted", aborted, expect.aborted),
            ("failed", failed, expect.failed),
            ("held", held, expect.held),
        ];
        let mut missed = Vec::new();
        for (what, count, range) in shares {
            let Some([least, most]) = range else { continue };
            let share = count as f64 * 100.0 / self.runs as f64;
            let [low, high] = if exactly { [share; 2] } else { explained(count, self.runs) };
            if high < least || low > most {
                missed.push(format!("{}: {what} {}%, not {least}% to {most}%", self.name, shown(share)));
            }
        }
        if let Some([least, most]) = expect.requests {
            let [median, _] = self.stopped.as_ref().map_or([f64::NAN; 2], |stopped| stopped.requests);
            if !(least..=most).contains(&median) {
                missed.push(format!(
                    "{}: {median} requests until it stopped, not {least} to {most}",
                    self.name
                ));
            }
        }
        missed
    }
}

/// The shares in percent that explain a count to within four standard deviations (Wilson 1927).
fn explained(count: usize, runs: usize) -> [f64; 2] {
    const DEVIATIONS: f64 = 4.0;
    let (runs, share) = (runs as f64, count as f64 / runs as f64);
    let square = DEVIATIONS * DEVIATIONS;
    let middle = share + square / (2.0 * runs);
    let width = DEVIATIONS * (share * (1.0 - share) / runs + square / (4.0 * runs * runs)).sqrt();
    [middle - width, middle + width].map(|bound| 100.0 * bound / (1.0 + square / runs))
}

fn median_and_p95(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    [0.5, 0.95].map(|quantile| values[((values.len() - 1) as f64 * quantile).round() as usize])
}

fn shown(percent: f64) -> String {
    let text = format!("{percent:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn time(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) }
}

fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
