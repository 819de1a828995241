//! A control plane and nodes on one wire, and a client outside.

use std::panic::resume_unwind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use stoq_lab::Netns;
use stoq_lab::run_name::RunName;

use crate::control_plane::{ControlPlane, Controllers};
use crate::node::{Cni, Config, Node, NodeOptions, ProxyMode};
use crate::{images, sweep, topology};

const READY: Duration = Duration::from_secs(90);

/// How a cluster differs from the plain one.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// One node each: node-a, node-b...
    pub nodes: Vec<NodeOptions>,
    /// How pods are connected.
    pub cni: Cni,
    /// How Services are translated.
    pub proxy: ProxyMode,
    /// Whether what STOQ's service accounts do is kept for [`ControlPlane::uses`].
    pub audit: bool,
}

/// A running cluster; everything of it goes when it is dropped.
// Dropped in this order: nodes while there is an API server would only complain to it.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    /// What serves the API.
    pub control_plane: ControlPlane,
    /// The outside: eth0 on the wire, and every address of 198.18.0.0/15.
    pub client: Netns,
    _wire: Netns,
}

impl Cluster {
    /// Starts one with this many plain nodes, and waits until they are Ready.
    pub fn start(nodes: usize) -> Result<Self> {
        let nodes = vec![NodeOptions::default(); nodes];
        Self::start_with(ClusterOptions {
            nodes,
            ..ClusterOptions::default()
        })
    }

    /// Starts one, and waits until its nodes are Ready. What dead runs left behind is removed first.
    pub fn start_with(options: ClusterOptions) -> Result<Self> {
        sweep::sweep();
        let mut cluster = Self::prepare(&options)?;
        cluster.up()?;
        cluster.wait_ready()?;
        cluster.control_plane.wait_usable()?;
        Ok(cluster)
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.with_context(|| format!("no node {name}"))
    }

    /// As [`ControlPlane::kubectl`].
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.control_plane.kubectl(arguments)
    }

    /// As [`ControlPlane::apply`].
    pub fn apply(&self, objects: &str) -> Result<String> {
        self.control_plane.apply(objects)
    }

    /// Gives every node the images of an archive, as [`crate::image::Image::write`] makes them.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        at_once(&self.nodes, |node| node.load_image(archive))
    }

    /// Waits until every node is Ready, as after [`Node::start`].
    pub fn wait_ready(&self) -> Result<()> {
        let timeout = format!("--timeout={}s", READY.as_secs());
        let ready = "--for=condition=Ready";
        self.kubectl(&["wait", "node", "--all", ready, &timeout])?;
        Ok(())
    }

    /// Namespaces, wire and credentials; nothing runs yet.
    fn prepare(options: &ClusterOptions) -> Result<Self> {
        let name = RunName::next();
        let namespace = |role: &str| topology::namespace(name.of(role));
        let plan = topology::plan(&options.nodes);
        let wire = namespace("wire")?;
        let client = namespace("client")?;
        let netns = namespace("control-plane")?;
        let names: Vec<String> = plan.iter().map(|member| member.name.clone()).collect();
        wire.ip_batch(&topology::bridge())?;
        wire.ip_batch(&topology::cable("cp", topology::CP, netns.name(), 1500))?;
        wire.ip_batch(&topology::cable(
            "client",
            topology::CLIENT_DEVICE,
            client.name(),
            1500,
        ))?;
        // Without it the wire takes no frame that a flood redirects (see `stoq_lab::flood`).
        wire.offload("client", "gro on")?;
        netns.ip_batch(&topology::control_plane(&plan))?;
        client.ip_batch(&topology::client(&plan))?;
        let control_plane = ControlPlane::prepare(name, netns, &names, options.audit)?;
        let nodes = plan.iter().zip(&options.nodes).map(|(member, &node)| {
            let netns = namespace(&member.name)?;
            wire.ip_batch(&topology::cable(
                &member.name,
                topology::UPLINK,
                netns.name(),
                node.mtu,
            ))?;
            netns.ip_batch(&topology::node(member, &plan))?;
            netns.sysctl("net/ipv4/ip_forward", "1")?;
            let config = config(options, member, &control_plane)?;
            let state = control_plane.directory().join(&member.name);
            Node::new(netns, config, node, state)
        });
        Ok(Self {
            nodes: nodes.collect::<Result<_>>()?,
            control_plane,
            client,
            _wire: wire,
        })
    }

    /// Control plane and containerds at once; kubelets when they have something to talk to.
    fn up(&mut self) -> Result<()> {
        let images = images::write(self.control_plane.directory())?;
        let boot = |node: &Node| {
            node.boot()?;
            images.iter().try_for_each(|image| node.load_image(image))
        };
        let (nodes, control_plane) = (&self.nodes, &mut self.control_plane);
        std::thread::scope(|scope| {
            let booted = scope.spawn(|| at_once(nodes, boot));
            let started = control_plane.up(Controllers::All);
            let booted = booted.join().unwrap_or_else(|panic| resume_unwind(panic));
            started.and(booted)
        })?;
        at_once(&self.nodes, |node| self.join(node))
    }

    fn join(&self, node: &Node) -> Result<()> {
        node.join()?;
        let (name, pods) = (node.name(), node.pods());
        let timeout = format!("--timeout={}s", READY.as_secs());
        let object = format!("node/{name}");
        self.kubectl(&["wait", "--for=create", &object, &timeout])?;
        let patch = format!(r#"{{"spec": {{"podCIDR": "{pods}", "podCIDRs": ["{pods}"]}}}}"#);
        self.kubectl(&["patch", "node", name, "--patch", &patch])?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = at_once(&self.nodes, |node| {
            node.kill();
            Ok(())
        });
    }
}

fn config(
    options: &ClusterOptions,
    member: &topology::Member,
    control_plane: &ControlPlane,
) -> Result<Config> {
    let credentials = control_plane.credentials();
    let name = member.name.clone();
    Ok(Config {
        address: member.address,
        pods: member.pods.clone(),
        cgroup: control_plane.name().of(&name),
        cni: options.cni,
        proxy: options.proxy,
        authority: credentials.text("ca.crt")?,
        kubelet_token: credentials
            .token(&format!("system:node:{name}"))?
            .to_owned(),
        proxy_token: credentials.token("system:kube-proxy")?.to_owned(),
        name,
    })
}

/// Does the same on every node, each on a thread of its own.
fn at_once(nodes: &[Node], work: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| work(node)))
            .collect();
        let mut results = threads.into_iter().map(|thread| thread.join());
        results.try_for_each(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
