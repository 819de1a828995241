//! The plainest of UDP services: every datagram goes back to where it came from.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const RETRY: Duration = Duration::from_millis(200);

/// Sends back what arrives at an address, for ever; `ready` is called once it listens.
pub fn echo(listen: SocketAddr, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let socket = UdpSocket::bind(listen).with_context(|| listen.to_string())?;
    ready(socket.local_addr()?);
    let mut datagram = [0; 65_536];
    loop {
        let (length, peer) = socket.recv_from(&mut datagram)?;
        // A peer that has gone is no reason to end.
        let _ = socket.send_to(&datagram[..length], peer);
    }
}

/// Sends a datagram to an echo, again and again until it comes back; how long the last took.
pub fn ask(echo: SocketAddr, within: Duration) -> Result<Duration> {
    let deadline = Instant::now() + within;
    let local: SocketAddr = if echo.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0; 16], 0).into()
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(echo)?;
    socket.set_read_timeout(Some(RETRY))?;
    while Instant::now() < deadline {
        let begun = Instant::now();
        let sent = socket.send(b"anyone there?");
        let mut answer = [0; 64];
        // Refused while nobody listens yet.
        if sent.and_then(|_| socket.recv(&mut answer)).is_ok() {
            return Ok(begun.elapsed());
        }
        std::thread::sleep(RETRY.saturating_sub(begun.elapsed()));
    }
    bail!("{echo}: no answer within {within:?}")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn an_echo_answers() {
        let (send, ready) = channel();
        std::thread::spawn(move || echo(([127, 0, 0, 1], 0).into(), |at| send.send(at).unwrap()));
        ask(ready.recv().unwrap(), Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn silence_is_an_error() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let words = ask(silent.local_addr().unwrap(), RETRY).unwrap_err();
        assert!(words.to_string().contains("no answer"));
    }
}
