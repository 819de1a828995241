//! Every example of crds/testdata against the real API server.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use stoq_cluster::caller::Answer;
use stoq_cluster::{Caller, ControlPlane, may_run};

const GROUP: &str = "/apis/stoq.io/v1alpha1";
const STRICT: &str = "dryRun=All&fieldValidation=Strict&fieldManager=test";
/// An address is more than CEL of Kubernetes 1.31 should judge; the operator writes it, the agent reads it.
const NOT_IN_THE_CRD: [&str; 1] = ["front-end-not-an-ip.yaml"];

#[test]
fn every_valid_example_is_taken() {
    if !may_run("every_valid_example_is_taken") {
        return;
    }
    let api = Api::start();
    for path in examples("valid").into_iter().chain(examples("nodes/valid")) {
        for document in documents(&path) {
            let taken = api.spec(&without_server_fields(&document).to_string(), &document);
            assert!(taken.is_ok(), "{path:?}: {taken:?}");
            if document.get("status").is_some() {
                let taken = api.status(&without_server_fields(&document).to_string(), &document);
                assert!(taken.is_ok(), "{path:?}: {taken:?}");
            }
        }
    }
}

#[test]
fn every_invalid_example_is_refused_in_the_words_of_its_rule() {
    if !may_run("every_invalid_example_is_refused_in_the_words_of_its_rule") {
        return;
    }
    let api = Api::start();
    let rules = messages("stoqtransports.yaml");
    assert!(rules.len() >= 10, "{rules:?}");
    for path in examples("invalid") {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if text.contains("kind: Pod") || NOT_IN_THE_CRD.contains(&name) {
            continue;
        }
        let told = api
            .refusal(&text)
            .unwrap_or_else(|| panic!("{name} was taken"));
        let (field, reason) = expected(&text);
        if rules.iter().any(|rule| rule == reason) {
            assert!(
                told.contains(field) && told.contains(reason),
                "{name}: {told}"
            );
        }
    }
}

#[test]
fn every_invalid_stoqnode_is_refused_with_its_field_and_reason() {
    if !may_run("every_invalid_stoqnode_is_refused_with_its_field_and_reason") {
        return;
    }
    let api = Api::start();
    for path in examples("nodes/invalid") {
        let text = fs::read_to_string(&path).unwrap();
        let told = api
            .refusal(&text)
            .unwrap_or_else(|| panic!("{path:?} was taken"));
        let (field, reason) = expected(&text);
        assert!(
            told.contains(field) && told.contains(reason),
            "{path:?}: {told}"
        );
    }
}

#[test]
fn a_pod_selector_is_immutable_and_the_rest_is_not() {
    if !may_run("a_pod_selector_is_immutable_and_the_rest_is_not") {
        return;
    }
    let api = Api::start();
    let edge = format!("{GROUP}/namespaces/default/stoqtransports/edge?{STRICT}");
    let ports = json!({"spec": {"ports": [{"port": 4434}]}});
    api.admin.merge(&edge, &ports).unwrap();
    let selector = json!({"spec": {"podSelector": {"matchLabels": {"app": "web"}}}});
    let told = api.admin.merge(&edge, &selector).unwrap_err();
    assert!(told.contains("spec.podSelector"), "{told}");
    assert!(told.contains("is immutable"), "{told}");
}

/// An API server with the CRDs, a transport `edge` and a StoqNode `node-a` to give a status to.
struct Api {
    admin: Caller,
    _control_plane: ControlPlane,
}

impl Api {
    fn start() -> Self {
        let control_plane = ControlPlane::start().unwrap();
        control_plane.apply_stoq().unwrap();
        let admin = Caller::admin(&control_plane).unwrap();
        let namespace = json!({"metadata": {"name": "prod"}});
        admin.create("/api/v1/namespaces", &namespace).unwrap();
        let api = Self {
            admin,
            _control_plane: control_plane,
        };
        for namespace in ["default", "prod"] {
            let edge = json!({
                "apiVersion": "stoq.io/v1alpha1", "kind": "StoqTransport", "metadata": {"name": "edge"},
                "spec": {"podSelector": {}, "ports": [{"port": 4433}]},
            });
            let path = format!("{GROUP}/namespaces/{namespace}/stoqtransports");
            api.admin.create(&path, &edge).unwrap();
        }
        let node = json!({
            "apiVersion": "stoq.io/v1alpha1", "kind": "StoqNode",
            "metadata": {"name": "node-a"}, "spec": {},
        });
        api.admin
            .create(&format!("{GROUP}/stoqnodes"), &node)
            .unwrap();
        api
    }

    /// In which words it refuses an example, as a new object or as the status of the one there is.
    fn refusal(&self, text: &str) -> Option<String> {
        // What is not YAML is no status either.
        let document: Value = serde_yaml::from_str(text).unwrap_or_default();
        if document.get("status").is_some() {
            self.status(text, &document).err()
        } else {
            self.spec(text, &document).err()
        }
    }

    fn spec(&self, text: &str, document: &Value) -> Answer {
        // A name that is there already is another reason.
        let text = text.replacen("name: edge", "name: another", 1);
        let text = text.replacen("\"name\":\"edge\"", "\"name\":\"another\"", 1);
        let text = text.replacen("name: node-a", "name: node-b", 1);
        let text = text.replacen("\"name\":\"node-a\"", "\"name\":\"node-b\"", 1);
        let path = format!("{}?{STRICT}", collection(document));
        self.admin.create_yaml(&path, &text)
    }

    fn status(&self, text: &str, document: &Value) -> Answer {
        let name = document["metadata"]["name"].as_str().unwrap();
        let path = format!("{}/{name}/status?force=true&{STRICT}", collection(document));
        self.admin.apply(&path, text)
    }
}

fn collection(document: &Value) -> String {
    if document["kind"] == "StoqNode" {
        return format!("{GROUP}/stoqnodes");
    }
    let namespace = document["metadata"]["namespace"].as_str();
    let namespace = namespace.unwrap_or("default");
    format!("{GROUP}/namespaces/{namespace}/stoqtransports")
}

/// The objects of STOQ in a file.
fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let documents = text.split("\n---");
    let documents = documents.map(|text| serde_yaml::from_str(text).unwrap());
    let ours = |document: &Value| {
        let kind = document["kind"].as_str();
        kind.is_some_and(|kind| kind.starts_with("Stoq"))
    };
    documents.filter(ours).collect()
}

/// What a person writes: no version, no uid.
fn without_server_fields(document: &Value) -> Value {
    let kept = ["name", "namespace", "labels", "annotations"];
    let metadata = document["metadata"].as_object().unwrap().iter();
    let metadata: Map<_, _> = metadata
        .filter(|(key, _)| kept.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut document = document.clone();
    document["metadata"] = metadata.into();
    document
}

fn expected(text: &str) -> (&str, &str) {
    let line = text.lines().next().unwrap();
    let expect = line.strip_prefix("# expect: ").unwrap();
    expect.split_once(": ").unwrap()
}

fn examples(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(crds().join("testdata").join(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// Messages of all CEL rules of a CRD.
fn messages(file: &str) -> Vec<String> {
    let text = fs::read_to_string(crds().join(file)).unwrap();
    let mut found = Vec::new();
    collect(&serde_yaml::from_str(&text).unwrap(), &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let rules = fields.get("x-kubernetes-validations");
            for rule in rules.and_then(Value::as_array).into_iter().flatten() {
                found.push(rule["message"].as_str().unwrap().to_owned());
            }
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn crds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}
