//! Every example of testdata against the parser and against the CRD's own schema and CEL rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kube::CustomResourceExt;
use kube_cel::{Validator, apply_defaults};
use serde_json::{Value, json};
use stoq_crds::{Object, StoqTransport, read_objects};

/// An example that must be refused, with the field and a part of the reason.
struct Refusal {
    path: PathBuf,
    text: String,
    field: String,
    reason: String,
}

#[test]
fn every_valid_example_is_read_and_passes_the_rules_of_the_crd() {
    for path in examples("valid") {
        let text = fs::read_to_string(&path).unwrap();
        let objects = read_objects(&text);
        assert!(!objects.is_empty(), "{path:?}");
        for object in objects {
            assert!(object.is_ok(), "{path:?}: {}", object.unwrap_err());
        }
        for document in transports(&text) {
            assert_eq!(cel_refusals(&document, None), [], "{path:?}");
        }
    }
}

#[test]
fn every_invalid_example_is_refused_with_its_field_and_reason() {
    for Refusal {
        path,
        text,
        field,
        reason,
    } in refusals()
    {
        let objects = read_objects(&text);
        assert_eq!(objects.len(), 1, "{path:?}");
        let refused = objects.into_iter().next().unwrap();
        let refused = refused.expect_err(&format!("{path:?} was taken over"));
        assert_eq!(refused.fault.field(), field, "{path:?}: {refused}");
        assert!(
            refused.fault.to_string().contains(&reason),
            "{path:?}: {refused}"
        );
    }
}

#[test]
fn where_the_parser_quotes_a_rule_cel_refuses_the_same_field_with_the_same_words() {
    let rules = messages();
    for refusal in refusals().filter(|r| rules.contains(&r.reason)) {
        let document = transports(&refusal.text).remove(0);
        let want = (refusal.field, refusal.reason);
        let found = cel_refusals(&document, None);
        assert!(found.contains(&want), "{:?}: {found:?}", refusal.path);
    }
}

#[test]
fn every_other_refusal_of_a_spec_is_in_the_structure_of_the_crd() {
    let rules = messages();
    let of_spec = |r: &Refusal| r.field.starts_with("spec") && !rules.contains(&r.reason);
    for Refusal {
        path,
        field,
        reason,
        ..
    } in refusals().filter(of_spec)
    {
        let (parent, name) = field.rsplit_once('.').unwrap_or(("", &field));
        let parent = node(parent).unwrap_or_else(|| panic!("{path:?}"));
        let found = node(&field);
        let holds = match reason.as_str() {
            "is required" => parent["required"]
                .as_array()
                .unwrap()
                .contains(&json!(name)),
            r if r.starts_with("is not a field") => found.is_none(),
            r if r.starts_with("unknown variant") => found.unwrap()["enum"].is_array(),
            r if r.starts_with("must have ") => r.starts_with(&length(&found.unwrap())),
            "expected a boolean" => found.unwrap()["type"] == "boolean",
            "expected a string" => found.unwrap()["type"] == "string",
            "expected i64" => found.unwrap()["type"] == "integer",
            _ => false,
        };
        assert!(holds, "{path:?}");
    }
}

#[test]
fn every_rule_of_the_crd_has_an_invalid_example() {
    let shown: BTreeSet<_> = refusals().map(|r| r.reason).collect();
    let missing: Vec<_> = messages()
        .into_iter()
        .filter(|m| !shown.contains(m))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_pod_selector_is_immutable_and_the_rest_is_not() {
    let with = |app: &str, port: u16| json!({"spec": {"podSelector": {"matchLabels": {"app": app}}, "ports": [{"port": port}]}});
    let old = with("edge", 4433);
    assert_eq!(cel_refusals(&with("edge", 4434), Some(&old)), []);
    let refused = cel_refusals(&with("web", 4433), Some(&old));
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, "spec.podSelector");
    assert!(refused[0].1.starts_with("is immutable"));
}

#[test]
fn absent_fields_take_the_defaults_that_the_crd_names() {
    let text = fs::read_to_string(folder("valid").join("minimal.yaml")).unwrap();
    let defaulted = apply_defaults(&schema(), &transports(&text)[0]);
    let defaulted = serde_yaml::to_string(&defaulted).unwrap();
    let parsed = |text: &str| match read_objects(text).remove(0).unwrap() {
        Object::Transport(transport) => transport,
        Object::Pod(_) => unreachable!(),
    };
    assert!(defaulted.contains("readmitAfter"));
    assert_eq!(parsed(&text), parsed(&defaulted));
}

