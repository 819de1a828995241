//! Events on a transport: when Accepted, Ready or Degraded change, and not more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};
use stoq_crds::Reason;
use stoq_crds::api::StoqTransportStatus;

/// Longest note that the API server takes.
const NOTE: usize = 1024;

/// The events of a status that was written over another.
pub(crate) fn events(
    before: Option<&StoqTransportStatus>,
    now: &StoqTransportStatus,
) -> Vec<Event> {
    let before = before.map_or(&[][..], |status| &status.conditions);
    let news = now.conditions.iter().filter(|one| is_news(before, one));
    news.map(event).collect()
}

/// A transport begins without troubles: that is none.
fn is_news(before: &[Condition], now: &Condition) -> bool {
    match before.iter().find(|one| one.type_ == now.type_) {
        Some(before) => (&before.status, &before.reason) != (&now.status, &now.reason),
        None => now.type_ != "Degraded" || now.status == "True",
    }
}

fn event(of: &Condition) -> Event {
    let mut note = format!("{} is {}: {}", of.type_, of.status, of.message);
    note.truncate(note.floor_char_boundary(NOTE));
    Event {
        type_: match (of.type_.as_str(), of.status.as_str()) {
            ("Degraded", "False") | ("Accepted" | "Ready", "True") => EventType::Normal,
            // Every new spec is that for a moment.
            _ if of.reason == Reason::Pending.as_str() => EventType::Normal,
            _ => EventType::Warning,
        },
        reason: of.reason.clone(),
        note: Some(note),
        action: of.type_.clone(),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::at;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn status(conditions: &[(&str, &str, &str)]) -> StoqTransportStatus {
        let conditions = conditions.iter().map(|(type_, status, reason)| Condition {
            type_: (*type_).into(),
            status: (*status).into(),
            reason: (*reason).into(),
            message: "words".into(),
            last_transition_time: Time(at(0)),
            observed_generation: None,
        });
        StoqTransportStatus {
            conditions: conditions.collect(),
            ..StoqTransportStatus::default()
        }
    }

    fn told(before: Option<&StoqTransportStatus>, now: &StoqTransportStatus) -> Vec<String> {
        let told = events(before, now).into_iter();
        told.map(|one| format!("{:?} {} {}", one.type_, one.reason, one.note.unwrap()))
            .collect()
    }

    #[test]
    fn only_what_changed_is_told() {
        let good = status(&[
            ("Accepted", "True", "Accepted"),
            ("Ready", "True", "Ready"),
            ("Degraded", "False", "AsPreferred"),
        ]);
        let lower = status(&[
            ("Accepted", "True", "Accepted"),
            ("Ready", "True", "Ready"),
            ("Degraded", "True", "MtuTooLarge"),
        ]);
        let silent = status(&[
            ("Accepted", "True", "Accepted"),
            ("Ready", "Unknown", "Silent"),
            ("Degraded", "Unknown", "Silent"),
        ]);
        let edited = status(&[
            ("Accepted", "True", "Accepted"),
            ("Ready", "False", "Pending"),
            ("Degraded", "False", "AsPreferred"),
        ]);
        assert_eq!(told(Some(&good), &good), [""; 0]);
        assert_eq!(
            told(Some(&good), &edited),
            ["Normal Pending Ready is False: words"]
        );
        assert_eq!(
            told(None, &good),
            [
                "Normal Accepted Accepted is True: words",
                "Normal Ready Ready is True: words"
            ]
        );
        assert_eq!(
            told(Some(&good), &lower),
            ["Warning MtuTooLarge Degraded is True: words"]
        );
        assert_eq!(
            told(Some(&lower), &good),
            ["Normal AsPreferred Degraded is False: words"]
        );
        assert_eq!(
            told(Some(&lower), &silent),
            [
                "Warning Silent Ready is Unknown: words",
                "Warning Silent Degraded is Unknown: words"
            ]
        );
    }
}
