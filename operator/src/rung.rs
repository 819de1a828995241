//! Rungs of the ladder, as agents write them.

/// A rung, best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Rung {
    Native,
    Generic,
    Tcx,
    Clsact,
    None,
}

impl Rung {
    /// The rung of this name. What a newer agent may call otherwise is not believed to be anything.
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "Native" => Self::Native,
            "Generic" => Self::Generic,
            "Tcx" => Self::Tcx,
            "Clsact" => Self::Clsact,
            _ => Self::None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "Native",
            Self::Generic => "Generic",
            Self::Tcx => "Tcx",
            Self::Clsact => "Clsact",
            Self::None => "None",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_reads_back_and_better_ones_come_first() {
        let rungs = [
            Rung::Native,
            Rung::Generic,
            Rung::Tcx,
            Rung::Clsact,
            Rung::None,
        ];
        assert!(rungs.is_sorted());
        for rung in rungs {
            assert_eq!(Rung::parse(rung.as_str()), rung);
        }
        assert_eq!(Rung::parse("Warp"), Rung::None);
    }
}
