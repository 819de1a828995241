//! A newer build of the agent: its BPF programs differ from those that the tests were built with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::agent::binary;

static OBJECT: &[u8] = include_bytes!("../../../../ebpf/programs/stoq.bpf.o");

/// Makes it in this directory: a copy of the agent in whose programs every constant is moved by the
/// 32-bit instruction instead of the 64-bit one. They mean the same, and no tag stays.
pub(crate) fn build(directory: &Path) -> PathBuf {
    let mut agent = fs::read(binary().unwrap()).unwrap();
    let object = find(&agent, OBJECT);
    for (start, length) in code(OBJECT) {
        let code = &mut agent[object + start..][..length];
        assert!(code.chunks_exact_mut(8).filter_map(narrow).count() > 0);
    }
    let path = directory.join("stoq-agent-newer");
    fs::write(&path, agent).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn find(all: &[u8], part: &[u8]) -> usize {
    let mut windows = all.windows(part.len());
    let found = windows.position(|window| window == part);
    assert!(
        found.is_some(),
        "the agent was built with another stoq.bpf.o"
    );
    found.unwrap()
}

/// `r = n` becomes `w = n`: the same for what is not negative.
fn narrow(instruction: &mut [u8]) -> Option<()> {
    const MOVE_64: u8 = 0xb7;
    const MOVE_32: u8 = 0xb4;
    let negative = instruction[7] & 0x80 != 0;
    (instruction[0] == MOVE_64 && !negative).then(|| instruction[0] = MOVE_32)
}

/// Where the sections with instructions are in an ELF object, and how long.
fn code(object: &[u8]) -> Vec<(usize, usize)> {
    const SECTION: usize = 64;
    const EXECUTABLE: u64 = 4;
    let number = |at: usize| u64::from_le_bytes(object[at..at + 8].try_into().unwrap());
    let table = number(0x28) as usize;
    let count = u16::from_le_bytes(object[0x3c..0x3e].try_into().unwrap());
    let headers = (0..usize::from(count)).map(|index| table + index * SECTION);
    let code = headers.filter(|header| number(header + 8) & EXECUTABLE != 0);
    code.map(|header| (number(header + 24) as usize, number(header + 32) as usize))
        .filter(|(_, length)| *length > 0)
        .collect()
}
