//! What the kubelet speaks, as generated from `proto/`.

/// Devices, version v1beta1.
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated"
)]
pub(super) mod v1beta1 {
    tonic::include_proto!("v1beta1");
}

/// Who holds them, version v1.
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated"
)]
pub(super) mod v1 {
    tonic::include_proto!("v1");
}
