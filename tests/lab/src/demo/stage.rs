//! The lab with its service, and how one run is performed in it.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::agent::Agent;
use super::cpus::Cpus;
use super::interrupt::Interrupt;
use super::offer::Offer;
use super::options::Options;
use super::outcome::Outcome;
use super::policy::PORT;
use super::scene::{Scene, Stoq};
use super::snapshot::{self, Snapshot};
use crate::flood::{self, Control, Flood, Mix, Report, Target};
use crate::quic::LoadReport;
use crate::quic::tls::SERVER_NAME;
use crate::topology::{ETH, UPLINK};
use crate::{Lab, LabOptions, Pod, Process};

/// Clients have this long to connect and settle before they are measured, in seconds.
const LEAD: u64 = 2;
/// The load gives up requests after 1 s, and says farewell for 1 s.
pub(super) const LOAD_ENDS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);
/// Requests per second: 128 Mbit/s of requests and 80 Mbit/s of answers, a fraction of what one core
/// serves, so that quiet clients are not held up by a core.
pub(super) const REQUESTS: u64 = 1000;
const LOAD: &str = "--clients 10 --request 16000 --response 10000 --timeout 1";

/// Everything the runs share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) lab: Lab,
    pub(super) cpus: Cpus,
    pub(super) interrupt: Interrupt,
    options: Options,
}

impl Stage {
    /// Builds the lab. The client sends what a wire would carry, and the uplink takes frames one
    /// by one with or without an XDP program.
    pub(super) fn set(options: &Options) -> Result<Self> {
        let interrupt = Interrupt::watch()?;
        let cpus = Cpus::split()?;
        let lab = Lab::up(LabOptions {
            wire_like: true,
            ..LabOptions::default()
        })?;
        lab.node.offload(UPLINK, "gro on")?;
        Ok(Self {
            lab,
            cpus,
            interrupt,
            options: options.clone(),
        })
    }

    /// Packets per second that the flood shall offer.
    pub(super) fn rate(&self) -> u64 {
        self.options.rate
    }

    /// How long each flood lasts.
    pub(super) fn seconds(&self) -> u64 {
        self.options.seconds
    }

    /// Performs one run, with a server and clients of its own.
    pub(super) fn perform(&self, scene: Scene, offer: &Offer) -> Result<Outcome> {
        let seconds = offer.lasts();
        let server = self.serve()?;
        let agent = self.stoq(scene.stoq)?;
        let floods = if scene.flooded {
            self.floods(offer)?
        } else {
            Vec::new()
        };
        let load = self.load(offer.requests, LEAD + seconds, LEAD)?;
        let look = || Snapshot::take(&self.lab, &server, agent.as_ref());
        let (reports, snapshots) = self.measure(floods, seconds, look)?;
        let load: LoadReport = load.report(LOAD_ENDS)?;
        agent.map_or(Ok(()), Agent::remove)?;
        Ok(Outcome::new(scene, seconds, snapshots, reports, &load))
    }

    /// Runs the floods one after another once the clients have settled, and looks before, after so
    /// many seconds, and when all has come through.
    fn measure(
        &self,
        mut floods: Vec<Flood>,
        seconds: u64,
        look: impl Fn() -> Result<Snapshot>,
    ) -> Result<(Vec<Report>, [Snapshot; 3])> {
        let begin = Instant::now() + Duration::from_secs(LEAD);
        self.interrupt.wait_until(begin)?;
        let before = look()?;
        let reports: Result<_> = floods.iter_mut().map(|flood| self.run(flood)).collect();
        let reports = reports?;
        self.interrupt
            .wait_until(begin + Duration::from_secs(seconds))?;
        let after = look()?;
        Ok((reports, [before, after, snapshot::settled(look)?]))
    }

    /// The pod's server.
    pub(super) fn serve(&self) -> Result<Process> {
        self.lab.serve(Pod::Routed, PORT, &[])
    }

    /// Clients for so many seconds, measured after the first few.
    pub(super) fn load(&self, requests: u64, seconds: u64, skip: u64) -> Result<Process> {
        let [requests, seconds, skip] = [requests, seconds, skip].map(|n| n.to_string());
        let mut options: Vec<&str> = LOAD.split_whitespace().collect();
        options.extend(["--rate", &requests, "--seconds", &seconds, "--skip", &skip]);
        let target = SocketAddr::new(IpAddr::V4(Pod::Routed.v4()), PORT);
        self.lab.load(target, &options)
    }

    fn floods(&self, offer: &Offer) -> Result<Vec<Flood>> {
        let parts = offer.parts.iter();
        parts
            .map(|mix| self.flood(*mix, offer.rate, Some(offer.seconds)))
            .collect()
    }

    /// A flood ready to start; without `seconds` until it is stopped.
    pub(super) fn flood(&self, mix: Mix, rate: u64, seconds: Option<u64>) -> Result<Flood> {
        Flood::prepare(flood::Options {
            netns: self.lab.client.path(),
            interface: ETH.to_owned(),
            target: Target {
                mac: uplink_mac(&self.lab)?.parse()?,
                address: SocketAddrV4::new(Pod::Routed.v4(), PORT),
            },
            mix,
            rate: Some(rate),
            duration: seconds.map(Duration::from_secs),
            cpu: Some(self.cpus.flood),
            initials: 3900,
            loud: flood::LOUD_SIZE,
            seed: 1,
            server_name: SERVER_NAME.to_owned(),
            alpn: b"stoq-lab".to_vec(),
        })
    }

    fn stoq(&self, stoq: Stoq) -> Result<Option<Agent<'_>>> {
        let present = stoq != Stoq::Absent;
        let start = || Agent::start(&self.lab, stoq);
        present.then(start).transpose()
    }

    /// Runs a flood to its end, or until a signal comes.
    fn run(&self, flood: &mut Flood) -> Result<Report> {
        let control = Control::default();
        thread::scope(|scope| {
            let running = scope.spawn(|| flood.run(&control));
            while !running.is_finished() && self.interrupt.check().is_ok() {
                thread::sleep(LOOK);
            }
            control.stop();
            let report = running.join().unwrap_or_else(|panic| resume_unwind(panic));
            self.interrupt.check().and(report)
        })
    }
}

fn uplink_mac(lab: &Lab) -> Result<String> {
    let links: Value = serde_json::from_str(&lab.node.ip(&format!("-j link show {UPLINK}"))?)?;
    let mac = links[0]["address"].as_str();
    mac.map(str::to_owned).context("uplink without an address")
}
