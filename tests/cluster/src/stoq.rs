//! STOQ itself on a cluster: images of its programs, and what deploy/ says.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cluster::Cluster;
use crate::image::Image;
use crate::images;

/// The version that deploy/ names.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The namespace it is installed in.
pub const NAMESPACE: &str = "stoq-system";

const ROLLOUT: &str = "--timeout=120s";

/// A program of STOQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// One on each node.
    Agent,
    /// Two of them, one leads.
    Operator,
}

impl Program {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Agent, Self::Operator];

    /// The name of its image without the version, as deploy/ has it.
    pub fn repository(self) -> &'static str {
        match self {
            Self::Agent => "registry.invalid/stoq/agent",
            Self::Operator => "registry.invalid/stoq/operator",
        }
    }

    /// Name of its binary.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Agent => "stoq-agent",
            Self::Operator => "stoq-operator",
        }
    }

    /// As kubectl names what runs it.
    pub fn workload(self) -> &'static str {
        match self {
            Self::Agent => "daemonset/stoq-agent",
            Self::Operator => "deployment/stoq-operator",
        }
    }

    fn container(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }

    fn user(self) -> &'static str {
        match self {
            Self::Agent => "",
            Self::Operator => "65532:65532",
        }
    }

    /// The image of a given binary, under a version of one's own.
    pub fn image(self, version: &str, binary: &Path) -> Result<Image> {
        let path = format!("/{}", self.binary());
        let image = Image::new(&format!("{}:{version}", self.repository()));
        let image = image.program(&path, binary)?.entrypoint(&[&path]);
        Ok(image.user(self.user()))
    }
}

/// Where the manifests are.
pub fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Installs what `cargo build --bins` has built, and waits until all of it is ready.
pub fn install(cluster: &Cluster) -> Result<()> {
    for program in Program::ALL {
        load(cluster, program, VERSION, &images::built(program.binary())?)?;
    }
    apply(cluster)?;
    let mut programs = Program::ALL.into_iter();
    programs.try_for_each(|program| wait_rolled_out(cluster, program))
}

/// Gives every node the image of a binary, under a version of one's own.
pub fn load(cluster: &Cluster, program: Program, version: &str, binary: &Path) -> Result<()> {
    let file = format!("{}-{version}.tar", program.binary());
    let path = cluster.control_plane.directory().join(file);
    program.image(version, binary)?.write(&path)?;
    cluster.load_image(&path)
}

/// Applies the manifests; waits for nothing.
pub fn apply(cluster: &Cluster) -> Result<()> {
    cluster.control_plane.apply_stoq()
}

/// Moves a program to another version, which every node has been given, and waits until all run it.
pub fn roll(cluster: &Cluster, program: Program, version: &str) -> Result<()> {
    let image = format!("{}={}:{version}", program.container(), program.repository());
    cluster.kubectl(&["-n", NAMESPACE, "set", "image", program.workload(), &image])?;
    wait_rolled_out(cluster, program)
}

/// Waits until every pod of a program is of its latest template, and ready.
pub fn wait_rolled_out(cluster: &Cluster, program: Program) -> Result<()> {
    let workload = program.workload();
    cluster.kubectl(&["-n", NAMESPACE, "rollout", "status", workload, ROLLOUT])?;
    Ok(())
}
