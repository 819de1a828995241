//! What STOQ's service accounts may do, as deploy/20-rbac.yaml grants it.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::audit::Use;

/// A rule of a role, for the account that the role is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Name of the service account.
    pub account: String,
    /// User name of the service account.
    pub user: String,
    /// The namespace it holds in; none for all and for what has none.
    pub namespace: Option<String>,
    /// API groups, resources, verbs and names as the rule lists them.
    pub rights: Rights,
    /// The comment above the rule.
    pub reason: String,
}

/// The rule as Kubernetes reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rights {
    /// API groups, empty for core.
    pub api_groups: Vec<String>,
    /// With subresources, as in `pods/exec`.
    pub resources: Vec<String>,
    /// What may be done.
    pub verbs: Vec<String>,
    /// To which objects; empty for all.
    #[serde(default)]
    pub resource_names: Vec<String>,
}

/// The rules of a manifest of roles, service accounts and bindings, in its order; an error if one
/// has no reason, or a role is not bound to one service account.
pub fn rules(manifest: &str) -> Result<Vec<Rule>> {
    let documents: Vec<&str> = manifest.split("\n---\n").collect();
    let objects = documents.iter().map(|text| serde_yaml::from_str(text));
    let objects: Vec<Value> = objects.collect::<Result<_, _>>()?;
    let mut rules = Vec::new();
    for (text, object) in documents.iter().zip(&objects) {
        let Some(rights) = object.get("rules") else {
            continue;
        };
        let role = &object["metadata"]["name"];
        let (account, user) = bound(object, &objects).with_context(|| format!("role {role}"))?;
        let rights: Vec<Rights> = serde_json::from_value(rights.clone())?;
        let reasons = reasons(text);
        ensure!(reasons.len() == rights.len(), "{role}: rules and reasons");
        for (rights, reason) in rights.into_iter().zip(reasons) {
            ensure!(!reason.is_empty(), "{role}: no reason for {rights:?}");
            rules.push(Rule {
                account: account.clone(),
                user: user.clone(),
                namespace: namespace(object),
                rights,
                reason,
            });
        }
    }
    ensure!(!rules.is_empty(), "no rules");
    Ok(rules)
}

/// The service account a role is bound to, by its name and as a user.
fn bound(role: &Value, objects: &[Value]) -> Result<(String, String)> {
    let refers = |binding: &&Value| {
        binding["roleRef"]["kind"] == role["kind"]
            && binding["roleRef"]["name"] == role["metadata"]["name"]
            && binding["metadata"].get("namespace") == role["metadata"].get("namespace")
    };
    let subjects: Vec<&Value> = objects
        .iter()
        .filter(refers)
        .filter_map(|binding| binding["subjects"].as_array())
        .flatten()
        .collect();
    let [subject] = subjects[..] else {
        bail!("must have one subject, has {}", subjects.len());
    };
    ensure!(subject["kind"] == "ServiceAccount", "{subject}");
    let word = |key: &str| subject[key].as_str().context("subject");
    let (name, namespace) = (word("name")?, word("namespace")?);
    let user = format!("system:serviceaccount:{namespace}:{name}");
    Ok((name.to_owned(), user))
}

fn namespace(object: &Value) -> Option<String> {
    let namespace = object["metadata"]["namespace"].as_str()?;
    Some(namespace.to_owned())
}

/// The comment lines right above each rule, which YAML knows nothing of.
fn reasons(role: &str) -> Vec<String> {
    let (mut reasons, mut comment) = (Vec::new(), Vec::new());
    for line in role.lines() {
        if let Some(words) = line.trim_start().strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        if line.trim_start().starts_with("- apiGroups:") {
            reasons.push(comment.join(" "));
        }
        comment.clear();
    }
    reasons
}

/// What the rules grant and nobody used, a line each: account, verb, resource, where.
pub fn unused(rules: &[Rule], uses: &BTreeSet<Use>) -> Vec<String> {
    let grants = rules.iter().flat_map(grants);
    let unused = grants.filter(|grant| !uses.iter().any(|used| grant.covers(used)));
    unused.map(|grant| grant.to_string()).collect()
}

/// One verb on one resource.
struct Grant<'a> {
    rule: &'a Rule,
    group: &'a str,
    resource: &'a str,
    verb: &'a str,
}

fn grants(rule: &Rule) -> Vec<Grant<'_>> {
    let rights = &rule.rights;
    let mut grants = Vec::new();
    for group in &rights.api_groups {
        for resource in &rights.resources {
            for verb in &rights.verbs {
                grants.push(Grant {
                    rule,
                    group,
                    resource,
                    verb,
                });
            }
        }
    }
    grants
}

