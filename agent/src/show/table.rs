//! Aligned columns.

/// Rows under their heads. Nothing is cut: the last column is as wide as it needs to be, and its further lines stand
/// under its first.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let mut widths = [0; N];
    for row in rows.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let rows = std::iter::once(&heads).chain(rows);
    rows.map(|row| line(row, &widths)).collect()
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let Some((last, cells)) = row.split_last() else {
        return String::new();
    };
    let padded = cells.iter().zip(widths);
    let start: String = padded
        .map(|(cell, width)| format!("{:<width$}  ", or_dash(cell)))
        .collect();
    let indent = format!("\n{}", " ".repeat(start.chars().count()));
    let lines: Vec<_> = last.trim_end().lines().collect();
    let text = start + &lines.join(&indent);
    format!("{}\n", text.trim_end())
}

/// An empty cell in mid-row would shift the eye.
fn or_dash(cell: &str) -> &str {
    if cell.is_empty() { "-" } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_further_lines_stand_under_the_first() {
        let rows = [
            ["a", "", "one\ntwo\n"].map(str::to_owned),
            ["longer", "é", ""].map(str::to_owned),
        ];
        let expected = "\
NAME    B  TEXT
a       -  one
           two
longer  é
";
        assert_eq!(table(["NAME", "B", "TEXT"], &rows), expected);
    }
}
