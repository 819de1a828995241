//! Which Node object the agent's node is.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;

use super::ClusterOptions;

/// Where a pod finds its token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Uid of the Node: as the options say, or the token that is bound to the agent's pod. No right to
/// read nodes is needed.
pub(super) fn node_uid(options: &ClusterOptions) -> Option<String> {
    let from_token = || uid_in(&std::fs::read_to_string(TOKEN).ok()?, &options.node);
    options.node_uid.clone().or_else(from_token)
}

/// What a token says of the node of its pod. Its signature is not ours to check: it is our own.
fn uid_in(token: &str, node: &str) -> Option<String> {
    let payload = token.trim().split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&decode(payload)?).ok()?;
    let claimed = &claims["kubernetes.io"]["node"];
    let uid = (claimed["name"] == node).then(|| claimed["uid"].as_str())?;
    uid.map(str::to_owned)
}

/// Base64 for URLs, without padding (RFC 4648, 5).
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for digit in text.trim_end_matches('=').bytes() {
        bits = (bits << 6) | u32::from(value(digit)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// Whose the StoqNode is: it goes with the node.
pub(super) fn owner(node: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.into(),
        uid: uid.into(),
        ..OwnerReference::default()
    }
}

/// The Node, for events about it. Kubelets name it by its name where they do not know its uid.
pub(super) fn reference(node: &str, uid: Option<&str>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(node.into()),
        uid: Some(uid.unwrap_or(node).into()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"kubernetes.io":{"node":{"name":"node-a","uid":"u-1"}},"sub":"ÿ?>"}`
    const PAYLOAD: &str = "eyJrdWJlcm5ldGVzLmlvIjp7Im5vZGUiOnsibmFtZSI6Im5vZGUtYSIsInVpZCI6InUtMSJ9fSwic3ViIjoiw78_PiJ9";

    #[test]
    fn a_bound_token_tells_the_uid_of_its_node_alone() {
        let token = format!("e30.{PAYLOAD}.c2ln\n");
        for (token, node, uid) in [
            (token.as_str(), "node-a", Some("u-1")),
            (token.as_str(), "node-b", None),
            ("e30.e30.e30", "node-a", None),
            ("opaque", "node-a", None),
            ("a.!.b", "node-a", None),
        ] {
            assert_eq!(uid_in(token, node).as_deref(), uid, "{token} {node}");
        }
    }
}
