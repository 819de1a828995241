//! When packets of the denied source stop, or begin, to come back from an echo.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use stoq_cluster::Cluster;

use super::scene::DENIED;

/// Between two questions to one echo.
const STEP: Duration = Duration::from_millis(5);
/// So long nothing, or everything, has come back: it will stay so.
const SURE: Duration = Duration::from_millis(250);
const DEADLINE: Duration = Duration::from_secs(60);

/// What the denied source gets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// From no echo.
    None,
    /// From each.
    All,
}

/// Does something, and asks all echoes from the denied source meanwhile and after. Returns how long
/// after its beginning the first question was sent from which on `wanted` held at every echo.
pub(crate) fn until(
    cluster: &Cluster,
    echoes: &[SocketAddr],
    wanted: Answers,
    act: impl FnOnce() + Send,
) -> Duration {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let ask = |echo| cluster.client.run(|| settled(echo, wanted, begun)).unwrap();
        let echoes = echoes.iter().copied();
        let asked: Vec<_> = echoes.map(|echo| scope.spawn(move || ask(echo))).collect();
        act();
        let took = asked.into_iter().map(|one| one.join().unwrap().unwrap());
        took.max().unwrap()
    })
}

/// One echo. Each question carries its number; what is not answered by the next ones' answers was
/// dropped.
fn settled(echo: SocketAddr, wanted: Answers, begun: Instant) -> Result<Duration> {
    let socket = UdpSocket::bind((DENIED, 0)).context("the denied source")?;
    socket.connect(echo)?;
    socket.set_nonblocking(true)?;
    let mut asked: Vec<(Instant, bool)> = Vec::new();
    loop {
        socket.send(&(asked.len() as u32).to_le_bytes())?;
        asked.push((Instant::now(), false));
        std::thread::sleep(STEP);
        let mut answer = [0; 4];
        while let Ok(4) = socket.recv(&mut answer) {
            let number = u32::from_le_bytes(answer) as usize;
            if let Some(question) = asked.get_mut(number) {
                question.1 = true;
            }
        }
        if let Some(since) = since(&asked, wanted == Answers::All) {
            return Ok(since.duration_since(begun));
        }
        ensure!(begun.elapsed() < DEADLINE, "{echo}: not {wanted:?}");
    }
}

/// Since when all questions fared alike, if that has been so for long enough. The newest have had no
/// time to be answered.
fn since(asked: &[(Instant, bool)], answered: bool) -> Option<Instant> {
    const UNDECIDED: usize = 10;
    let decided = &asked[..asked.len().saturating_sub(UNDECIDED)];
    let alike = decided.iter().rev().take_while(|one| one.1 == answered);
    let first = alike.last()?.0;
    (decided.last()?.0.duration_since(first) >= SURE).then_some(first)
}
