//! A socket on an interface itself, kept there without an agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stoq_ebpf::af_xdp::{Geometry, Receiver};
use stoq_ebpf::direct::{Direct as Program, Wanted};
use stoq_ebpf::kernel::{addresses, interface};

use super::broker::sizes;
use super::endpoints;
use super::machine::Standing;
use super::rings::Rings;
use super::session::Session;

/// How often the socket is asked whether it still receives.
const CHECK: Duration = Duration::from_millis(500);
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(5);

/// What is wanted, and where what comes of it goes.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    pub(super) interface: String,
    pub(super) bpffs: PathBuf,
    /// What the UDP socket is bound to.
    pub(super) local: SocketAddr,
    pub(super) geometry: Geometry,
}

impl Direct {
    /// Keeps a socket there until it is dropped; then the interface is as it was.
    pub(super) async fn run(self, rings: Arc<Rings>) {
        loop {
            let why = match self.open().await {
                Ok((program, session)) => keep(&rings, program, session).await,
                Err(why) => why,
            };
            rings.stand(0, Standing::Udp(why));
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Loading takes a while.
    async fn open(&self) -> Result<(Program, Session), String> {
        let this = self.clone();
        let opened = tokio::task::spawn_blocking(move || this.open_now()).await;
        let (program, receiver) = opened.map_err(|error| error.to_string())??;
        Ok((program, Session::over(receiver, None)?))
    }

    fn open_now(&self) -> Result<(Program, Receiver), String> {
        let endpoints = self.endpoints()?;
        let wanted = Wanted {
            interface: &self.interface,
            endpoints: &endpoints,
            geometry: self.geometry,
            rings: sizes(self.geometry),
            bpffs: &self.bpffs,
        };
        Program::open(&wanted).map_err(|error| error.to_string())
    }

    /// What is received there, as the interface is now.
    fn endpoints(&self) -> Result<Vec<SocketAddr>, String> {
        let name = &self.interface;
        let addresses = interface::by_name(name).and_then(|found| addresses(found.index));
        let addresses = addresses.map_err(|error| format!("find {name}: {error}"))?;
        match endpoints::on_interface(self.local, &addresses) {
            none if none.is_empty() => Err(format!("{name} has no address to be reached at")),
            some => Ok(some),
        }
    }
}

/// Until the socket receives no more; why.
async fn keep(rings: &Rings, program: Program, session: Session) -> String {
    rings.begin(0, session);
    rings.stand(0, Standing::AfXdp(String::new()));
    let why = loop {
        tokio::time::sleep(CHECK).await;
        match rings.with(0, Session::failure) {
            Some(None) => {}
            Some(Some(why)) => break why,
            None => break "the session has ended".to_owned(),
        }
    };
    // First nothing more is sent there, then what has come is received.
    drop(program);
    rings.retire(0);
    why
}
