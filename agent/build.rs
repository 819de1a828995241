//! Compiles what the kubelet speaks.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["proto/device-plugin.proto", "proto/pod-resources.proto"];
    for proto in protos {
        println!("cargo:rerun-if-changed={proto}");
    }
    let compiled = protox::compile(protos, ["proto"])?;
    Ok(tonic_prost_build::configure().compile_fds(compiled)?)
}
