//! Leading: holds the Lease, and says until when one may believe it.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use stoq_crds::Timestamp;
use stoq_daemon::random;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::lease::{self, Move, Sight, Term};
use crate::metrics::Metrics;

/// Name of the Lease.
pub(crate) const NAME: &str = "stoq-operator";

/// How long this one leads; `None`: it does not.
pub(crate) type Leads = Option<Term>;

/// A candidate.
pub(crate) struct Candidate {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Its name, no other's.
    pub(crate) identity: String,
    /// How long a Lease holds that is not renewed.
    pub(crate) duration: Duration,
    pub(crate) metrics: Metrics,
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Candidate {
    /// Tries to lead for ever, and says so; given up by dropping it.
    pub(crate) async fn run(&self, leads: watch::Sender<Leads>) {
        let mut sight = Sight::default();
        loop {
            let asked = Instant::now();
            match self.attempt(&mut sight).await {
                Ok(true) => say(&leads, Some(Term::new(asked, self.duration))),
                Ok(false) => say(&leads, None),
                // What was true before may still be, for as long as it was said to be.
                Err(error) => {
                    self.metrics.failed("lease");
                    tracing::warn!("lease {}/{NAME}: {error}", self.namespace);
                }
            }
            let pause = self.pause(leads.borrow().is_some());
            tokio::time::sleep(pause).await;
        }
    }

    /// A holder renews several times while it holds; others look once a second.
    fn pause(&self, leads: bool) -> Duration {
        let pause = if leads {
            self.duration / 5
        } else {
            Duration::from_secs(1)
        };
        pause.mul_f64(random::between(0.8, 1.2))
    }

    /// Whether this one leads now.
    async fn attempt(&self, sight: &mut Sight) -> Result<bool, Failure> {
        let patience = self.duration / 5;
        let attempt = timeout(patience, self.look_and_move(sight));
        attempt.await.map_err(|_| Failure::Late(patience))?
    }

    async fn look_and_move(&self, sight: &mut Sight) -> Result<bool, Failure> {
        let there = self.api().get_opt(NAME).await?;
        let spec = there.as_ref().and_then(|lease| lease.spec.clone());
        sight.see(spec.unwrap_or_default(), Instant::now());
        match sight.decide(
            &self.identity,
            self.duration,
            Instant::now(),
            Timestamp::now(),
        ) {
            Move::Wait => Ok(false),
            Move::Write(spec) => self.write(there, spec).await,
        }
    }

    /// Whether it was written: another may have been faster.
    async fn write(&self, there: Option<Lease>, spec: LeaseSpec) -> Result<bool, Failure> {
        self.metrics.wrote("lease");
        let written = match there {
            Some(lease) => {
                let changed = Lease {
                    spec: Some(spec),
                    ..lease
                };
                self.api()
                    .replace(NAME, &PostParams::default(), &changed)
                    .await
            }
            None => {
                self.api()
                    .create(&PostParams::default(), &self.first(spec))
                    .await
            }
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn first(&self, spec: LeaseSpec) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        }
    }

    /// Gives the Lease back, if it is this one's.
    pub(crate) async fn release(&self) {
        let released = async {
            match self.try_release().await {
                // A renewal was still under way.
                Err(kube::Error::Api(status)) if status.code == 409 => self.try_release().await,
                released => released,
            }
        };
        match timeout(Duration::from_secs(3), released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("release lease {}/{NAME}: {error}", self.namespace),
            Err(_) => tracing::warn!("release lease {}/{NAME}: no answer", self.namespace),
        }
    }

    async fn try_release(&self) -> Result<(), kube::Error> {
        let Some(there) = self.api().get_opt(NAME).await? else {
            return Ok(());
        };
        let spec = there.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            return Ok(());
        }
        let released = Lease {
            spec: Some(lease::released(&spec, Timestamp::now())),
            ..there
        };
        let params = PostParams::default();
        self.api().replace(NAME, &params, &released).await?;
        tracing::info!("leads no more: the lease is free");
        Ok(())
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn say(leads: &watch::Sender<Leads>, term: Leads) {
    let before = leads.send_replace(term);
    match (before, term) {
        (None, Some(_)) => tracing::info!("leads"),
        (Some(_), None) => tracing::warn!("leads no more"),
        _ => {}
    }
}
