//! Names of namespaced objects.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{Invalid, Violation};

const MAX_NAMESPACE: usize = 63;
const MAX_NAME: usize = 253;

/// Namespace and name: one object among those of its kind.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectName {
    /// Namespace; `default` where the object named none.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
}

impl ObjectName {
    /// Takes the name from an object's metadata.
    ///
    /// # Errors
    /// `metadata.name` or `metadata.namespace` is absent or not a name Kubernetes allows.
    pub fn parse(meta: &ObjectMeta) -> Result<Self, Invalid> {
        let namespace = meta.namespace.clone().unwrap_or_else(|| "default".into());
        check(&namespace, "metadata.namespace", MAX_NAMESPACE, is_label)?;
        let name = meta.name.clone();
        let name = name.ok_or_else(|| Invalid::new("metadata.name", Violation::Required))?;
        check(&name, "metadata.name", MAX_NAME, is_subdomain)?;
        Ok(Self { namespace, name })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

fn check(name: &str, field: &str, max: usize, shape: fn(&str) -> bool) -> Result<(), Invalid> {
    if name.len() <= max && shape(name) {
        return Ok(());
    }
    Err(Invalid::new(field, Violation::Name { max }))
}

fn is_subdomain(name: &str) -> bool {
    name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !label.is_empty()
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(namespace: Option<&str>, name: Option<&str>) -> ObjectMeta {
        ObjectMeta {
            namespace: namespace.map(Into::into),
            name: name.map(Into::into),
            ..Default::default()
        }
    }

    #[test]
    fn an_absent_namespace_is_default() {
        let name = ObjectName::parse(&meta(None, Some("edge"))).unwrap();
        assert_eq!(name.to_string(), "default/edge");
    }

    #[test]
    fn names_follow_rfc_1123() {
        for (namespace, name, field) in [
            (None, None, "metadata.name"),
            (None, Some(""), "metadata.name"),
            (None, Some("../etc"), "metadata.name"),
            (None, Some("Edge"), "metadata.name"),
            (None, Some("a..b"), "metadata.name"),
            (None, Some("-a"), "metadata.name"),
            (Some("a.b"), Some("edge"), "metadata.namespace"),
            (Some(""), Some("edge"), "metadata.namespace"),
        ] {
            let refused = ObjectName::parse(&meta(namespace, name)).unwrap_err();
            assert_eq!(refused.field, field, "{namespace:?} {name:?}");
        }
        assert!(ObjectName::parse(&meta(Some("prod-1"), Some("edge.v2"))).is_ok());
        assert!(ObjectName::parse(&meta(None, Some(&"a".repeat(254)))).is_err());
    }
}