#[test]
fn a_refused_document_does_not_touch_the_others() {
    let bad = fs::read_to_string(folder("invalid").join("not-yaml.yaml")).unwrap();
    let good = fs::read_to_string(folder("valid").join("minimal.yaml")).unwrap();
    let objects = read_objects(&format!("{good}---\n{bad}---\n{good}"));
    let read: Vec<_> = objects.iter().map(Result::is_ok).collect();
    assert_eq!(read, [true, false, true]);
    let refused = objects[1].as_ref().unwrap_err();
    assert_eq!((refused.document, refused.line), (2, 7));
    assert!(refused.object.is_none());
}

#[test]
fn a_refused_document_names_its_object() {
    let text = fs::read_to_string(folder("invalid").join("port-zero.yaml")).unwrap();
    let refused = read_objects(&text).remove(0).unwrap_err();
    let (_, name) = refused.object.clone().unwrap();
    assert_eq!(name.to_string(), "prod/edge");
    let want = "document 1 (line 1): spec.ports[0].port: must be 1..65535";
    assert_eq!(refused.to_string(), want);
}

#[test]
fn the_committed_crd_is_the_generated_one() {
    let crdgen = std::process::Command::new(env!("CARGO_BIN_EXE_crdgen"));
    let output = { crdgen }.arg("--check").output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

fn examples(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn refusals() -> impl Iterator<Item = Refusal> {
    examples("invalid").into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let expect = text.lines().next().unwrap().strip_prefix("# expect: ");
        let (field, reason) = expect.and_then(|e| e.split_once(": ")).unwrap();
        let (field, reason) = (field.into(), reason.into());
        Refusal {
            path,
            text,
            field,
            reason,
        }
    })
}

/// The `StoqTransport` documents of a file, without nulls, which an API server leaves out.
fn transports(text: &str) -> Vec<Value> {
    let documents = text
        .split("\n---")
        .map(|d| serde_yaml::from_str(d).unwrap());
    let transports = documents.filter(|d: &Value| d["kind"] == "StoqTransport");
    transports.map(without_nulls).collect()
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, v)| !v.is_null());
            kept.map(|(k, v)| (k, without_nulls(v))).collect()
        }
        other => other,
    }
}

fn schema() -> Value {
    let crd = serde_json::to_value(StoqTransport::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Field and message of what the CRD's CEL rules refuse.
fn cel_refusals(object: &Value, old: Option<&Value>) -> Vec<(String, String)> {
    let schema = schema();
    let object = apply_defaults(&schema, object);
    let errors = Validator::new().validate(&schema, &object, old);
    let errors = errors.err().map(|e| e.into_vec()).unwrap_or_default();
    errors
        .into_iter()
        .map(|e| (e.field_path, e.message))
        .collect()
}

/// Messages of all rules but those about the past, which one object does not have.
fn messages() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_messages(&schema(), &mut found);
    assert!(found.len() >= 10);
    found
}

fn collect_messages(schema: &Value, found: &mut BTreeSet<String>) {
    let rules = schema["x-kubernetes-validations"].as_array();
    for rule in rules.into_iter().flatten() {
        if !rule["rule"].as_str().unwrap().contains("oldSelf") {
            found.insert(rule["message"].as_str().unwrap().into());
        }
    }
    let children = schema["properties"].as_object();
    for child in children
        .into_iter()
        .flat_map(|c| c.values())
        .chain(schema.get("items"))
    {
        collect_messages(child, found);
    }
}

/// The schema of the field at `path`.
fn node(path: &str) -> Option<Value> {
    let mut node = schema();
    for step in path.split(['.', '[']).filter(|s| !s.is_empty()) {
        let next = match step.strip_suffix(']') {
            Some(_) => &node["items"],
            None if node["properties"][step].is_null() => &node["additionalProperties"],
            None => &node["properties"][step],
        };
        node = next.as_object().map(|o| Value::Object(o.clone()))?;
    }
    Some(node)
}

fn length(schema: &Value) -> String {
    let least = schema["minItems"].as_u64().unwrap_or(0);
    format!("must have {least}..{} entries", schema["maxItems"])
}
