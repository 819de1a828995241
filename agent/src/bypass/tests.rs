use super::*;

const S: u64 = 1_000_000_000;
const NOW: u64 = 100 * S;

fn activity(uplink_in: u64, pod_in: u64, pod_out: u64) -> Activity {
    Activity {
        uplink_in,
        pod_in,
        pod_out,
        ..Activity::default()
    }
}

#[test]
fn what_the_uplink_and_the_interface_saw_is_evidence() {
    let ago = |tenths: u64| NOW - tenths * S / 10;
    for (case, activity, expected) in [
        ("quiet", activity(0, 0, 0), Evidence::None),
        ("normal", activity(NOW, NOW, NOW), Evidence::Own),
        ("a moment ago", activity(ago(1), ago(2), NOW), Evidence::Own),
        ("from the same node", activity(0, NOW, NOW), Evidence::Own),
        (
            "long ago at the uplink",
            activity(ago(100), NOW, NOW),
            Evidence::Own,
        ),
        ("past it", activity(NOW, 0, NOW), Evidence::Past),
        ("since 2 s", activity(NOW, ago(20), NOW), Evidence::Past),
        (
            "dropped on its way, and asked by a neighbour",
            activity(NOW, ago(20), ago(20)),
            Evidence::None,
        ),
        ("without an answer", activity(NOW, 0, 0), Evidence::None),
        (
            "answered long ago",
            activity(NOW, 0, ago(600)),
            Evidence::None,
        ),
        (
            "ended long ago",
            activity(ago(600), 0, ago(600)),
            Evidence::None,
        ),
        ("only sends", activity(0, 0, NOW), Evidence::Sends),
        ("sends since 2 s", activity(0, ago(20), NOW), Evidence::Own),
        (
            "sends since 6 s",
            activity(0, ago(60), NOW),
            Evidence::Sends,
        ),
        (
            "both fell silent",
            activity(0, ago(30), ago(29)),
            Evidence::Own,
        ),
    ] {
        assert_eq!(evidence(&activity, NOW), expected, "{case}");
    }
    let answers_at_uplink = Activity {
        uplink_out: NOW,
        ..activity(NOW, 0, 0)
    };
    assert_eq!(evidence(&answers_at_uplink, NOW), Evidence::Past);
}

#[test]
fn belief_follows_what_is_seen_each_second() {
    use Evidence::{None, Own, Past, Sends};
    const OWN: Way = Way::Own;
    const AWAY: Way = Way::Past {
        own_since: Option::None,
    };
    for (case, from, seen, expected) in [
        ("normal", OWN, vec![Own; 9], "own"),
        ("one-way media", OWN, vec![Sends; 60], "suspect"),
        (
            "ends",
            OWN,
            [vec![Sends; 3], vec![None; 31]].concat(),
            "own",
        ),
        (
            "is answered",
            OWN,
            [vec![Sends], vec![Own; 31]].concat(),
            "own",
        ),
        (
            "now and then",
            OWN,
            [vec![Sends; 9], vec![Own; 9]].concat(),
            "suspect",
        ),
        ("is past", OWN, vec![Sends, Sends, Past], "past"),
        ("stays while silent", AWAY, vec![None; 60], "past"),
        ("stays while it sends", AWAY, vec![Sends; 60], "past"),
        (
            "same node now and then",
            AWAY,
            [[Own, Own, Own, Past]; 9].concat(),
            "past",
        ),
        ("two-way again", AWAY, vec![Own; 6], "own"),
        ("not yet", AWAY, vec![Own; 5], "past"),
    ] {
        let looks = (0..).zip(&seen);
        let way = looks.fold(from, |way, (look, one)| way.after(*one, NOW + look * S));
        let name = match way {
            Way::Own => "own",
            Way::Suspect { .. } => "suspect",
            Way::Past { .. } => "past",
        };
        assert_eq!(name, expected, "{case}");
    }
}

#[test]
fn an_address_that_is_no_longer_looked_at_is_forgotten() {
    let [a, b]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
    let seen = BTreeMap::from([(a, Evidence::Past), (b, Evidence::Sends)]);
    let ways = Ways::default().after(&seen, NOW);
    let detours = Detours {
        bypassed: BTreeSet::from([a]),
        suspects: BTreeSet::from([b]),
    };
    assert_eq!(ways.detours(), detours);
    let seen = BTreeMap::from([(b, Evidence::Own)]);
    let detours = ways.after(&seen, NOW + S).detours();
    assert_eq!((detours.bypassed.len(), detours.suspects.len()), (0, 1));
}
