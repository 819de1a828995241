//! The command line.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use stoq_daemon::Log;
use stoq_operator::run::{self, RunOptions};

/// Sums up on each StoqTransport what all nodes say of it.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  stoq-operator run                             in a pod, with its service account
  KUBECONFIG=admin.yaml stoq-operator run       anywhere else
  stoq-operator run --stale-after 5m            believe silent agents for longer";

#[derive(Subcommand)]
enum Command {
    /// Watch the cluster and keep statuses true until told to stop
    Run(Run),
}

#[derive(Args)]
#[command(
    after_help = "Any number may run: one leads, the others take over when it ends.\n\n\
        Example:\n  stoq-operator run --namespace stoq-system --http 0.0.0.0:9466 --log json"
)]
struct Run {
    /// Namespace of the lease and of the ConfigMap of node addresses
    #[arg(long, default_value = "stoq-system", env = "POD_NAMESPACE")]
    namespace: String,
    /// Name of this one, for lease and events; default: host name
    #[arg(long, env = "POD_NAME")]
    name: Option<String>,
    /// Where to serve /metrics, /healthz and /readyz
    #[arg(long, default_value = "0.0.0.0:9466")]
    http: SocketAddr,
    /// How long an agent may be silent before its node counts as unknown
    #[arg(long, default_value = "180s", value_parser = stale, value_name = "DURATION")]
    stale_after: Duration,
    /// How long the lease holds without being renewed
    #[arg(long, default_value = "15s", value_parser = lease, value_name = "DURATION")]
    lease_duration: Duration,
    /// Form of the log; STOQ_LOG in the environment says how much: info, debug, stoq_operator=trace,warn
    #[arg(long, value_enum, default_value_t)]
    log: Log,
}

/// Runs the command. Exit code 2: it could not start.
pub(crate) fn main() -> ExitCode {
    let Command::Run(options) = Cli::parse().command;
    options.log.init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build();
    let ran = match runtime {
        Ok(runtime) => runtime
            .block_on(run::run(options.into()))
            .map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stoq-operator: {error}");
            ExitCode::from(2)
        }
    }
}

impl From<Run> for RunOptions {
    fn from(run: Run) -> Self {
        Self {
            namespace: run.namespace,
            name: run.name.unwrap_or_else(host_name),
            http: run.http,
            stale_after: run.stale_after,
            lease_duration: run.lease_duration,
        }
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// As in 180s or 3m.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("must be a number with s, m or h, such as 180s".to_owned()),
    };
    let number: u32 = number
        .parse()
        .map_err(|_| "must begin with a number".to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

/// Renewals need their time.
fn lease(text: &str) -> Result<Duration, String> {
    within(duration(text)?, 5..=3600, "must be 5s to 1h")
}

/// Agents report every 45 s at least; less than that is for tests.
fn stale(text: &str) -> Result<Duration, String> {
    within(duration(text)?, 5..=86_400, "must be 5s to 24h")
}

fn within(
    found: Duration,
    seconds: RangeInclusive<u64>,
    otherwise: &str,
) -> Result<Duration, String> {
    let allowed = seconds.contains(&found.as_secs());
    allowed.then_some(found).ok_or_else(|| otherwise.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let Command::Run(run) = Cli::try_parse_from(["stoq-operator", "run"])
            .unwrap()
            .command;
        assert_eq!(run.http.port(), 9466);
        assert_eq!(run.stale_after, Duration::from_secs(180));
        assert_eq!(run.lease_duration, Duration::from_secs(15));
    }

    #[test]
    fn the_help_names_the_variable_of_the_log() {
        let mut cli = Cli::command();
        let run = cli.find_subcommand_mut("run").unwrap();
        let help = run.render_long_help().to_string();
        assert!(help.contains("STOQ_LOG"), "{help}");
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("3m"), Ok(Duration::from_secs(180)));
        for bad in ["3", "s", "-1s", "3 m", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(lease("1s").is_err() && lease("15s").is_ok());
        for (text, good) in [("0s", false), ("5s", true), ("24h", true), ("25h", false)] {
            assert_eq!(stale(text).is_ok(), good, "{text}");
        }
    }
}
