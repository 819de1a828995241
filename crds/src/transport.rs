//! The parsed form of a `StoqTransport`: what the agent and the operator plan with.

use std::num::NonZeroU16;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::api::{AccelerationSpec, PortSpec, StoqTransport, XdpMode};
use crate::rules::{self, Rule};
use crate::{Invalid, ObjectName, Pod, Policy, Protocol, Selector, Tier, Violation, duration};

mod filter;
mod front_end;

pub use filter::{Filter, Limits, PerSource, QuicChecks, Unestablished};
pub use front_end::{FrontEnd, FrontEndAddress};

/// A transport whose every field holds what it must.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transport {
    /// Namespace and name.
    pub name: ObjectName,
    /// When the API server created it; `None` for one from a file.
    pub created: Option<Timestamp>,
    /// `metadata.generation`, 0 where there is none.
    pub generation: i64,
    /// Pods of the namespace that it is about.
    pub selector: Selector,
    /// UDP ports, 1 to 16, each number once.
    pub ports: Vec<Port>,
    /// How packets may travel.
    pub acceleration: Acceleration,
    /// Which packets are dropped.
    pub filter: Filter,
    /// How fine the metrics are.
    pub tier: Tier,
    /// Ways into the cluster that lead to the pods, as the operator found them; at most 64.
    pub front_ends: Vec<FrontEnd>,
}

/// One UDP port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Port {
    /// Its number.
    pub number: NonZeroU16,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// How packets may travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acceleration {
    /// XDP on the uplink.
    pub xdp: Policy,
    /// Kinds of XDP that will do; at least one.
    pub xdp_modes: XdpModes,
    /// AF_XDP for pods that ask.
    pub af_xdp: Policy,
    /// Zero-copy AF_XDP.
    pub zero_copy: Policy,
    /// How long an admitted flow may bypass the kernel's path, 100 ms to 60 s.
    pub readmit_after: Duration,
}

/// Kinds of XDP that will do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct XdpModes {
    /// In the driver.
    pub native: bool,
    /// In the network stack.
    pub generic: bool,
}

impl Transport {
    /// Checks every rule of the CRD and narrows the types.
    ///
    /// # Errors
    /// The first field that breaks a rule, with its path; the reason is the text an API server
    /// would answer with.
    pub fn parse(object: &StoqTransport) -> Result<Self, Invalid> {
        let meta = &object.metadata;
        let spec = &object.spec;
        Ok(Self {
            name: ObjectName::parse(meta)?,
            created: meta.creation_timestamp.as_ref().map(|t| t.0),
            generation: meta.generation.unwrap_or(0),
            selector: Selector::parse(&spec.pod_selector, "spec.podSelector")?,
            ports: parse_ports(&spec.ports)?,
            acceleration: parse_acceleration(&spec.acceleration)?,
            filter: Filter::parse(&spec.filter)?,
            tier: spec.metrics.tier,
            front_ends: front_end::parse_all(object.status.as_ref())?,
        })
    }

    /// Whether the transport is about this pod: one of its namespace, with the labels, not ended.
    #[must_use]
    pub fn selects(&self, pod: &Pod) -> bool {
        self.name.namespace == pod.name.namespace
            && self.selector.matches(&pod.labels)
            && !pod.has_ended()
    }
}

fn parse_ports(specs: &[PortSpec]) -> Result<Vec<Port>, Invalid> {
    check_length(specs, 1, rules::MAX_PORTS, "spec.ports")?;
    let ports: Vec<Port> = try_each(specs, "spec.ports", parse_port)?;
    let twice = |(i, port): (usize, &Port)| ports[..i].iter().any(|p| p.number == port.number);
    refuse_if(
        ports.iter().enumerate().any(twice),
        "spec.ports",
        rules::UNIQUE_PORTS,
    )?;
    Ok(ports)
}

fn parse_port(spec: &PortSpec, field: &str) -> Result<Port, Invalid> {
    Ok(Port {
        number: parse_port_number(spec.port, format!("{field}.port"))?,
        protocol: spec.protocol,
    })
}

fn parse_port_number(number: i64, field: String) -> Result<NonZeroU16, Invalid> {
    let number = u16::try_from(number).ok().and_then(NonZeroU16::new);
    number.ok_or_else(|| broken(field, rules::PORT))
}

fn parse_acceleration(spec: &AccelerationSpec) -> Result<Acceleration, Invalid> {
    let field = "spec.acceleration.readmitAfter";
    let range = (Duration::from_millis(100), Duration::from_secs(60));
    Ok(Acceleration {
        xdp: spec.xdp,
        xdp_modes: parse_modes(&spec.xdp_modes)?,
        af_xdp: spec.af_xdp,
        zero_copy: spec.zero_copy,
        readmit_after: parse_duration(&spec.readmit_after, range, field, rules::READMIT_AFTER)?,
    })
}

fn parse_modes(modes: &[XdpMode]) -> Result<XdpModes, Invalid> {
    let field = "spec.acceleration.xdpModes";
    check_length(modes, 1, 2, field)?;
    refuse_if(
        modes.len() == 2 && modes[0] == modes[1],
        field,
        rules::UNIQUE_MODES,
    )?;
    Ok(XdpModes {
        native: modes.contains(&XdpMode::Native),
        generic: modes.contains(&XdpMode::Generic),
    })
}

fn parse_duration(
    text: &str,
    (least, most): (Duration, Duration),
    field: &str,
    rule: Rule,
) -> Result<Duration, Invalid> {
    duration::parse(text)
        .filter(|d| (least..=most).contains(d))
        .ok_or_else(|| broken(field, rule))
}

/// Parses each item of a list with the path of that item.
fn try_each<T, U>(
    items: &[T],
    field: &str,
    parse: impl Fn(&T, &str) -> Result<U, Invalid>,
) -> Result<Vec<U>, Invalid> {
    let each = |(i, item)| parse(item, &format!("{field}[{i}]"));
    items.iter().enumerate().map(each).collect()
}

pub(crate) fn check_length<T>(
    items: &[T],
    min: usize,
    max: usize,
    field: &str,
) -> Result<(), Invalid> {
    let found = items.len();
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(Invalid::new(field, Violation::Length { min, max, found }))
}

fn refuse_if(is_broken: bool, field: &str, rule: Rule) -> Result<(), Invalid> {
    if is_broken {
        return Err(broken(field, rule));
    }
    Ok(())
}

pub(crate) fn broken(field: impl Into<String>, rule: Rule) -> Invalid {
    Invalid::new(field, Violation::Rule(rule.message))
}
