//! One client: keeps a connection up and sends its share of the requests on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use quinn::{ClientConfig, Connection, Endpoint};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep, sleep_until, timeout, timeout_at};

use super::load::LoadOptions;
use super::observe::Observed;
use super::quantiles::Samples;
use super::series::Series;
use super::socket::CountingSocket;
use super::tls::SERVER_NAME;

const HANDSHAKE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);
const FAREWELL: Duration = Duration::from_secs(1);
/// The timer's own grain: what is late by less has not been held up by anybody.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

/// What all clients of one load share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: LoadOptions,
    pub(super) config: ClientConfig,
    pub(super) start: Instant,
    pub(super) series: Series,
    pub(super) handshakes: Samples,
    pub(super) opened: AtomicU64,
    pub(super) established: AtomicU64,
    pub(super) rebound: AtomicU64,
    pub(super) observed: Arc<Observed>,
}

type Published = Option<Connection>;
type Current = watch::Receiver<Published>;

impl Shared {
    /// Runs one client (of number `index`) from the start of the load to its end.
    pub(super) async fn client(self: Arc<Self>, index: u32) -> Result<()> {
        let sizes = self.observed.sizes.clone();
        let endpoint = self.options.transport.client(self.options.local(), sizes)?;
        let (first, _) = self.options.pace(index);
        if self.options.stagger {
            sleep_until((self.start + first).into()).await;
        }
        let (publish, current) = watch::channel(None);
        let keeper = tokio::spawn(self.clone().keep_connected(endpoint.clone(), publish));
        let rebinder = tokio::spawn(self.clone().rebind(endpoint.clone()));
        if self.options.bulk {
            let _ = timeout_at(self.end().into(), self.clone().bulk(current)).await;
        } else {
            self.clone().paced(index, current).await;
        }
        rebinder.abort();
        endpoint.close(0u32.into(), b"end");
        keeper.await?;
        let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
        Ok(())
    }

    fn end(&self) -> Instant {
        self.start + self.options.duration()
    }

    /// Connects, publishes the connection, and connects again when it has died, until the
    /// endpoint is closed.
    async fn keep_connected(
        self: Arc<Self>,
        endpoint: Endpoint,
        publish: watch::Sender<Published>,
    ) {
        let target = self.options.target;
        while let Ok(connecting) = endpoint.connect_with(self.config.clone(), target, SERVER_NAME) {
            self.opened.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            let Ok(Ok(connection)) = timeout(HANDSHAKE, connecting).await else {
                sleep(RETRY).await;
                continue;
            };
            self.handshakes.add(began.elapsed());
            self.established.fetch_add(1, Ordering::Relaxed);
            publish.send_replace(Some(connection.clone()));
            self.observed.clone().follow(connection).await;
            publish.send_replace(None);
        }
    }

    /// Moves the client to another local port, once, when the options ask for it.
    async fn rebind(self: Arc<Self>, endpoint: Endpoint) {
        let Some(after) = self.options.rebind_after else {
            return;
        };
        sleep_until((self.start + Duration::from_secs_f64(after)).into()).await;
        let sizes = self.observed.sizes.clone();
        let socket = CountingSocket::bind(self.options.local(), sizes);
        if socket
            .and_then(|socket| endpoint.rebind_abstract(socket))
            .is_ok()
        {
            self.rebound.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends this client's share of the rate, whether or not earlier requests were answered.
    async fn paced(self: Arc<Self>, index: u32, current: Current) {
        let (first, period) = self.options.pace(index);
        let mut tick = interval_at((self.start + first).into(), period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut requests = JoinSet::new();
        for _ in 0..self.options.share(index) {
            let due = tick.tick().await.into();
            requests.spawn(self.clone().request(began(due), current.clone()));
            while requests.try_join_next().is_some() {}
        }
        while requests.join_next().await.is_some() {}
    }

    async fn request(self: Arc<Self>, began: Instant, current: Current) {
        let deadline = began + Duration::from_secs_f64(self.options.timeout);
        match timeout_at(deadline.into(), self.exchange(current)).await {
            Ok(Ok(())) => self.series.answered(began.elapsed()),
            Ok(Err(_)) | Err(_) => self.series.failed(),
        }
    }

    /// Keeps one response on its way, all the time.
    async fn bulk(self: Arc<Self>, current: Current) {
        loop {
            let began = Instant::now();
            match self.exchange(current.clone()).await {
                Ok(()) => self.series.answered(began.elapsed()),
                Err(_) => {
                    self.series.failed();
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn exchange(&self, mut current: Current) -> Result<()> {
        let connection = current
            .wait_for(Option::is_some)
            .await?
            .clone()
            .context("connection")?;
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&self.options.response.to_be_bytes()).await?;
        send.write_all(&vec![0; self.options.request]).await?;
        send.finish()?;
        let mut left = self.options.response;
        while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? {
            self.series.received(chunk.bytes.len());
            left = left.saturating_sub(chunk.bytes.len() as u64);
        }
        anyhow::ensure!(left == 0, "response ended {left} bytes early");
        Ok(())
    }
}

/// When a request counts as begun: when it was due, if this process was late by more than its
/// timer's grain, so that an overloaded client does not hide latency.
fn began(due: Instant) -> Instant {
    let now = Instant::now();
    if now.duration_since(due) > TIMER_GRAIN {
        due
    } else {
        now
    }
}
