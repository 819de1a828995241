//! Which requests of STOQ's service accounts the API server allowed, from its own audit log.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// Only what these accounts do is written: everybody else's requests are many.
const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ['system:serviceaccounts:stoq-system']}
- {level: None}
";

/// A right that was used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// Who, such as `system:serviceaccount:stoq-system:stoq-agent`.
    pub user: String,
    /// What they did.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// With the subresource, as in `pods/exec`.
    pub resource: String,
    /// Where; empty for all namespaces and for what has none.
    pub namespace: String,
    /// To which object; empty for a collection without a selector by name.
    pub name: String,
}

/// Where the API server reads its policy and writes its log.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    directory: PathBuf,
}

impl Audit {
    /// Writes the policy into a directory.
    pub(crate) fn prepare(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let audit = Self {
            directory: directory.to_owned(),
        };
        fs::write(audit.policy(), POLICY)?;
        Ok(audit)
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.directory.join("audit.yaml")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("audit.log")
    }

    /// What was used so far.
    pub(crate) fn uses(&self) -> Result<BTreeSet<Use>> {
        let path = self.log();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(uses(&text))
    }
}

/// What the lines of a log tell; the last one may still be in writing.
fn uses(log: &str) -> BTreeSet<Use> {
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    events.flat_map(|event: Value| of_event(&event)).collect()
}

/// None for what was forbidden and what is no resource; two for a patch that made its object,
/// which takes the right to create as well.
fn of_event(event: &Value) -> Vec<Use> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let resource = text("/objectRef/resource");
    let decision = text("/annotations/authorization.k8s.io~1decision");
    let (Some(resource), Some("allow")) = (resource, decision) else {
        return Vec::new();
    };
    let word = |pointer| text(pointer).unwrap_or_default().to_owned();
    let used = |verb: String| Use {
        user: word("/user/username"),
        verb,
        group: word("/objectRef/apiGroup"),
        resource: match text("/objectRef/subresource") {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        },
        namespace: word("/objectRef/namespace"),
        name: word("/objectRef/name"),
    };
    let verb = word("/verb");
    let made = verb == "patch" && event.pointer("/responseStatus/code") == Some(&201.into());
    let created = made.then(|| used("create".into()));
    created.into_iter().chain([used(verb)]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(verb: &str, code: u16, decision: &str, object: &Value) -> String {
        json!({
            "verb": verb, "user": {"username": "agent"}, "objectRef": object,
            "responseStatus": {"code": code},
            "annotations": {"authorization.k8s.io/decision": decision},
        })
        .to_string()
    }

    fn used(verb: &str, resource: &str, name: &str) -> Use {
        Use {
            user: "agent".into(),
            verb: verb.into(),
            group: "stoq.io".into(),
            resource: resource.into(),
            namespace: String::new(),
            name: name.into(),
        }
    }

    #[test]
    fn what_was_allowed_is_told_and_the_rest_is_not() {
        let node = json!({"resource": "stoqnodes", "apiGroup": "stoq.io", "name": "a"});
        let status = json!({"resource": "stoqnodes", "subresource": "status", "apiGroup": "stoq.io", "name": "a"});
        let all = json!({"resource": "stoqnodes", "apiGroup": "stoq.io"});
        let cases = [
            (
                event("patch", 200, "allow", &status),
                vec![used("patch", "stoqnodes/status", "a")],
            ),
            (
                event("patch", 201, "allow", &node),
                vec![
                    used("create", "stoqnodes", "a"),
                    used("patch", "stoqnodes", "a"),
                ],
            ),
            (
                event("watch", 200, "allow", &all),
                vec![used("watch", "stoqnodes", "")],
            ),
            (event("list", 403, "forbid", &all), vec![]),
            (event("get", 200, "allow", &Value::Null), vec![]),
            ("{\"verb\": \"li".into(), vec![]),
        ];
        for (line, expected) in cases {
            assert_eq!(uses(&line), expected.into_iter().collect(), "{line}");
        }
    }
}
