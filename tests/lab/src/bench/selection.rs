//! Which figures are asked for.

use anyhow::{Result, ensure};

/// By their names, or by what these begin with: `ratio.rpc` is all of `ratio.rpc.p50` and so on.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection(Vec<String>);

impl Selection {
    /// Of these names; without any, everything.
    pub(super) fn new(only: Vec<String>) -> Self {
        Self(only)
    }

    /// Whether a figure of this name is asked for.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|only| covers(only, name))
    }

    /// An error if something is asked for that there is not.
    pub(super) fn check(&self, names: &[String]) -> Result<()> {
        for only in &self.0 {
            let known = names.iter().any(|name| covers(only, name));
            ensure!(
                known,
                "--only {only}: there is none; there are {}",
                names.join(" ")
            );
        }
        Ok(())
    }
}

fn covers(only: &str, name: &str) -> bool {
    let rest = name.strip_prefix(only);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_stands_for_all_that_begin_with_it() {
        for (only, name, expected) in [
            ("ratio.rpc.p50", "ratio.rpc.p50", true),
            ("ratio.rpc", "ratio.rpc.p50", true),
            ("ratio", "ratio.rpc.p50", true),
            ("guard.drop", "guard.drop/bare", true),
            ("ratio.rp", "ratio.rpc.p50", false),
            ("ratio.rpc.p50", "ratio.rpc", false),
        ] {
            assert_eq!(covers(only, name), expected, "{only} {name}");
        }
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let names = ["a.b".to_owned()];
        assert!(Selection::new(vec!["a".into()]).check(&names).is_ok());
        assert!(Selection::new(vec!["c".into()]).check(&names).is_err());
        assert!(Selection::default().has("anything"));
    }
}
