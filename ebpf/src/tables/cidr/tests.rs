use std::net::IpAddr;

use super::*;

fn nets(text: &str) -> Vec<IpNet> {
    text.split_whitespace()
        .map(|net| net.parse().unwrap())
        .collect()
}

fn spec(allow: &str, deny: &str, exempt: &str) -> PolicySpec {
    PolicySpec {
        allow: nets(allow),
        deny: nets(deny),
        exempt: nets(exempt),
        ..PolicySpec::default()
    }
}

/// What the trie answers: the flags of the longest match.
fn matched(cidrs: &Cidrs, source: IpAddr) -> Option<u32> {
    let covering = cidrs.iter().filter(|(net, _)| net.contains(&source));
    covering
        .max_by_key(|(net, _)| net.prefix_len())
        .map(|(_, flags)| *flags)
}

#[test]
fn a_prefix_says_what_all_that_cover_it_say() {
    let cases = [
        // allow, deny, exempt, source, flags
        ("", "10.0.0.0/8", "", "10.1.2.3", Some(DENY | ALLOW)),
        ("", "10.0.0.0/8", "", "11.1.2.3", None),
        (
            "10.1.0.0/16",
            "10.0.0.0/8",
            "",
            "10.1.2.3",
            Some(DENY | ALLOW),
        ),
        (
            "10.0.0.0/8",
            "10.1.0.0/16",
            "",
            "10.1.2.3",
            Some(DENY | ALLOW),
        ),
        ("10.0.0.0/8", "10.1.0.0/16", "", "10.2.2.3", Some(ALLOW)),
        (
            "10.0.0.0/8",
            "",
            "10.1.0.0/16",
            "10.1.2.3",
            Some(ALLOW | EXEMPT),
        ),
        (
            "10.1.0.0/16",
            "",
            "10.0.0.0/8",
            "10.1.2.3",
            Some(ALLOW | EXEMPT),
        ),
        ("10.1.0.0/16", "", "10.0.0.0/8", "10.2.2.3", Some(EXEMPT)),
        ("", "", "10.0.0.0/8", "10.2.2.3", Some(ALLOW | EXEMPT)),
        ("0.0.0.0/0", "", "", "2001:db8::1", None),
        (
            "::/0",
            "2001:db8::/32",
            "",
            "2001:db8::1",
            Some(ALLOW | DENY),
        ),
        (
            "10.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0",
            Some(ALLOW | DENY | EXEMPT),
        ),
        ("10.0.0.9/8", "", "", "10.9.0.1", Some(ALLOW)),
    ];
    for (allow, deny, exempt, source, flags) in cases {
        let folded = fold(&spec(allow, deny, exempt));
        let found = matched(&folded, source.parse().unwrap());
        assert_eq!(found, flags, "{allow:?} {deny:?} {exempt:?}: {source}");
    }
}

#[test]
fn a_sibling_inherits_nothing() {
    let folded = fold(&spec(
        "10.0.0.0/8",
        "10.1.0.0/16 10.1.1.0/24",
        "10.2.0.0/16",
    ));
    let flags = |net: &str| folded.get(&net.parse().unwrap()).copied();
    assert_eq!(flags("10.1.1.0/24"), Some(ALLOW | DENY));
    assert_eq!(flags("10.2.0.0/16"), Some(ALLOW | EXEMPT));
}

#[test]
fn equal_sets_need_no_change() {
    let folded = fold(&spec("10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"));
    assert_eq!(changes(&folded, &folded), Changes::default());
}

#[test]
fn at_every_step_a_source_gets_its_old_flags_or_its_new_ones() {
    let specs = [
        spec("", "", ""),
        spec("", "10.0.0.0/8", ""),
        spec("", "10.1.2.0/24", "10.1.0.0/16"),
        spec("10.1.0.0/16", "10.1.2.0/24", ""),
        spec("10.1.2.0/24", "", "10.0.0.0/8"),
        spec("10.1.2.3/32", "10.1.0.0/16", "10.1.2.0/24"),
        spec("", "10.0.0.0/8 10.1.2.3/32", "10.1.2.0/25"),
    ];
    let sources = [
        "10.1.2.3",
        "10.1.2.77",
        "10.1.2.200",
        "10.1.9.9",
        "10.9.9.9",
        "11.0.0.1",
    ];
    for (from, to) in specs.iter().flat_map(|a| specs.iter().map(move |b| (a, b))) {
        let (old, new) = (fold(from), fold(to));
        for (step, now) in steps(&old, &new).iter().enumerate() {
            for source in sources.map(|s| s.parse().unwrap()) {
                let seen = matched(now, source);
                let fair = [matched(&old, source), matched(&new, source)];
                assert!(
                    fair.contains(&seen),
                    "{old:?} -> {new:?}, step {step}: {source} {seen:?}"
                );
            }
        }
    }
}

/// The set after each single write, up to the last.
fn steps(old: &Cidrs, new: &Cidrs) -> Vec<Cidrs> {
    let mut now = old.clone();
    let mut all = vec![now.clone()];
    let changes = changes(old, new);
    for (net, flags) in changes.puts {
        now.insert(net, flags);
        all.push(now.clone());
    }
    for net in changes.removals {
        now.remove(&net);
        all.push(now.clone());
    }
    assert_eq!(now, *new);
    all
}
