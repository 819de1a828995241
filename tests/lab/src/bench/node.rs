//! A node with STOQ's maps and programs, but no agent.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::Xdp;
use stoq_ebpf::attach::{Hook, HookKind, attach, detach};
use stoq_ebpf::kernel::interface;
use stoq_ebpf::loader::{Loaded, Options, Pins, load};
use stoq_ebpf::tables::{
    AppliedEndpoint, Desired, DesiredEndpoint, DesiredTransport, PolicySpec, Tables, addr,
};
use stoq_ebpf_abi::flow::{Flow, flag, state};
use stoq_ebpf_abi::hint::{self, HintLine};
use stoq_ebpf_abi::maps::{Counters, FlowKey};

use super::frame::SOURCE_PORT;
use crate::flood::LOUD;
use crate::{Lab, LabOptions, Pod};

/// The guarded port.
pub(super) const PORT: u16 = 4433;
/// STOQ's hooks at the host side of a pod.
pub(super) const POD_HOOKS: [(HookKind, &str); 2] = [
    (HookKind::TcxEgress, "stoq_pod_in"),
    (HookKind::TcxIngress, "stoq_pod_out"),
];

/// The lab, and the programs on maps pinned there.
pub(super) struct Node {
    pub(super) lab: Lab,
    pins: Pins,
    loaded: Loaded,
    tables: Tables,
}

impl Node {
    /// Builds the lab and loads the programs.
    pub(super) fn up() -> Result<Self> {
        let lab = Lab::up(LabOptions::default())?;
        let pins = Pins::new(lab.bpffs());
        let loaded = load(&pins, &Options::default())?;
        let tables = Tables::open(&pins.maps())?;
        Ok(Self {
            lab,
            pins,
            loaded,
            tables,
        })
    }

    /// Puts both pods' port under this policy; the routed pod's endpoint.
    pub(super) fn guard(&mut self, policy: PolicySpec) -> Result<AppliedEndpoint> {
        self.apply(policy, false)
    }

    /// The same, and what its flows are admitted for goes to its socket.
    pub(super) fn steer(&mut self, policy: PolicySpec) -> Result<AppliedEndpoint> {
        self.apply(policy, true)
    }

