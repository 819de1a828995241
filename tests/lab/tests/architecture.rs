//! What no compiler checks: which crate may know which, licences, and where unsafe code may be.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate of ours may depend on directly, of ours. The lab and the cluster see everything.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("stoq-ebpf-abi", &[]),
    ("stoq-crds", &[]),
    ("stoq-daemon", &[]),
    ("stoq-ebpf", &["stoq-ebpf-abi"]),
    (
        "stoq-agent",
        &["stoq-crds", "stoq-daemon", "stoq-ebpf", "stoq-ebpf-abi"],
    ),
    ("stoq-operator", &["stoq-crds", "stoq-daemon"]),
    ("stoq", &["stoq-ebpf", "stoq-ebpf-abi"]),
];

/// What a crate of ours must not reach, by any way, in a build without tests.
const NEVER_REACHES: [(&str, &[&str]); 7] = [
    ("stoq-ebpf-abi", &["kube", "tokio", "stoq-ebpf", "quinn"]),
    ("stoq-crds", &["aya", "stoq-ebpf", "tokio", "quinn"]),
    ("stoq-daemon", &["stoq-crds", "aya", "quinn"]),
    ("stoq-ebpf", &["kube", "k8s-openapi", "tokio", "quinn"]),
    (
        "stoq-agent",
        &["quinn", "quinn-proto", "rcgen", "stoq", "stoq-lab"],
    ),
    (
        "stoq-operator",
        &["aya", "stoq-ebpf", "stoq-agent", "quinn", "stoq-lab"],
    ),
    // Without its feature `ebpf`.
    (
        "stoq",
        &["kube", "k8s-openapi", "aya", "stoq-ebpf", "stoq-lab"],
    ),
];

/// Licences under which a dependency may be used; one suffices of those it offers.
const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "NCSA",
    "Unicode-3.0",
    "Zlib",
];

/// Dependencies of other systems are never built.
const OF_LINUX: [&str; 2] = [
    "--all-features",
    "--filter-platform=x86_64-unknown-linux-gnu",
];

