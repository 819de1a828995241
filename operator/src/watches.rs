//! What is watched. Objects are cut down as soon as they come in: thousands of nodes, tens of
//! thousands of pods.

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::index::News;

/// A page of a list is decoded as a whole.
const PAGE: u32 = 100;

/// News, or why a watch has to begin anew; it does so by itself.
pub(crate) type Watches = SelectAll<BoxStream<'static, Result<News, Trouble>>>;

/// A watch that has to begin anew.
#[derive(Debug, thiserror::Error)]
#[error("watch {what}: {source}")]
pub(crate) struct Trouble {
    what: &'static str,
    source: watcher::Error,
}

/// All watches.
pub(crate) fn watches(client: &Client) -> Watches {
    let client = || client.clone();
    futures::stream::select_all([
        watch(Api::all(client()), "stoqtransports", News::Transport),
        watch(Api::all(client()), "stoqnodes", News::Report),
        watch(Api::all(client()), "pods", News::Pod),
        watch(Api::all(client()), "services", News::Service),
        watch(Api::all(client()), "endpointslices", News::Slice),
        watch(Api::all(client()), "nodes", News::Node),
    ])
}

fn watch<K>(
    api: Api<K>,
    what: &'static str,
    news: fn(watcher::Event<K>) -> News,
) -> BoxStream<'static, Result<News, Trouble>>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE);
    let events = stoq_daemon::watch(api, config);
    events
        .map_ok(news)
        .map_err(move |source| Trouble { what, source })
        .boxed()
}