    fn apply(&mut self, policy: PolicySpec, steered: bool) -> Result<AppliedEndpoint> {
        let endpoint = |pod| DesiredEndpoint {
            steered,
            ..endpoint(pod)
        };
        let transport = DesiredTransport {
            name: "lab/bench".to_owned(),
            policy,
            per_pod_counters: false,
            endpoints: vec![endpoint(Pod::Routed), endpoint(Pod::Bridged)],
            front_ends: vec![],
        };
        let applied = self.tables.apply(&Desired {
            transports: vec![transport],
            nodes: vec![],
        })?;
        let transport = applied.transports.first().context("no transport")?;
        ensure!(transport.refusals.is_empty(), "{:?}", transport.refusals);
        let routed = IpAddr::from(Pod::Routed.v4());
        let mut endpoints = transport.endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint.addr == routed);
        found.copied().context("no endpoint")
    }

    /// Enters established flows of the endpoint, one a source.
    pub(super) fn establish(
        &self,
        endpoint: &AppliedEndpoint,
        sources: impl Iterator<Item = Ipv4Addr>,
    ) -> Result<()> {
        let mut flows: HashMap<_, FlowKey, Flow> = HashMap::try_from(self.map("STOQ_FLOWS")?)?;
        let mut hints: Array<_, HintLine> = Array::try_from(self.map("STOQ_HINTS")?)?;
        for source in sources {
            let key = FlowKey {
                // The only transport.
                transport: endpoint.slot,
                peer: addr::to_wire(source.into()),
                ports: u32::from(SOURCE_PORT) << 16 | u32::from(PORT),
            };
            flows.insert(key, established(endpoint.id), 0)?;
            let place = hint::place(&key);
            let mut line = hints.get(&place.line, 0)?;
            line.heard[place.at] = u32::MAX;
            hints.set(place.line, line, 0)?;
        }
        Ok(())
    }

    /// The flood's loud source is admitted past the kernel for good.
    pub(super) fn admit_loud(&self, endpoint: u32) -> Result<()> {
        let mut flows: HashMap<_, FlowKey, Flow> = HashMap::try_from(self.map("STOQ_FLOWS")?)?;
        let key = FlowKey {
            transport: 0,
            peer: addr::to_wire(LOUD.0.into()),
            ports: u32::from(LOUD.1) << 16 | u32::from(PORT),
        };
        let flow = Flow {
            admitted_until: u64::MAX,
            ..established(endpoint)
        };
        Ok(flows.insert(key, flow, 0)?)
    }

    /// Directory of the pinned maps.
    pub(super) fn maps(&self) -> PathBuf {
        self.pins.maps()
    }

    /// Index of an interface of the node.
    pub(super) fn index(&self, interface: &str) -> Result<u32> {
        Ok(self.lab.node.run(|| interface::by_name(interface))??.index)
    }

    /// Packets the guard has dropped so far.
    pub(super) fn dropped(&self) -> Result<u64> {
        let counters: PerCpuArray<_, Counters> = PerCpuArray::try_from(self.map("STOQ_COUNTERS")?)?;
        let per_cpu = counters.get(&0, 0)?;
        let dropped = per_cpu.iter().flat_map(|counters| counters.dropped);
        Ok(dropped.flatten().sum())
    }

    /// The uplink's program.
    pub(super) fn uplink(&mut self) -> Result<&mut Xdp> {
        Ok(self.loaded.xdp("stoq_uplink")?)
    }

    /// Puts the uplink's program on an interface, in the driver.
    pub(super) fn attach_native(&mut self, interface: &str) -> Result<()> {
        self.attach_xdp(interface, "stoq_uplink")
    }

    /// Takes it off again.
    pub(super) fn detach_native(&self, interface: &str) -> Result<()> {
        self.detach_xdp(interface, "stoq_uplink")
    }

    /// Puts an XDP program on an interface, in the driver.
    pub(super) fn attach_xdp(&mut self, interface: &str, name: &'static str) -> Result<()> {
        let program = self.loaded.xdp(name)?.fd()?.try_clone()?;
        let hook = self.hook(interface, HookKind::XdpNative, name)?;
        self.attach(&hook, program.as_fd())
    }

    /// Takes it off again.
    pub(super) fn detach_xdp(&self, interface: &str, name: &str) -> Result<()> {
        self.detach(&self.hook(interface, HookKind::XdpNative, name)?)
    }

    /// Puts both programs at the host side of a pod.
    pub(super) fn attach_pod(&mut self, interface: &str) -> Result<()> {
        for (kind, name) in POD_HOOKS {
            let program = self.loaded.tc(name)?.fd()?.try_clone()?;
            self.attach(&self.hook(interface, kind, name)?, program.as_fd())?;
        }
        Ok(())
    }

    /// Takes both off again.
    pub(super) fn detach_pod(&self, interface: &str) -> Result<()> {
        let hooks = POD_HOOKS.iter();
        { hooks }.try_for_each(|(kind, name)| self.detach(&self.hook(interface, *kind, name)?))
    }

    fn hook(&self, interface: &str, kind: HookKind, program: &str) -> Result<Hook> {
        let found = self.lab.node.run(|| interface::by_name(interface))?;
        Ok(Hook {
            interface: interface.to_owned(),
            ifindex: found.with_context(|| interface.to_owned())?.index,
            kind,
            program: program.to_owned(),
        })
    }

    fn attach(&self, hook: &Hook, program: std::os::fd::BorrowedFd<'_>) -> Result<()> {
        let links = self.pins.links();
        self.lab.node.run(|| attach(hook, program, &links))??;
        Ok(())
    }

    fn detach(&self, hook: &Hook) -> Result<()> {
        let links = self.pins.links();
        Ok(self.lab.node.run(|| detach(hook, &links))??)
    }

    fn map(&self, name: &str) -> Result<Map> {
        let data = MapData::from_pin(self.pins.maps().join(name))?;
        Ok(Map::from_map_data(data)?)
    }
}

fn endpoint(pod: Pod) -> DesiredEndpoint {
    DesiredEndpoint {
        addr: pod.v4().into(),
        port: PORT,
        quic: true,
        uplink: false,
        pod_alone: false,
        steered: false,
        owner: 1,
    }
}

fn established(endpoint: u32) -> Flow {
    Flow {
        endpoint,
        state: state::ESTABLISHED,
        flags: flag::ANSWERED | flag::SHORT_IN | flag::SHORT_OUT,
        ..Flow::default()
    }
}