const WORKSPACES: [&str; 3] = ["Cargo.toml", "ebpf/programs/Cargo.toml", "fuzz/Cargo.toml"];

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata("Cargo.toml");
    let ours = ours(&metadata);
    for (name, allowed) in MAY_USE {
        for dependency in direct(&metadata, name) {
            assert!(
                !ours.contains(&dependency) || allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn every_crate_of_ours_has_its_place() {
    let placed: BTreeSet<String> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut ours = ours(&metadata("Cargo.toml"));
    ours.remove("stoq-lab");
    ours.remove("stoq-cluster");
    assert_eq!(ours, placed);
}

#[test]
fn the_programs_know_the_abi_alone() {
    let metadata = metadata("ebpf/programs/Cargo.toml");
    let known = BTreeSet::from(["aya-ebpf".to_owned(), "stoq-ebpf-abi".to_owned()]);
    for name in ours(&metadata) {
        let dependencies = direct(&metadata, &name);
        assert!(
            dependencies.is_subset(&known),
            "{name} depends on {dependencies:?}"
        );
    }
}

#[test]
fn no_crate_reaches_what_it_must_not_know() {
    for (name, forbidden) in NEVER_REACHES {
        let reached = reached(name);
        assert!(reached.contains(name), "{name} is not in the graph");
        for other in forbidden {
            assert!(!reached.contains(*other), "{name} reaches {other}");
        }
    }
}

#[test]
fn every_dependency_has_a_licence_we_can_use() {
    for workspace in WORKSPACES {
        for package in array(&metadata_with(workspace, &OF_LINUX), "packages") {
            let licence = package["license"].as_str().unwrap_or("none");
            assert!(
                usable(licence),
                "{}: {} {}: {licence}",
                workspace,
                package["name"],
                package["version"]
            );
        }
    }
}

#[test]
fn a_licence_is_usable_if_one_choice_is() {
    let cases = [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR GPL-2.0-only) AND Unicode-3.0", true),
        ("(MIT AND GPL-2.0-only) OR ISC", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", true),
        ("MIT/GPL-2.0-only", true),
        ("none", false),
    ];
    for (licence, expected) in cases {
        assert_eq!(usable(licence), expected, "{licence}");
    }
}

#[test]
fn unsafe_code_is_under_ebpf_only() {
    for file in sources() {
        if file.starts_with("ebpf") {
            continue;
        }
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        for (number, line) in text.lines().enumerate() {
            let at = number + 1;
            assert!(!is_unsafe(line), "{}:{at}: {line}", file.display());
        }
    }
}

#[test]
fn a_line_of_unsafe_code_is_told_from_talk_about_it() {
    assert!(is_unsafe(&format!("    {KEYWORD} {{ *pointer }}")));
    assert!(is_unsafe(&format!("pub {KEYWORD} fn raw() {{}}")));
    assert!(is_unsafe(&format!("#[{KEYWORD}(no_mangle)]")));
    assert!(!is_unsafe(&format!("#![forbid({KEYWORD}_code)]")));
    assert!(!is_unsafe(&format!("is_{KEYWORD}(line)")));
    assert!(!is_unsafe(&format!("--{KEYWORD}-no-fsync")));
    assert!(!is_unsafe(&format!("// no {KEYWORD} code here")));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn metadata(manifest: &str) -> Value {
    metadata_with(manifest, &[])
}

fn metadata_with(manifest: &str, options: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--locked"]);
    command.args(options);
    let out = command
        .arg("--manifest-path")
        .arg(root().join(manifest))
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{manifest}: {words}");
    serde_json::from_slice(&out.stdout).unwrap()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Names of the workspace's members.
fn ours(metadata: &Value) -> BTreeSet<String> {
    let members = array(metadata, "workspace_members");
    let packages = array(metadata, "packages").iter();
    packages
        .filter(|package| members.contains(&package["id"]))
        .map(|package| text(&package["name"]))
        .collect()
}

/// Direct dependencies of a package, but those of its tests alone.
fn direct(metadata: &Value, name: &str) -> BTreeSet<String> {
    let mut packages = array(metadata, "packages").iter();
    let package = packages.find(|package| package["name"] == name).unwrap();
    let dependencies = array(package, "dependencies").iter();
    dependencies
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| text(&dependency["name"]))
        .collect()
}

/// Names of all that is linked into a package that is built by itself, with its default features.
fn reached(name: &str) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--edges=normal", "--prefix=none"]);
    let out = { command.args(["--package", name, "--manifest-path"]) }
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let text = String::from_utf8(out.stdout).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// Whether an SPDX expression leaves a choice we may take; `A/B` is an old form of `A OR B`.
fn usable(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let alternatives = split(&expression, "OR");
    alternatives.iter().any(|alternative| {
        split(alternative, "AND").iter().all(|term| {
            match term
                .strip_prefix('(')
                .and_then(|term| term.strip_suffix(')'))
            {
                Some(inner) => usable(inner),
                None => LICENCES.contains(&term.as_str()),
            }
        })
    })
}

/// Splits at an operator outside parentheses.
fn split(expression: &str, operator: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![Vec::new()], 0);
    for word in expression.split_whitespace() {
        if word == operator && depth == 0 {
            parts.push(Vec::new());
            continue;
        }
        depth += word.matches('(').count();
        depth -= word.matches(')').count();
        parts.last_mut().unwrap().push(word);
    }
    parts.iter().map(|words| words.join(" ")).collect()
}

/// Every Rust file of the repository, relative to its root.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![PathBuf::new()];
    while let Some(directory) = next.pop() {
        for entry in std::fs::read_dir(root().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && !name.starts_with('.') {
                    next.push(path);
                }
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
    words.any(|word| word == KEYWORD)
}

/// In two, since this file is searched too.
const KEYWORD: &str = concat!("un", "safe");
