//! Starts and ends a person's cluster.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use stoq_lab::wait_for;

use super::Shape;
use super::session::{self, Session};
use crate::{images, kube_binary, sweep};

const DOWN: Duration = Duration::from_secs(60);

/// Starts a keeper and waits until its cluster is there.
pub(super) fn up(shape: Shape) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "needs root: sudo env \"PATH=$PATH\" make cluster"
    );
    ensure!(
        kube_binary::path().exists(),
        "no Kubernetes yet: scripts/kube.sh builds it"
    );
    ensure!(
        session::keeper().is_none(),
        "a cluster is up already: make cluster-down ends it"
    );
    let begun = Instant::now();
    fs::create_dir_all(session::directory())?;
    let _ = fs::remove_file(session::file("session.json"));
    let mut keeper = start_keeper(shape)?;
    fs::write(session::file("pid"), keeper.id().to_string())?;
    let session = told(&mut keeper)?;
    session.write()?;
    print!("{}", next_steps(&session, begun.elapsed()));
    Ok(())
}

/// Ends the keeper, and with it the cluster.
pub(super) fn down() -> Result<()> {
    if let Some(pid) = session::keeper() {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        kill_process(pid.context("pid")?, Signal::TERM)?;
        wait_for("end of the cluster", DOWN, || {
            session::keeper().is_none().then_some(())
        })?;
    }
    sweep::sweep();
    match fs::remove_dir_all(session::directory()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// In a process group of its own: Ctrl-C on this terminal is not for it.
fn start_keeper(shape: Shape) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("keep").args(shape.arguments());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
        .stderr(File::create(session::file("log"))?)
        .process_group(0);
    Ok(command.spawn()?)
}

fn told(keeper: &mut Child) -> Result<Session> {
    let mut line = String::new();
    let out = keeper.stdout.take().context("standard output")?;
    BufReader::new(out).read_line(&mut line)?;
    if line.is_empty() {
        bail!("{}", fs::read_to_string(session::file("log"))?.trim());
    }
    Ok(serde_json::from_str(&line)?)
}

fn next_steps(session: &Session, took: Duration) -> String {
    let bin = kube_binary::path().with_file_name("");
    let mut lines = vec![
        format!(
            "A Kubernetes 1.34 is up, after {:.1} s. To talk to it:",
            took.as_secs_f64()
        ),
        format!(
            "  export KUBECONFIG={} PATH=$PATH:{}",
            session.kubeconfig.display(),
            bin.display()
        ),
        "  kubectl get nodes,pods --all-namespaces".into(),
        "  kubectl apply -f crds/stoqtransports.yaml".into(),
    ];
    if let Some(node) = session.nodes.keys().next() {
        let us = env::current_exe().unwrap_or_default();
        let us = us.display();
        lines.push(format!(
            "  kubectl run hello --image={} -- sleep 1000",
            images::BOX
        ));
        lines.push(format!(
            "  {us} exec {node} -- ip addr      # or exec client"
        ));
        lines.push(format!(
            "  {us} load image.tar              # see {us} image --help"
        ));
    }
    lines.push("make cluster-down ends it.\n".into());
    lines.join("\n")
}
