//! Kubeconfig files.

use std::net::SocketAddrV4;
use std::path::Path;

/// A kubeconfig: where the API server is, by which authority it is known, and one's token.
pub(crate) fn text(server: SocketAddrV4, authority: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: stoq
  cluster: {{server: \"https://{server}\", certificate-authority: \"{}\"}}
users:
- name: stoq
  user: {{token: \"{token}\"}}
contexts:
- name: stoq
  context: {{cluster: stoq, user: stoq}}
current-context: stoq
",
        authority.display()
    )
}