impl Grant<'_> {
    fn covers(&self, used: &Use) -> bool {
        let names = &self.rule.rights.resource_names;
        let somewhere = self.rule.namespace.as_ref();
        used.user == self.rule.user
            && (&*used.group, &*used.resource, &*used.verb)
                == (self.group, self.resource, self.verb)
            && somewhere.is_none_or(|namespace| *namespace == used.namespace)
            && (names.is_empty() || names.contains(&used.name))
    }
}

impl fmt::Display for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.rule.account, self.verb, self.resource)?;
        for name in &self.rule.rights.resource_names {
            write!(f, "/{name}")?;
        }
        match &self.rule.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// The rules as a table for a page of documentation.
pub fn table(rules: &[Rule]) -> String {
    let mut table = "| account | may | what | in | why |\n|---|---|---|---|---|\n".to_owned();
    for rule in rules {
        let rights = &rule.rights;
        let namespace = rule.namespace.as_deref().unwrap_or("the cluster");
        table += &format!(
            "| {} | {} | {} | {namespace} | {} |\n",
            rule.account,
            rights.verbs.join(", "),
            what(rights),
            rule.reason
        );
    }
    table
}

/// Resources as kubectl writes them, and the names it is about.
fn what(rights: &Rights) -> String {
    let mut what = Vec::new();
    for group in &rights.api_groups {
        for resource in &rights.resources {
            let (kind, subresource) = match resource.split_once('/') {
                Some((kind, subresource)) => (kind, format!("/{subresource}")),
                None => (resource.as_str(), String::new()),
            };
            let group = match group.as_str() {
                "" => String::new(),
                group => format!(".{group}"),
            };
            what.push(format!("`{kind}{group}{subresource}`"));
        }
    }
    let names = rights.resource_names.iter();
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        what.join(", ")
    } else {
        format!("{} named {}", what.join(", "), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "kind: Role
metadata: {name: r, namespace: ns}
rules:
# To read
# the one.
- apiGroups: ['']
  resources: [configmaps]
  resourceNames: [one]
  verbs: [get, patch]
# To run.
- apiGroups: [apps, batch]
  resources: [things/status]
  verbs: [list]
---
kind: RoleBinding
metadata: {name: r, namespace: ns}
roleRef: {kind: Role, name: r}
subjects: [{kind: ServiceAccount, name: a, namespace: ns}]
";

    fn used(verb: &str, group: &str, resource: &str, name: &str) -> Use {
        Use {
            user: "system:serviceaccount:ns:a".into(),
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: "ns".into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_rule_has_the_account_it_is_for_and_its_reason() {
        let rules = rules(MANIFEST).unwrap();
        let told: Vec<_> = rules
            .iter()
            .map(|rule| (rule.account.as_str(), rule.reason.as_str()))
            .collect();
        assert_eq!(told, [("a", "To read the one."), ("a", "To run.")]);
        assert_eq!(rules[0].namespace.as_deref(), Some("ns"));
    }

    #[test]
    fn a_rule_without_reason_or_account_is_refused() {
        let without_reason = MANIFEST.replace("# To run.\n", "");
        let words = rules(&without_reason).unwrap_err().to_string();
        assert!(words.contains("no reason"), "{words}");
        let unbound = MANIFEST.replace("kind: Role, name: r}", "kind: Role, name: s}");
        let words = format!("{:#}", rules(&unbound).unwrap_err());
        assert!(words.contains("must have one subject, has 0"), "{words}");
    }

    #[test]
    fn what_nobody_used_is_told() {
        let everything = [
            used("get", "", "configmaps", "one"),
            used("patch", "", "configmaps", "one"),
            used("list", "apps", "things/status", ""),
            used("list", "batch", "things/status", "x"),
        ];
        let elsewhere = Use {
            namespace: "default".into(),
            ..everything[0].clone()
        };
        let somebody = Use {
            user: "somebody".into(),
            ..everything[0].clone()
        };
        let get = "a: get configmaps/one in ns";
        let cases: [(Vec<Use>, Vec<&str>); 5] = [
            (everything.to_vec(), vec![]),
            (
                everything[1..3].to_vec(),
                vec![get, "a: list things/status in ns"],
            ),
            (
                [&everything[1..], &[used("get", "", "configmaps", "other")]].concat(),
                vec![get],
            ),
            ([&everything[1..], &[elsewhere]].concat(), vec![get]),
            ([&everything[1..], &[somebody]].concat(), vec![get]),
        ];
        let rules = rules(MANIFEST).unwrap();
        for (uses, expected) in cases {
            let told = unused(&rules, &uses.iter().cloned().collect());
            assert_eq!(told, expected, "{uses:?}");
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_rule() {
        let table = table(&rules(MANIFEST).unwrap());
        let lines: Vec<_> = table.lines().skip(2).collect();
        let expected = [
            "| a | get, patch | `configmaps` named `one` | ns | To read the one. |",
            "| a | list | `things.apps/status`, `things.batch/status` | ns | To run. |",
        ];
        assert_eq!(lines, expected);
    }
}
