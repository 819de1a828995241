use kube::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::stoq_node::Change;

/// An API server that takes every connection and never says a word.
struct Silent(TcpListener);

impl Silent {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn reporter(&self) -> Reporter {
        let url = format!("http://{}", self.0.local_addr().unwrap());
        let client = Client::try_from(Config::new(url.parse().unwrap())).unwrap();
        let options = ClusterOptions {
            node: "node-a".into(),
            namespace: "stoq-system".into(),
            pod: None,
            node_uid: Some("u-1".into()),
        };
        let patience = Duration::from_millis(50);
        Reporter::new(
            client,
            &options,
            Shared::default(),
            PathBuf::new(),
            patience,
        )
    }

    /// Keeps the connections that come meanwhile.
    async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut kept: Vec<TcpStream> = Vec::new();
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                accepted = self.0.accept() => kept.push(accepted.unwrap().0),
            }
        }
    }
}

fn change() -> Change {
    Change {
        transport: None,
        lower: true,
        reason: "Tcx".into(),
        action: "NativeToTcx".into(),
        note: "uplink eth0: Native -> Tcx".into(),
    }
}

#[tokio::test]
async fn an_api_server_that_says_nothing_is_not_waited_for() {
    let server = Silent::new().await;
    let mut reporter = server.reporter();
    let asked = async {
        let read = reporter.read().await;
        assert!(matches!(read, Err(Unanswered::Late(_))), "{read:?}");
        // Of several events only the first is waited for.
        reporter.events.tell(&[change(), change(), change()]).await;
    };
    let deadline = Duration::from_secs(10);
    timeout(deadline, server.during(asked)).await.unwrap();
    reporter.shared.lock().planned = true;
    // The status is tried until it is written.
    let written = server.during(reporter.write(false));
    timeout(Duration::from_secs(1), written).await.unwrap_err();
    assert!(reporter.failures >= 1);
}
