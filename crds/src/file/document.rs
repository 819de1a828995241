//! The documents of a multi-document YAML file.

use serde_yaml::Value;

use super::Fault;

/// One document, not yet parsed.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Document<'a> {
    /// From 1, not counting empty ones.
    pub(super) index: usize,
    /// Line of the file on which it begins, from 1.
    pub(super) line: usize,
    text: &'a str,
}

impl Document<'_> {
    /// Parses the YAML and leaves nulls out, which stand for the default as on an API server.
    pub(super) fn parse(&self) -> Result<Value, Fault> {
        let value = serde_yaml::from_str(self.text);
        let value: Value = value.map_err(|e| Fault::Syntax(e.to_string()))?;
        Ok(without_nulls(value))
    }
}

/// Splits by the `---` lines before parsing, as `kubectl` does, so that a syntax error spoils one
/// document only.
pub(super) fn split(text: &str) -> impl Iterator<Item = Document<'_>> {
    parts(text)
        .filter(|(_, text)| !is_empty(text))
        .enumerate()
        .map(|(i, (line, text))| Document {
            index: i + 1,
            line,
            text,
        })
}

/// Line of the first byte and text of each part, without the `---`.
fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some((1, text));
    std::iter::from_fn(move || {
        let (line, text) = rest.take()?;
        let Some(marker) = next_marker(text) else {
            return Some((line, text));
        };
        let (part, tail) = text.split_at(marker);
        rest = Some((line + part.lines().count(), &tail[MARKER.len()..]));
        Some((line, part))
    })
}

const MARKER: &str = "---";

fn next_marker(text: &str) -> Option<usize> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let after = line.strip_prefix(MARKER);
        // The tail of a marker's own line follows a space; `----` is no marker.
        if after.is_some_and(|s| s.is_empty() || s.starts_with(char::is_whitespace)) {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

fn is_empty(text: &str) -> bool {
    let is_comment = |line: &str| line.is_empty() || line.starts_with('#');
    text.lines().map(str::trim).all(is_comment)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Mapping(map) => {
            let kept = map.into_iter().filter(|(_, v)| !v.is_null());
            Value::Mapping(kept.map(|(k, v)| (k, without_nulls(v))).collect())
        }
        Value::Sequence(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_at_marker_lines_and_empty_ones_left_out() {
        for (text, want) in [
            ("", &[][..]),
            ("# nothing\n", &[]),
            ("a: 1", &[(1, "a: 1")]),
            ("a: 1\n---\nb: 2\n", &[(1, "a: 1\n"), (2, "\nb: 2\n")]),
            ("# first\n---\na: 1", &[(2, "\na: 1")]),
            (
                "---\r\na: 1\r\n--- # more\nb: 2",
                &[(1, "\r\na: 1\r\n"), (3, " # more\nb: 2")],
            ),
            ("a: |\n  ---\n  x\n", &[(1, "a: |\n  ---\n  x\n")]),
            ("---- : 1", &[(1, "---- : 1")]),
            ("---", &[]),
        ] {
            let got: Vec<_> = split(text).map(|d| (d.line, d.text)).collect();
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn nulls_stand_for_the_default() {
        let document = split("a: {b: null, c: [~, {d: }]}\n").next().unwrap();
        let want: Value = serde_yaml::from_str("a: {c: [null, {}]}").unwrap();
        assert_eq!(document.parse().unwrap(), want);
    }
}
