//! The control plane alone: what the operator is tested against.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::ListParams;
use stoq_cluster::{ControlPlane, may_run};

#[tokio::test]
async fn a_control_plane_serves_kubectl_and_clients_and_can_be_stopped() {
    if !may_run("a_control_plane_serves_kubectl_and_clients_and_can_be_stopped") {
        return;
    }
    let control_plane = ControlPlane::start().unwrap();
    let namespaces = Api::<Namespace>::all(control_plane.client().await.unwrap());
    namespaces.get("kube-system").await.unwrap();

    control_plane.stop_api_server();
    namespaces.get("kube-system").await.unwrap_err();
    control_plane.start_api_server().unwrap();
    namespaces.get("kube-system").await.unwrap();
}

#[tokio::test]
async fn a_service_account_may_do_nothing_it_was_not_allowed() {
    if !may_run("a_service_account_may_do_nothing_it_was_not_allowed") {
        return;
    }
    let control_plane = ControlPlane::start().unwrap();
    let token = control_plane
        .kubectl(&["create", "token", "default"])
        .unwrap();
    let client = control_plane.client_with_token(&token).await.unwrap();
    let secrets = Api::<Secret>::namespaced(client, "default");
    let words = secrets.list(&ListParams::default()).await.unwrap_err();
    let words = words.to_string();
    assert!(
        words.contains("cannot list resource \"secrets\""),
        "{words}"
    );
}

#[test]
fn a_bad_transport_is_rejected_in_the_words_of_its_rule() {
    if !may_run("a_bad_transport_is_rejected_in_the_words_of_its_rule") {
        return;
    }
    let control_plane = ControlPlane::start().unwrap();
    control_plane.apply(&crds("stoqtransports.yaml")).unwrap();
    let established = "--for=condition=Established";
    let crd = "crd/stoqtransports.stoq.io";
    control_plane.kubectl(&["wait", established, crd]).unwrap();

    control_plane
        .kubectl(&["create", "namespace", "prod"])
        .unwrap();
    let apply = |file| control_plane.apply(&crds(file));
    apply("testdata/valid/minimal.yaml").unwrap();
    let words = apply("testdata/invalid/readmit-too-long.yaml").unwrap_err();
    let words = words.to_string();
    assert!(
        words.contains("must be a duration of 100ms..60s"),
        "{words}"
    );
}

fn crds(file: &str) -> String {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    fs::read_to_string(crds.join(file)).unwrap()
}
