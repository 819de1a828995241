//! The page that explains the metrics.

use std::fmt::Write as _;

use super::registry::{ALL, Family, Scope};

const HEAD: &str = "\
# Metrics

<!-- Made from agent/src/metrics/registry.rs: UPDATE=1 cargo test -p stoq-agent docs_are_current -->

`stoq-agent` serves these at `/metrics` (`--http`, port 9465), in Prometheus' text format. Times are seconds, sizes are
bytes of UDP payload.
";

const TRAFFIC: &str = "
## Traffic

One series per transport, with the labels `namespace` and `transport`. `spec.metrics.tier` changes that:

| tier | labels |
|---|---|
| `Node` | none: all transports of this tier together |
| `Transport` | `namespace`, `transport` |
| `Pod` | `namespace`, `transport`, `pod`; an empty `pod` is what no pod has a counter of its own for |

Known connections, and the events `idle` and `evicted`, are counted per transport: they never have the label `pod`.

";

const NODE: &str = "
## Node and agent

";

const TAIL: &str = "
## Reading them well

- Counters live in the kernel: they go on over a restart or an upgrade of the agent. Those of a transport begin anew when
  it is deleted and made again, and those of the agent (`stoq_reconcile_*`, `process_*`, the events `idle` and `evicted`)
  when it starts. A sum over the tier `Node` falls when one of its transports is deleted.
- Histograms have eight buckets per power of two, so any quantile is within 15 %:
  `histogram_quantile(0.99, sum by (le) (rate(stoq_quic_rtt_seconds_bucket[5m])))`.
- Handshake and round-trip time exist for `protocol: QUIC` only.
- Round-trip times come from the spin bit, which either peer may leave out (RFC 9000, 17.4). There is a sample only where both
  peers spin. A connection that waits for its application is measured with the wait, so look at low quantiles, or at
  transfers that send without pause.
- Several connections between one client address and port and one endpoint, multiplexed at the same time, are one flow.
- QUIC packet types are read from every packet that is coalesced into a datagram, up to 16 in one frame.
";

/// `docs/metrics.md`.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for (intro, scope) in [(TRAFFIC, Scope::Transport), (NODE, Scope::Node)] {
        page.push_str(intro);
        page.push_str("| metric | type | labels | meaning |\n|---|---|---|---|\n");
        for family in ALL.iter().filter(|family| family.scope == scope) {
            row(&mut page, family);
        }
    }
    page.push_str(TAIL);
    page
}

fn row(page: &mut String, family: &Family) {
    let labels: Vec<_> = family.labels.iter().map(|l| format!("`{l}`")).collect();
    let meaning = format!("{} {}", family.help, family.meaning);
    // Writing to a string can't fail.
    let _ = writeln!(
        page,
        "| `{}` | {} | {} | {} |",
        family.name,
        family.kind.as_str(),
        labels.join(", "),
        meaning.trim_end(),
    );
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    #[test]
    fn docs_are_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if env::var_os("UPDATE").is_some() {
            fs::write(path, super::page()).unwrap();
        }
        let found = fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == super::page(),
            "docs/metrics.md is stale: UPDATE=1 cargo test -p stoq-agent docs_are_current"
        );
    }
}
