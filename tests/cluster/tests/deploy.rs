//! The manifests, the pages about them and the CRDs say the same. UPDATE=1 writes what is generated.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stoq_cluster::rbac;
use stoq_cluster::stoq::{Program, VERSION};

const BEGIN: &str = "<!-- generated from deploy/20-rbac.yaml -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn deploy_has_the_crds_as_they_are_generated() {
    for name in ["stoqnodes", "stoqtransports"] {
        let generated = read(&format!("crds/{name}.yaml"));
        hold(&format!("deploy/10-crd-{name}.yaml"), &generated);
    }
}

#[test]
fn the_rules_in_the_page_about_security_are_those_of_the_manifest() {
    let page = read("docs/security.md");
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let table = rbac::table(&rules());
    hold(
        "docs/security.md",
        &format!("{before}{BEGIN}{table}{END}{after}"),
    );
}

#[test]
fn no_rule_grants_what_nobody_should_have() {
    for rule in rules() {
        let rights = &rule.rights;
        let words = [&rights.api_groups, &rights.resources, &rights.verbs];
        for word in words.into_iter().flatten() {
            assert!(!word.contains('*'), "{rule:?}");
        }
        for resource in &rights.resources {
            assert!(!resource.contains("secrets"), "{rule:?}");
            assert!(!resource.starts_with("pods/"), "{rule:?}");
        }
        let destroys = |verb: &String| verb.starts_with("delete") || verb == "escalate";
        assert!(!rights.verbs.iter().any(destroys), "{rule:?}");
    }
}

#[test]
fn every_policy_and_every_capability_is_explained() {
    let page = read("docs/security.md");
    let row = |name: &str| page.contains(&format!("\n| `{name}` |"));
    let objects = objects("deploy/25-admission.yaml");
    let of_kind = |kind: &str| {
        let named = objects.iter().filter(|object| object["kind"] == kind);
        let names = named.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let policies = of_kind("ValidatingAdmissionPolicy");
    let bindings = of_kind("ValidatingAdmissionPolicyBinding");
    assert_eq!(policies, bindings);
    let added = container(Program::Agent)["securityContext"]["capabilities"]["add"].clone();
    let capabilities = added.as_array().unwrap().iter();
    let capabilities = capabilities.map(|name| name.as_str().unwrap().to_owned());
    for name in policies.into_iter().chain(capabilities) {
        assert!(row(&name), "docs/security.md has no line for {name}");
    }
}

#[test]
fn both_programs_have_no_more_than_they_need() {
    for program in Program::ALL {
        let context = &container(program)["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        assert_ne!(context["privileged"], true);
        let pod = pod(program);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        for shared in ["hostPID", "hostIPC"] {
            assert!(pod.get(shared).is_none(), "{shared}");
        }
    }
    let agent = &container(Program::Agent)["securityContext"];
    assert_eq!(agent["appArmorProfile"]["type"], "Unconfined");
    let operator = pod(Program::Operator);
    for profile in ["appArmorProfile", "seLinuxOptions"] {
        assert!(container(Program::Operator)["securityContext"][profile].is_null());
    }
    assert_eq!(operator["securityContext"]["runAsNonRoot"], true);
    let add = &container(Program::Operator)["securityContext"]["capabilities"]["add"];
    assert!(add.is_null() && operator["hostNetwork"].is_null() && operator["volumes"].is_null());
}

#[test]
fn images_are_of_this_version() {
    for program in Program::ALL {
        let image = format!("{}:{VERSION}", program.repository());
        assert_eq!(container(program)["image"], image);
    }
}

#[test]
fn kustomize_applies_every_manifest_in_order() {
    let kustomization = &objects("deploy/kustomization.yaml")[0];
    let entries = fs::read_dir(root().join("deploy")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut manifests: Vec<_> = names
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    manifests.sort();
    assert_eq!(kustomization["resources"], json!(manifests));
}

fn rules() -> Vec<rbac::Rule> {
    rbac::rules(&read("deploy/20-rbac.yaml")).unwrap()
}

fn pod(program: Program) -> Value {
    let file = match program {
        Program::Agent => "deploy/30-agent.yaml",
        Program::Operator => "deploy/40-operator.yaml",
    };
    objects(file)[0]["spec"]["template"]["spec"].clone()
}

fn container(program: Program) -> Value {
    pod(program)["containers"][0].clone()
}

fn objects(file: &str) -> Vec<Value> {
    let text = read(file);
    let documents = text.split("\n---\n");
    documents
        .map(|text| serde_yaml::from_str(text).unwrap())
        .collect()
}

/// Writes the file if UPDATE is set, else compares.
fn hold(file: &str, want: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root().join(file), want).unwrap();
    }
    assert!(
        read(file) == want,
        "{file} is out of date: make gen writes it"
    );
}

fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
