//! Keeps what the cluster is told small: thousands of nodes tell it every minute.

use stoq_crds::api::StoqNodeStatus;

use super::shortened;

/// Bytes of the status as JSON, at most, as long as the rest without messages is that small.
pub const LIMIT: usize = 8 << 10;
/// Lengths of messages to try, characters.
const LENGTHS: [usize; 4] = [256, 128, 64, 0];

pub(super) fn fit(mut status: StoqNodeStatus) -> StoqNodeStatus {
    for length in LENGTHS {
        if size(&status) < LIMIT {
            break;
        }
        messages(&mut status).for_each(|message| *message = shortened(message, length));
    }
    status
}

/// `stoq-agent status` has them whole.
fn messages(status: &mut StoqNodeStatus) -> impl Iterator<Item = &mut String> {
    let gates = status.gates.iter_mut().map(|one| &mut one.message);
    let interfaces = status.interfaces.iter_mut().map(|one| &mut one.message);
    let transports = status.transports.iter_mut().map(|one| &mut one.message);
    gates.chain(interfaces).chain(transports)
}

fn size(status: &StoqNodeStatus) -> usize {
    serde_json::to_vec(status).map_or(0, |json| json.len())
}
