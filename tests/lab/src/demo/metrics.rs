//! What the agent serves, read as Prometheus would.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(2);

/// Packets by reason.
pub(super) type Reasons = BTreeMap<String, u64>;

/// One scrape, in the text format.
#[derive(Debug, Clone, Default)]
pub(super) struct Scrape(String);

impl Scrape {
    /// Fetches it from the loopback of the calling thread's namespace.
    pub(super) fn fetch(port: u16) -> Result<Self> {
        fetch(port, "/metrics").map(Self)
    }

    /// Sums a metric by its label `reason`; with `hook`, only what was counted there.
    pub(super) fn reasons(&self, metric: &str, hook: Option<&str>) -> Reasons {
        let mut sums = Reasons::new();
        for (labels, value) in self.samples(metric) {
            if value > 0.0 && hook.is_none_or(|hook| label(labels, "hook") == Some(hook)) {
                let reason = label(labels, "reason").unwrap_or("unknown");
                *sums.entry(reason.to_owned()).or_default() += value as u64;
            }
        }
        sums
    }

    /// The lines of some metrics that are not zero.
    pub(super) fn lines(&self, metric: &str) -> Vec<&str> {
        let text = self.0.lines();
        text.filter(|line| sample(line, metric).is_some_and(|(_, value)| value != 0.0))
            .collect()
    }

    fn samples<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| sample(line, metric))
    }
}

/// One page over HTTP, from the loopback of the calling thread's namespace.
pub(super) fn fetch(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("agent")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "{path}: {status}");
    Ok(body.to_owned())
}

/// Labels and value of a line, if it is this metric's.
fn sample<'a>(line: &'a str, metric: &str) -> Option<(&'a str, f64)> {
    let rest = line.strip_prefix(metric)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once('}')?,
        None => ("", rest.strip_prefix(' ')?),
    };
    Some((labels, value.trim().parse().ok()?))
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE drops counter\n\
        drops{hook=\"pod\",reason=\"denied\"} 3\n\
        drops{hook=\"uplink\",reason=\"denied\"} 40\n\
        drops{hook=\"uplink\",reason=\"short_initial\"} 0\n\
        drops_other{reason=\"denied\"} 7\nplain 2.5\n";

    #[test]
    fn drops_are_summed_by_reason_and_zeroes_left_out() {
        let scrape = Scrape(TEXT.to_owned());
        let denied = |count| Reasons::from([("denied".to_owned(), count)]);
        assert_eq!(scrape.reasons("drops", None), denied(43));
        assert_eq!(scrape.reasons("drops", Some("pod")), denied(3));
        assert_eq!(scrape.reasons("none", None), Reasons::new());
    }

    #[test]
    fn only_lines_of_the_metric_itself_are_shown() {
        let scrape = Scrape(TEXT.to_owned());
        assert_eq!(scrape.lines("drops").len(), 2);
        assert_eq!(scrape.lines("plain"), ["plain 2.5"]);
    }
}
