//! Objects in standalone YAML files, read as strictly as `kubectl` and an API server would.

use k8s_openapi::api::core::v1::Pod as ApiPod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_yaml::Value;
use thiserror::Error;

use crate::api::StoqTransport;
use crate::{Invalid, ObjectName, Pod, Transport, Violation};

mod document;
mod strict;

use document::Document;

/// An object of a standalone file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Object {
    /// `stoq.io/v1alpha1` `StoqTransport`.
    Transport(Box<Transport>),
    /// `v1` `Pod`.
    Pod(Box<Pod>),
}

/// The kinds that STOQ reads from files.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `StoqTransport`.
    Transport,
    /// `Pod`.
    Pod,
}

/// A document that is not taken over.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("document {document} (line {line}): {fault}")]
pub struct Refused {
    /// Which document of the file, from 1; empty ones are not counted.
    pub document: usize,
    /// Line of the file on which it begins, from 1.
    pub line: usize,
    /// Kind and name, as far as they can be read: the last good state of that object stays.
    pub object: Option<(Kind, ObjectName)>,
    /// What is wrong with it.
    pub fault: Box<Fault>,
}

/// What is wrong with a document.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Fault {
    /// Not YAML.
    #[error("{0}")]
    Syntax(String),
    /// A kind that STOQ does not read.
    #[error("{field}: must be a StoqTransport (stoq.io/v1alpha1) or a Pod (v1), is {found:?}")]
    Kind {
        /// `apiVersion` or `kind`.
        field: &'static str,
        /// What it holds.
        found: String,
    },
    /// A field that the kind does not have.
    #[error("{field}: is not a field of {kind}")]
    UnknownField {
        /// Path of the field.
        field: String,
        /// The kind.
        kind: &'static str,
    },
    /// A field of another type.
    #[error("{field}: {reason}")]
    Type {
        /// Path of the field.
        field: String,
        /// What it should be.
        reason: String,
    },
    /// A field that does not hold what it must.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Fault {
    /// Path of the field, empty where the document as a whole is at fault.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Syntax(_) => "",
            Self::Kind { field, .. } => field,
            Self::UnknownField { field, .. } | Self::Type { field, .. } => field,
            Self::Invalid(invalid) => &invalid.field,
        }
    }
}

/// Reads every document of a file. One that is refused does not touch the others.
///
/// A `StoqTransport` may hold only fields that the kind has; a Pod may hold any, for newer
/// versions of Kubernetes add some.
#[must_use]
pub fn read_objects(text: &str) -> Vec<Result<Object, Refused>> {
    document::split(text).map(read_document).collect()
}

fn read_document(document: Document<'_>) -> Result<Object, Refused> {
    let refused = |object, fault| Refused {
        document: document.index,
        line: document.line,
        object,
        fault: Box::new(fault),
    };
    let value = document.parse().map_err(|e| refused(None, e))?;
    read_object(&value).map_err(|fault| refused(name_of(&value), fault))
}

fn read_object(value: &Value) -> Result<Object, Fault> {
    match (text_of(value, "apiVersion")?, text_of(value, "kind")?) {
        ("stoq.io/v1alpha1", "StoqTransport") => read_transport(value),
        ("v1", "Pod") => read_pod(value),
        (version, "StoqTransport" | "Pod") => Err(unknown_kind("apiVersion", version)),
        (_, kind) => Err(unknown_kind("kind", kind)),
    }
}

fn read_transport(value: &Value) -> Result<Object, Fault> {
    let (object, unknown) = strict::read::<StoqTransport>(value)?;
    if let Some(field) = unknown {
        let kind = "StoqTransport";
        return Err(Fault::UnknownField { field, kind });
    }
    let transport = Transport::parse(&object)?;
    Ok(Object::Transport(Box::new(transport)))
}

fn read_pod(value: &Value) -> Result<Object, Fault> {
    let (object, _) = strict::read::<ApiPod>(value)?;
    Ok(Object::Pod(Box::new(Pod::parse(&object)?)))
}

fn text_of<'a>(value: &'a Value, field: &'static str) -> Result<&'a str, Fault> {
    let text = value.get(field).and_then(Value::as_str);
    text.ok_or_else(|| Invalid::new(field, Violation::Required).into())
}

fn unknown_kind(field: &'static str, found: &str) -> Fault {
    let found = found.into();
    Fault::Kind { field, found }
}

fn name_of(value: &Value) -> Option<(Kind, ObjectName)> {
    let kind = match value.get("kind")?.as_str()? {
        "StoqTransport" => Kind::Transport,
        "Pod" => Kind::Pod,
        _ => return None,
    };
    let meta = value.get("metadata")?;
    let text = |key| Some(meta.get(key)?.as_str()?.to_owned());
    let meta = ObjectMeta {
        namespace: text("namespace"),
        name: text("name"),
        ..Default::default()
    };
    Some((kind, ObjectName::parse(&meta).ok()?))
}
