//! The stack of functions that call each other, as the strictest kernel counts it.
//!
//! Linux 5.10 gives each a multiple of 32 bytes and all of them 512 (`check_max_stack_depth`,
//! kernel/bpf/verifier.c); newer ones round to 16, so that to load here proves nothing there.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

use std::collections::{BTreeMap, BTreeSet};

use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../programs/stoq.bpf.o");

const PROGRAMS: [&str; 7] = [
    "stoq_uplink",
    "stoq_relay",
    "stoq_direct",
    "stoq_uplink_in",
    "stoq_uplink_out",
    "stoq_pod_in",
    "stoq_pod_out",
];
const GRAIN: u32 = 32;
const LIMIT: u32 = 512;

/// What one function takes, and whom it calls.
#[derive(Debug, Default)]
struct Function {
    stack: u32,
    calls: BTreeSet<String>,
}

/// One instruction (`struct bpf_insn`).
struct Instruction {
    code: u8,
    to: u8,
    from: u8,
    offset: i16,
    number: i32,
}

#[test]
fn every_program_s_deepest_calls_fit() {
    let functions = functions(&ElfFile64::parse(OBJECT).unwrap());
    for program in PROGRAMS {
        let depth = depth(&functions, program);
        eprintln!("{program}: {depth} bytes");
        assert!((1..=LIMIT).contains(&depth), "{program}: {depth} bytes");
    }
}

fn depth(functions: &BTreeMap<String, Function>, name: &str) -> u32 {
    let function = &functions[name];
    let below = function.calls.iter().map(|called| depth(functions, called));
    function.stack.max(1).next_multiple_of(GRAIN) + below.max().unwrap_or(0)
}

fn functions(elf: &ElfFile64<'_>) -> BTreeMap<String, Function> {
    let all = elf.symbols();
    let all = all.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() != 0);
    all.map(|symbol| {
        let section = elf.section_by_index(symbol.section_index().unwrap());
        let section = section.unwrap();
        let range = symbol.address()..symbol.address() + symbol.size();
        let code = &section.data().unwrap()[range.start as usize..range.end as usize];
        let calls = section.relocations();
        let calls = calls.filter(|(at, _)| range.contains(at));
        let called = calls.filter_map(|(at, relocation)| {
            let call = instruction(&code[(at - range.start) as usize..][..8]);
            match relocation.target() {
                RelocationTarget::Symbol(index) if call.is_call() => {
                    callee(elf, index, call.number)
                }
                _ => None,
            }
        });
        let function = Function {
            stack: stack(code),
            calls: called.collect(),
        };
        (symbol.name().unwrap().to_owned(), function)
    })
    .collect()
}

/// A function with a symbol of its own, or the one at an offset of the section's.
fn callee(elf: &ElfFile64<'_>, index: object::SymbolIndex, number: i32) -> Option<String> {
    let symbol = elf.symbol_by_index(index).unwrap();
    if symbol.kind() == SymbolKind::Text {
        return Some(symbol.name().unwrap().to_owned());
    }
    let at = u64::try_from((number + 1) * 8).unwrap();
    let mut all = elf.symbols();
    let found = all.find(|one| {
        one.kind() == SymbolKind::Text
            && one.section_index() == symbol.section_index()
            && one.address() == at
    });
    Some(found?.name().unwrap().to_owned())
}

/// The farthest below the frame pointer that is read, written or pointed at.
fn stack(code: &[u8]) -> u32 {
    let mut farthest = 0;
    // Registers that hold the frame pointer.
    let mut frame = BTreeSet::from([FRAME]);
    for one in code.chunks_exact(8).map(instruction) {
        let offset = match one.code & 7 {
            LOAD if one.from == FRAME => one.offset.into(),
            STORE | STORE_REGISTER if one.to == FRAME => one.offset.into(),
            _ if one.code == ADD && frame.contains(&one.to) => one.number,
            _ => 0,
        };
        farthest = farthest.min(offset);
        if one.code == MOVE && one.from == FRAME {
            frame.insert(one.to);
        } else if one.writes_register() && one.to != FRAME {
            frame.remove(&one.to);
        }
    }
    farthest.unsigned_abs()
}

const FRAME: u8 = 10;
/// Classes: `BPF_LDX`, `BPF_ST`, `BPF_STX`.
const LOAD: u8 = 1;
const STORE: u8 = 2;
const STORE_REGISTER: u8 = 3;
/// `BPF_ALU64` with a constant, and with a register.
const ADD: u8 = 0x07;
const MOVE: u8 = 0xbf;

impl Instruction {
    fn is_call(&self) -> bool {
        self.code == 0x85
    }

    /// Classes: `BPF_LD`, `BPF_LDX`, `BPF_ALU`, `BPF_ALU64`.
    fn writes_register(&self) -> bool {
        matches!(self.code & 7, 0 | 1 | 4 | 7)
    }
}

fn instruction(bytes: &[u8]) -> Instruction {
    let bytes: [u8; 8] = bytes.try_into().unwrap();
    let [code, registers, a, b, number @ ..] = bytes;
    Instruction {
        code,
        to: registers & 15,
        from: registers >> 4,
        offset: i16::from_le_bytes([a, b]),
        number: i32::from_le_bytes(number),
    }
}
