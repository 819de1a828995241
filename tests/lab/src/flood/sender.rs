//! The thread that sends.

use std::fs::File;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_setaffinity};

use super::control::Control;
use super::kernel::Kernel;
use super::options::Options;
use super::pace::Pace;
use super::report::Report;
use super::templates::Templates;

const TICK: Duration = Duration::from_millis(1);

/// A flood ready to start.
#[derive(Debug)]
pub struct Flood {
    kernel: Kernel,
    options: Options,
}

impl Flood {
    /// Makes the packets and loads them into the kernel: the slow part, some 100 ms.
    pub fn prepare(options: Options) -> Result<Self> {
        let templates = Templates::new(&options)?;
        let kernel = Kernel::load(&templates, &options.mix)?;
        Ok(Self { kernel, options })
    }

    /// Sends until the duration is over or `control` stops it. The caller waits meanwhile; a
    /// thread of its own enters the namespace. Each run counts from 0.
    pub fn run(&mut self, control: &Control) -> Result<Report> {
        let sender = || -> Result<Report> {
            enter(&self.options)?;
            let interface = index(&self.options.interface)?;
            self.kernel.reset(interface, self.options.seed)?;
            let _hold = self.kernel.hold()?;
            send(&mut self.kernel, pace(&self.options), control)
        };
        thread::scope(|scope| scope.spawn(sender).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Moves this thread to the sender's namespace and CPU.
fn enter(options: &Options) -> Result<()> {
    let path = &options.netns;
    let file = File::open(path).with_context(|| path.display().to_string())?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    if let Some(cpu) = options.cpu {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("cpu {cpu}"))?;
    }
    Ok(())
}

fn index(interface: &str) -> Result<u32> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    name_to_index(&socket, interface).with_context(|| format!("interface {interface}"))
}

fn pace(options: &Options) -> Pace {
    Pace {
        rate: options.rate,
        duration: options.duration,
    }
}

fn send(kernel: &mut Kernel, pace: Pace, control: &Control) -> Result<Report> {
    let start = Instant::now();
    let (mut first, mut sent) = (None, 0);
    while let Some(due) = pace.due(start.elapsed(), sent)
        && !control.stopped()
    {
        if due == 0 {
            thread::sleep(TICK);
            continue;
        }
        first.get_or_insert(start.elapsed());
        kernel.burst(due)?;
        let offered = kernel.offered()?;
        control.publish(&offered);
        let before = std::mem::replace(&mut sent, offered.iter().sum());
        ensure!(sent > before, "lab_flood sent none of {due} frames");
    }
    let lasted = start.elapsed() - first.unwrap_or_default();
    Ok(Report::new(lasted, control.offered()))
}
