//! A command line that makes no sense, in one line.

use std::process::ExitCode;

use clap::Error;
use clap::error::ErrorKind;

use super::fail;

/// Prints what is wrong; help and version, which come as errors too, as they are.
pub(super) fn refuse(error: &Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nobody is left to tell where this can't be printed.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        _ => fail(2, in_one_line(error)),
    }
}

/// The first paragraph: what and where. Usage and tips come after it.
fn in_one_line(error: &Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().map(str::trim);
    let first: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    first.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;
    use super::*;

    #[test]
    fn what_is_wrong_and_where_fits_in_a_line() {
        let run = ["run", "--standalone", "/x"];
        for (arguments, expected) in [
            (
                [&run[..], &["--http", "nowhere"]].concat(),
                "invalid value 'nowhere' for '--http <HTTP>': invalid socket address syntax",
            ),
            (
                [&run[..], &["--flows", "0"]].concat(),
                "invalid value '0' for '--flows <FLOWS>': 0 is not in 1024..=16777216",
            ),
            (
                [&run[..], &["--log", "xml"]].concat(),
                "invalid value 'xml' for '--log <LOG>' [possible values: text, json]",
            ),
            (vec!["clean"], "unrecognized subcommand 'clean'"),
        ] {
            let parsed = Cli::try_parse_from([&["stoq-agent"][..], &arguments].concat());
            let error = parsed.err().unwrap();
            assert_eq!(in_one_line(&error), expected);
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
