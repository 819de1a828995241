//! Deserializing with the path of whatever does not fit.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_yaml::Value;

use super::Fault;
use crate::{Invalid, Violation};

/// Reads a `T` and the path of the first field that `T` does not have.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<(T, Option<String>), Fault> {
    let mut unknown = None;
    let mut note = |path: Path<'_>| {
        let path = path_text(&path);
        if unknown.is_none() && !TYPE.contains(&path.as_str()) {
            unknown = Some(path);
        }
    };
    let watched = serde_ignored::Deserializer::new(value, &mut note);
    let read = serde_path_to_error::deserialize(watched);
    let object = read.map_err(|e| fault(&e.path().to_string(), &e.inner().to_string()))?;
    Ok((object, unknown))
}

/// serde reports an absent field at the path of the object around it.
fn fault(path: &str, reason: &str) -> Fault {
    let missing = reason.strip_prefix("missing field `");
    if let Some(name) = missing.and_then(|s| s.strip_suffix('`')) {
        return Invalid::new(join(path, name), Violation::Required).into();
    }
    let field = if path == ROOT { "" } else { path };
    Fault::Type {
        field: field.into(),
        reason: reason.into(),
    }
}

/// What picked `T`; kube's types leave these two out.
const TYPE: [&str; 2] = ["apiVersion", "kind"];

/// How serde_path_to_error writes the document itself.
const ROOT: &str = ".";

fn path_text(path: &Path<'_>) -> String {
    match path {
        Path::Root => ROOT.into(),
        Path::Seq { parent, index } => format!("{}[{index}]", path_text(parent)),
        Path::Map { parent, key } => join(&path_text(parent), key),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => path_text(parent),
    }
}

fn join(path: &str, key: &str) -> String {
    if path == ROOT {
        return key.into();
    }
    format!("{path}.{key}")
}
