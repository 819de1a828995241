//! What the node and the agent are.

use std::collections::BTreeMap;
use std::time::Duration;

use stoq_daemon::Process;

use super::families::{Families, Labels};
use super::histogram;
use super::registry::{
    ATTACHED, BUILD, CAPABILITY, Family, MEMORY, MODE, PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS,
    PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS, PROCESS_VIRTUAL, RECONCILE, RECONCILE_ERRORS,
    RUN_SECONDS, RUNS,
};
use super::snapshot::{ProgramRuns, Reconciles, Snapshot};
use crate::status::Status;

pub(super) fn add(families: &mut Families, snapshot: &Snapshot) {
    status(families, &snapshot.status);
    attached(families, &snapshot.status);
    programs(families, &snapshot.programs);
    if let Some(bytes) = snapshot.bpf_memory {
        number(families, &MEMORY, &[], bytes as f64);
    }
    reconciles(families, &snapshot.reconciles);
    if let Some(process) = &snapshot.process {
        self::process(families, process);
    }
}

fn status(families: &mut Families, status: &Status) {
    for gate in &status.gates {
        let open = gate.state == "Available";
        let values = [gate.name.as_str(), &gate.interface];
        number(families, &CAPABILITY, &values, f64::from(u8::from(open)));
    }
    for one in &status.transports {
        let values = [one.namespace.as_str(), &one.name, &one.mode, &one.reason];
        number(families, &MODE, &values, 1.0);
    }
    number(families, &BUILD, &[&status.agent_version], 1.0);
}

fn attached(families: &mut Families, status: &Status) {
    let mut counts = BTreeMap::<[&str; 3], u32>::new();
    for interface in &status.interfaces {
        for program in &interface.attached {
            let at = [interface.name.as_str(), &program.hook, &program.mode];
            *counts.entry(at).or_default() += 1;
        }
    }
    for (at, count) in counts {
        number(families, &ATTACHED, &at, count.into());
    }
}

fn programs(families: &mut Families, programs: &[ProgramRuns]) {
    let mut sums = BTreeMap::<&str, (Duration, u64)>::new();
    for program in programs {
        let (time, runs) = sums.entry(&program.program).or_default();
        *time += program.time;
        *runs += program.runs;
    }
    for (program, (time, runs)) in sums {
        number(families, &RUN_SECONDS, &[program], time.as_secs_f64());
        number(families, &RUNS, &[program], runs as f64);
    }
}

fn reconciles(families: &mut Families, from: &Reconciles) {
    let histogram = histogram::coarse_times(&from.buckets, from.sum.as_secs_f64());
    families.histogram(&RECONCILE, &Labels::new(), histogram);
    for (step, count) in &from.errors {
        number(families, &RECONCILE_ERRORS, &[step], *count as f64);
    }
}

fn process(families: &mut Families, from: &Process) {
    for (family, value) in [
        (&PROCESS_CPU, from.cpu.as_secs_f64()),
        (&PROCESS_RESIDENT, from.resident as f64),
        (&PROCESS_VIRTUAL, from.virtual_memory as f64),
        (&PROCESS_THREADS, from.threads as f64),
        (&PROCESS_FDS, from.open_fds as f64),
        (&PROCESS_START, from.started.as_secs_f64()),
    ] {
        number(families, family, &[], value);
    }
    if let Some(most) = from.max_fds {
        number(families, &PROCESS_MAX_FDS, &[], most as f64);
    }
}

fn number(families: &mut Families, family: &Family, values: &[&str], value: f64) {
    families.number(family, &Labels::new(), values, value);
}
