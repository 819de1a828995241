//! A real Kubernetes on one machine: etcd, API server and controllers in a network namespace, and
//! nodes with kubelet, containerd, CNI and kube-proxy in theirs, up until dropped.
//!
//! [`ControlPlane::start`] is enough for what only talks to the API; [`Cluster::start`] has nodes
//! that run pods. Any number of both may run at once.

mod access;
mod arguments;
pub mod audit;
pub mod caller;
pub mod cli;
pub mod cluster;
pub mod control_plane;
mod credentials;
pub mod image;
pub mod images;
pub mod kube_binary;
mod kubeconfig;
mod logs;
pub mod machine;
pub mod node;
pub mod proxy;
pub mod rbac;
pub mod requirements;
pub mod service;
pub mod stoq;
pub mod sweep;
pub mod topology;

pub use audit::Use;
pub use caller::Caller;
pub use cluster::{Cluster, ClusterOptions};
pub use control_plane::ControlPlane;
pub use image::Image;
pub use machine::Machine;
pub use node::{Cni, Node, NodeOptions, ProxyMode};
pub use requirements::{may_run, turn};
pub use service::Service;
pub use sweep::sweep;
