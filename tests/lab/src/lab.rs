//! A client, a node and its pods in network namespaces, up until dropped.

use std::path::Path;

use anyhow::Result;

use crate::bpffs::Bpffs;
use crate::directory::Directory;
use crate::netns::Netns;
use crate::pod::Pod;
use crate::quic::tls::Identity;
use crate::run_name::RunName;
use crate::sweep;
use crate::topology::{self, ETH, UPLINK, WIRE_ENDS};
use crate::wire::{Impairment, Wire};

/// How a lab differs from the plain one.
#[derive(Debug, Clone, Copy)]
pub struct LabOptions {
    /// MTU of the wire and of the pods.
    pub mtu: u32,
    /// The client sends what a wire would carry: one packet per frame, checksums complete.
    pub wire_like: bool,
    /// Puts a forwarder with delay and loss between client and node (implies `wire_like`, both ways).
    pub impairment: Option<Impairment>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            mtu: 1500,
            wire_like: false,
            impairment: None,
        }
    }
}

/// Namespaces, a wire, a bpffs and TLS files of one test; everything goes when it is dropped.
// Fields are dropped in this order: the wire's thread and the mount before what they stand on.
#[derive(Debug)]
pub struct Lab {
    wire: Option<Wire>,
    wire_netns: Option<Netns>,
    /// The outside: eth0 on the wire.
    pub client: Netns,
    /// The node: uplink0 on the wire, cali0 to the routed pod, cni0 with vethb0 to the bridged one.
    pub node: Netns,
    /// The routed pod.
    pub pod: Netns,
    /// The pod behind the bridge.
    pub bridged: Netns,
    bpffs: Bpffs,
    identity: Identity,
    directory: Directory,
    name: RunName,
}

impl Lab {
    /// Builds the lab; what dead runs left behind is removed first.
    pub fn up(options: LabOptions) -> Result<Self> {
        sweep::sweep();
        let name = RunName::next();
        let directory = Directory::create(name)?;
        let netns = |role| namespace(name, role);
        let wire_netns = options.impairment.map(|_| netns("wire")).transpose()?;
        let mut lab = Self {
            wire: None,
            wire_netns,
            client: netns("client")?,
            node: netns("node")?,
            pod: netns("pod")?,
            bridged: netns("bridged")?,
            bpffs: Bpffs::mount(directory.path().join("bpf"))?,
            identity: Identity::generate(directory.path())?,
            directory,
            name,
        };
        lab.connect(options)?;
        Ok(lab)
    }

    /// The name all parts of this lab begin with.
    pub fn name(&self) -> RunName {
        self.name
    }

    /// The namespace a pod's processes run in.
    pub fn netns(&self, pod: Pod) -> &Netns {
        match pod {
            Pod::Routed => &self.pod,
            Pod::Bridged => &self.bridged,
            Pod::HostNetwork => &self.node,
        }
    }

    /// A directory for the files of this lab.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where this lab's own bpffs is mounted.
    pub fn bpffs(&self) -> &Path {
        self.bpffs.path()
    }

    /// The TLS files of its QUIC peers.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The impairment wire, if there is one.
    pub fn wire(&self) -> Option<&Wire> {
        self.wire.as_ref()
    }

    fn connect(&mut self, options: LabOptions) -> Result<()> {
        self.connect_wire(options)?;
        let (pod, bridged) = (self.pod.name(), self.bridged.name());
        self.node.ip_batch(&topology::node_uplink())?;
        self.node
            .ip_batch(&topology::node_pods(pod, bridged, options.mtu))?;
        for (key, value) in topology::FORWARDING {
            self.node.sysctl(key, value)?;
        }
        self.client.ip_batch(&topology::client())?;
        self.pod.ip_batch(&topology::routed_pod())?;
        self.bridged.ip_batch(&topology::bridged_pod())
    }

    fn connect_wire(&mut self, options: LabOptions) -> Result<()> {
        let mtu = options.mtu;
        let (Some(wire), Some(impairment)) = (&self.wire_netns, options.impairment) else {
            self.node
                .ip_batch(&[topology::veth(UPLINK, ETH, self.client.name(), mtu)])?;
            return if options.wire_like {
                like_a_wire(&self.client, ETH)
            } else {
                Ok(())
            };
        };
        let [to_client, to_node] = WIRE_ENDS;
        self.client
            .ip_batch(&[topology::veth(ETH, to_client, wire.name(), mtu)])?;
        self.node
            .ip_batch(&[topology::veth(UPLINK, to_node, wire.name(), mtu)])?;
        like_a_wire(&self.client, ETH)?;
        like_a_wire(&self.node, UPLINK)?;
        wire.ip_batch(&topology::wire())?;
        self.wire = Some(Wire::start(wire, WIRE_ENDS, impairment)?);
        Ok(())
    }
}

fn namespace(name: RunName, role: &str) -> Result<Netns> {
    let netns = Netns::create(name.of(role))?;
    for (key, value) in topology::EVERYWHERE {
        netns.sysctl(key, value)?;
    }
    Ok(netns)
}

fn like_a_wire(netns: &Netns, interface: &str) -> Result<()> {
    netns.offload(interface, "tx off tso off gso off gro off")
}
