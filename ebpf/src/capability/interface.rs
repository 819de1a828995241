use serde::Serialize;

use super::{Gate, Reason};
use crate::kernel::features::XdpFeatures;
use crate::kernel::interface::{self, Interface};
use crate::kernel::{self, features};
use crate::sys::KernelError;
use crate::xdp::XdpMode;

/// What an interface says about itself without being touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceReport {
    /// Name.
    pub name: String,
    /// Index.
    pub ifindex: u32,
    /// Driver, empty if it does not tell.
    pub driver: String,
    /// Maximum transmission unit, bytes.
    pub mtu: u32,
    /// Receive queues in use.
    pub queues: u32,
    /// Modes and ids of the XDP programs on it.
    pub xdp: Vec<(XdpMode, u32)>,
    /// What its driver declares.
    pub gates: Vec<Gate>,
}

/// Describes the interface of this name; `ENODEV` if there is none.
pub fn interface(name: &str) -> Result<InterfaceReport, KernelError> {
    let found = interface::by_name(name)?;
    Ok(InterfaceReport {
        driver: kernel::driver(name).unwrap_or_default(),
        queues: kernel::queues(name).unwrap_or(1),
        gates: gates(&found),
        ifindex: found.index,
        mtu: found.mtu,
        xdp: found.xdp.iter().map(|x| (x.mode, x.id)).collect(),
        name: found.name,
    })
}

fn gates(interface: &Interface) -> Vec<Gate> {
    let declared = features::xdp_features(interface.index);
    vec![
        declares("xdp-native", &declared, XdpFeatures::basic),
        declares("xdp-zero-copy", &declared, XdpFeatures::zero_copy),
    ]
}

/// A driver that declares nothing may still take a program: the attach decides.
fn declares(
    name: &'static str,
    declared: &Result<XdpFeatures, KernelError>,
    wanted: fn(XdpFeatures) -> bool,
) -> Gate {
    match declared {
        Err(error) => Gate::unknown(name, Reason::NotSupported, error.to_string()),
        Ok(features) if wanted(*features) => Gate::available(name),
        Ok(features) => {
            let message = format!("the driver declares XDP features: {features}");
            Gate::unavailable(name, Reason::NotSupported, message)
        }
    }
}
