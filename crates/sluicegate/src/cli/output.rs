//! How results look to people: aligned tables, short times.

use std::{
    borrow::Cow,
    io::{self, Write},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use sluicegate_core::units::Span;
use sluicegate_freeze::Scope;

/// Prints the API's JSON, indented.
pub(crate) fn json(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value:#}")
}

/// Text that came from elsewhere, on one line and without what a terminal would obey: keys,
/// tenants and reasons are others' words.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain.into()
}

/// A name as it can be typed again.
pub(crate) fn quoted(name: &str) -> String {
    let name = plain(name);
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(bare) { name.into_owned() } else { format!("'{name}'") }
}

/// Names and values, one to a line, the values in one column.
pub(crate) fn fields(out: &mut dyn Write, fields: &[(&str, String)]) -> io::Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in fields {
        writeln!(out, "{name:width$}  {}", plain(value))?;
    }
    Ok(())
}

/// Rows under a head, each column as wide as its widest cell, indented by two.
pub(crate) fn table(out: &mut dyn Write, head: &[String], rows: &[Vec<String>]) -> io::Result<()> {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let head: Vec<_> = head.iter().map(|cell| plain(cell)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).chain(head.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in [&head].into_iter().chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Rows without a head, each column but the last as wide as its widest cell, indented by two.
pub(crate) fn columns<const N: usize>(out: &mut dyn Write, rows: &[[String; N]]) -> io::Result<()> {
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(at, cell)| format!("{cell:w$}", w = width(at)));
        writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Any list of objects as a table: one column per member, in the order they first appear.
/// What is no such list is printed as JSON.
pub(crate) fn section(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    let rows =
        value.as_array().and_then(|rows| rows.iter().map(Value::as_object).collect::<Option<Vec<_>>>());
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.is_null();
        return if empty { writeln!(out, "  none") } else { writeln!(out, "  {value}") };
    };
    let mut head: Vec<String> = Vec::new();
    for name in rows.iter().flat_map(|row| row.keys()) {
        if !head.contains(name) {
            head.push(name.clone());
        }
    }
    let line = |row: &&serde_json::Map<String, Value>| {
        head.iter().map(|name| row.get(name).map_or_else(|| "-".to_owned(), cell)).collect()
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    let head: Vec<String> = head.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
    table(out, &head, &lines)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// How long between two moments, in its two largest units.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    lasting(u64::try_from(to.as_second().saturating_sub(from.as_second())).unwrap_or_default())
}

/// So many seconds, in their two largest units.
pub(crate) fn lasting(seconds: u64) -> String {
    // What is below a thousandth of the whole says nothing.
    let seconds = match seconds {
        0..3600 => seconds,
        3600..86_400 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    Span(Duration::from_secs(seconds)).to_string()
}

/// So many bytes, in the unit that keeps it short.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(power, _)| bytes >= 1 << power) {
        None => format!("{bytes} B"),
        Some((power, unit)) => {
            // One decimal, without floating point.
            let tenths = (u128::from(bytes) * 10) >> power;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// What a freeze covers.
pub(crate) fn scope(scope: Option<&Scope>) -> String {
    let Some(scope) = scope.filter(|scope| !scope.is_everything()) else { return "everything".to_owned() };
    let kinds = [("route", &scope.routes), ("tenant", &scope.tenants), ("upstream", &scope.upstreams)];
    let named = kinds.iter().filter_map(|(kind, names)| {
        let names = names.as_ref()?;
        let plural = if names.len() == 1 { "" } else { "s" };
        Some(format!("{kind}{plural} {}", names.join(", ")))
    });
    named.collect::<Vec<_>>().join(" and ")
}

/// `1 write`, `3 writes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use sluicegate_freeze::Scope;

    use super::{between, bytes, columns, plain, quoted, scope, section};

    fn shown(value: &serde_json::Value) -> String {
        let mut out = Vec::new();
        section(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut out = Vec::new();
        let rows = [["answered", "12", ""], ["rate", "3456", "`max_rps` is used up"]];
        columns(&mut out, &rows.map(|row| row.map(str::to_owned))).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  answered  12\n  rate      3456  `max_rps` is used up\n"
        );
    }

    #[test]
    fn a_name_can_be_typed_again() {
        assert_eq!(
            [quoted("embed-2.a"), quoted("two words"), quoted("")],
            ["embed-2.a", "'two words'", "''"]
        );
    }

    #[test]
    fn a_list_of_objects_is_a_table_and_anything_else_is_itself() {
        let rows = json!([
            { "address": "127.0.0.1:8080", "tls": false },
            { "address": "[::1]:443", "tls": true, "workers": [1, 2] },
        ]);
        let expected =
            "  ADDRESS         TLS  WORKERS\n  127.0.0.1:8080  no   -\n  [::1]:443       yes  1, 2\n";
        assert_eq!(shown(&rows), expected);
        assert_eq!(shown(&json!([])), "  none\n");
        assert_eq!(shown(&json!({ "a": 1 })), "  {\"a\":1}\n");
    }

    #[test]
    fn the_words_of_others_do_not_move_the_cursor() {
        assert_eq!(plain("a key"), "a key");
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(&json!([{ "key": "a\rb" }])), "  KEY\n  a\\rb\n");
    }

    #[test]
    fn sizes_are_told_in_one_unit() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_600_000, "1.5 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn times_are_told_in_their_large_units() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for (seconds, text) in [(0, "0s"), (61, "1m1s"), (3661, "1h1m"), (90_061, "1d1h"), (-5, "0s")] {
            assert_eq!(between(at(0), at(seconds)), text);
        }
    }

    #[test]
    fn a_scope_is_told_by_its_kinds() {
        assert_eq!(scope(None), "everything");
        let some = Scope {
            routes: Some(vec!["a".into(), "b".into()]),
            tenants: Some(vec!["t".into()]),
            upstreams: None,
        };
        assert_eq!(scope(Some(&some)), "routes a, b and tenant t");
    }
}
