//! `lab_flood` in the kernel: its maps and its test runs.

use std::io::ErrorKind;

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, MapData};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, Pod};

use super::kind::{Kind, Mix};
use super::schedule::schedule;
use super::templates::Templates;
use crate::lab_programs;
use crate::layout::*;

const _: () = assert!(Kind::ALL.len() <= KINDS);

/// Frames between two flushes: the far end's ring takes 256 and is emptied after each.
const BATCH: u32 = 64;

#[derive(Debug)]
pub(super) struct Kernel {
    ebpf: Ebpf,
}

impl Kernel {
    /// Loads the program with its packets.
    pub(super) fn load(templates: &Templates, mix: &Mix) -> Result<Self> {
        let mut ebpf = lab_programs::load()?;
        lab_programs::xdp(&mut ebpf, "lab_flood")?.load()?;
        write_templates(array(&mut ebpf, "FLOOD_TEMPLATES")?, &templates.frames)?;
        write_rules(array(&mut ebpf, "FLOOD_RULES")?, templates)?;
        write_schedule(array(&mut ebpf, "FLOOD_SCHEDULE")?, mix)?;
        Ok(Self { ebpf })
    }

    /// Begins anew, out of the interface with this index in the sender's namespace.
    pub(super) fn reset(&mut self, interface: u32, seed: u64) -> Result<()> {
        let mut state = [0; STATE_WORDS];
        state[STATE_RANDOM] = seed.max(1);
        state[STATE_IFINDEX] = interface.into();
        Ok(self.state()?.set(0, state, 0)?)
    }

    /// Keeps the program in the kernel's XDP dispatcher for as long as the link lives. Otherwise
    /// each burst would enter and leave it, and wait 25 ms for RCU. The program sits on the
    /// loopback of the calling thread's namespace and passes all that comes there.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/bpf/test_run.c#L1301-L1311>
    pub(super) fn hold(&mut self) -> Result<XdpLink> {
        let program = lab_programs::xdp(&mut self.ebpf, "lab_flood")?;
        let id = program.attach("lo", XdpMode::Skb).context("XDP on lo")?;
        Ok(program.take_link(id)?)
    }

    /// Sends `frames` packets, or fewer when a signal comes.
    pub(super) fn burst(&mut self, frames: u32) -> Result<()> {
        let options = TestRunOptions {
            data_in: Some(&[0; LIVE_FRAME]),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        let program: &Xdp = lab_programs::xdp(&mut self.ebpf, "lab_flood")?;
        match program.test_run(options) {
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == ErrorKind::Interrupted =>
            {
                Ok(())
            }
            result => result.map(drop).context("sending live frames"),
        }
    }

    /// Packets sent since the reset, by kind.
    pub(super) fn offered(&mut self) -> Result<[u64; Kind::ALL.len()]> {
        let state = self.state()?.get(&0, 0)?;
        Ok(std::array::from_fn(|kind| state[STATE_SENT + kind]))
    }

    fn state(&mut self) -> Result<Array<&mut MapData, [u64; STATE_WORDS]>> {
        array(&mut self.ebpf, "FLOOD_STATE")
    }
}

fn array<'a, T: Pod>(ebpf: &'a mut Ebpf, name: &str) -> Result<Array<&'a mut MapData, T>> {
    let map = ebpf
        .map_mut(name)
        .with_context(|| format!("no map {name}"))?;
    Ok(Array::try_from(map)?)
}

fn write_templates(
    mut slots: Array<&mut MapData, [u8; SLOT_BYTES]>,
    frames: &[Vec<u8>],
) -> Result<()> {
    ensure!(
        frames.len() <= SLOTS as usize,
        "{} templates, {SLOTS} slots",
        frames.len()
    );
    for (index, frame) in (0..).zip(frames) {
        ensure!(frame.len() <= FRAME_MAX, "a frame of {} bytes", frame.len());
        let mut slot = [0; SLOT_BYTES];
        slot[..SLOT_FRAME].copy_from_slice(&(frame.len() as u32).to_ne_bytes());
        slot[SLOT_FRAME..][..frame.len()].copy_from_slice(frame);
        slots.set(index, slot, 0)?;
    }
    Ok(())
}

fn write_rules(
    mut rules: Array<&mut MapData, [u32; RULE_WORDS]>,
    templates: &Templates,
) -> Result<()> {
    for (index, kind) in (0..).zip(Kind::ALL) {
        let (network, random, port) = kind.source();
        let (first, count) = templates.of(kind);
        let mut rule = [0; RULE_WORDS];
        rule[RULE_FIRST] = first;
        rule[RULE_COUNT] = count;
        rule[RULE_NETWORK] = network;
        rule[RULE_RANDOM] = random;
        rule[RULE_PORT] = port.into();
        rules.set(index, rule, 0)?;
    }
    Ok(())
}

fn write_schedule(mut steps: Array<&mut MapData, u32>, mix: &Mix) -> Result<()> {
    let kinds = schedule(&mix.shares(), SCHEDULE_STEPS as usize).context("a mix of nothing")?;
    for (step, kind) in (0..).zip(kinds) {
        steps.set(step, kind as u32, 0)?;
    }
    Ok(())
}
