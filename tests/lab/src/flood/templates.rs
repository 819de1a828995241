//! The packets of each kind, ready for the kernel's slots.

use anyhow::Result;

use super::capture;
use super::kind::Kind;
use super::noise::Noise;
use super::options::Options;

const NOISE: usize = 64;

/// Frames, and for each kind its own among them.
#[derive(Debug)]
pub(super) struct Templates {
    pub(super) frames: Vec<Vec<u8>>,
    short_initial: Range,
    initial: Range,
    short_header: Range,
    loud: Range,
}

/// First frame and number of frames.
type Range = (u32, u32);

impl Templates {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let initials = capture::initials(options.initials, &options.server_name, &options.alpn)?;
        let mut noise = Noise::new(options.seed);
        let mut frames = Vec::new();
        let mut add = |packets: Vec<Vec<u8>>| {
            let first = frames.len() as u32;
            frames.extend(packets.iter().map(|packet| options.target.frame(packet)));
            (first, packets.len() as u32)
        };
        let short_initial = add((0..NOISE).map(|_| noise.short_initial()).collect());
        let short_header = add((0..NOISE).map(|_| noise.short_header()).collect());
        let loud = add(vec![noise.loud(options.loud)]);
        let initial = add(initials);
        Ok(Self {
            frames,
            short_initial,
            initial,
            short_header,
            loud,
        })
    }

    /// The frames of a kind.
    pub(super) fn of(&self, kind: Kind) -> Range {
        match kind {
            Kind::ShortInitial => self.short_initial,
            Kind::Initial | Kind::Denied => self.initial,
            Kind::ShortHeader => self.short_header,
            Kind::Loud => self.loud,
        }
    }
}
