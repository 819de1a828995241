//! Somebody who talks to the API server, request by request, as on the wire.

use anyhow::Result;
use http::Request;
use kube::Client;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::control_plane::ControlPlane;

/// A client with the rights of one user. Not for use inside another runtime.
pub struct Caller {
    runtime: Runtime,
    client: Client,
}

/// What the API server answered: an object, or its words.
pub type Answer = Result<Value, String>;

impl Caller {
    /// The administrator.
    pub fn admin(control_plane: &ControlPlane) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(control_plane.client())?;
        Ok(Self { runtime, client })
    }

    /// Whom a token is for, as `kubectl create token` makes them.
    pub fn with_token(control_plane: &ControlPlane, token: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(control_plane.client_with_token(token))?;
        Ok(Self { runtime, client })
    }

    /// GET of a path, with its query.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "application/json", String::new())
    }

    /// DELETE of a path.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "application/json", String::new())
    }

    /// POST of an object.
    pub fn create(&self, path: &str, object: &Value) -> Answer {
        self.send("POST", path, "application/json", object.to_string())
    }

    /// POST of a text in YAML, as it is.
    pub fn create_yaml(&self, path: &str, text: &str) -> Answer {
        self.send("POST", path, "application/yaml", text.to_owned())
    }

    /// PATCH with what is to be changed.
    pub fn merge(&self, path: &str, change: &Value) -> Answer {
        let kind = "application/merge-patch+json";
        self.send("PATCH", path, kind, change.to_string())
    }

    /// Server-side apply of a text in YAML or JSON; the path has a query, with the field manager.
    pub fn apply(&self, path: &str, text: &str) -> Answer {
        let kind = "application/apply-patch+yaml";
        self.send("PATCH", path, kind, text.to_owned())
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: String) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("Content-Type", kind).body(body.into_bytes());
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.runtime.block_on(self.client.request::<Value>(request));
        answer.map_err(|error| error.to_string())
    }
}
