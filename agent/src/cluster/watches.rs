//! The watches of an agent: what of the cluster concerns its node.

use std::fmt::Debug;

use futures::stream::{BoxStream, StreamExt as _, select_all};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use stoq_crds::node_addresses;

use super::ClusterOptions;
use super::cache::{kept_map, kept_node, kept_pod, kept_transport};
use super::index::{Change, MAPS, NODES, PODS, TRANSPORTS};

/// What goes wrong with a watch, which is then begun again after a while.
#[derive(Debug, thiserror::Error)]
#[error("watch {what}: {error}")]
pub(super) struct Failed {
    pub(super) what: &'static str,
    pub(super) error: watcher::Error,
}

/// What changes, never ending.
pub(super) type Changes = BoxStream<'static, Result<Change, Failed>>;

pub(super) fn changes(client: &Client, options: &ClusterOptions) -> Changes {
    let here = format!("spec.nodeName={}", options.node);
    let addresses = Api::namespaced(client.clone(), &options.namespace);
    let each = [
        watch(TRANSPORTS, Api::all(client.clone()), "", |event| {
            Change::Transport(kept(event, kept_transport))
        }),
        watch(PODS, Api::all(client.clone()), &here, |event| {
            Change::Pod(kept(event, kept_pod))
        }),
        watch(
            MAPS,
            addresses,
            &named(node_addresses::CONFIG_MAP),
            |event| Change::Addresses(kept(event, kept_map)),
        ),
        watch(
            NODES,
            Api::all(client.clone()),
            &named(&options.node),
            |event| Change::Own(kept(event, kept_node)),
        ),
    ];
    select_all(each).boxed()
}

fn named(name: &str) -> String {
    format!("metadata.name={name}")
}

fn watch<K>(
    what: &'static str,
    api: Api<DeserializeGuard<K>>,
    fields: &str,
    change: fn(Event<DeserializeGuard<K>>) -> Change,
) -> Changes
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = Config::default().fields(fields);
    let events = stoq_daemon::watch(api, config);
    let told = move |event: Result<_, _>| event.map(change).map_err(|error| Failed { what, error });
    events.map(told).boxed()
}

/// The event, with what is of use of its object.
fn kept<K>(event: Event<DeserializeGuard<K>>, keep: fn(K) -> K) -> Event<DeserializeGuard<K>> {
    let keep = |object: DeserializeGuard<K>| DeserializeGuard(object.0.map(keep));
    match event {
        Event::Apply(object) => Event::Apply(keep(object)),
        Event::Delete(object) => Event::Delete(keep(object)),
        Event::InitApply(object) => Event::InitApply(keep(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}
