//! Label selectors.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{LabelSelector, LabelSelectorRequirement, Operator};
use crate::rules;
use crate::transport::{broken, check_length};
use crate::{Invalid, Violation};

/// A parsed label selector: all requirements must hold; none at all selects everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One requirement on a pod's labels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Requirement {
    /// The label is there with one of the values.
    In(String, BTreeSet<String>),
    /// The label is absent or has none of the values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

impl Selector {
    /// Parses the selector at the path `field`.
    ///
    /// # Errors
    /// A requirement whose values do not fit its operator, or too many of them.
    pub fn parse(spec: &LabelSelector, field: &str) -> Result<Self, Invalid> {
        check_labels(&spec.match_labels, &format!("{field}.matchLabels"))?;
        let field = format!("{field}.matchExpressions");
        check_length(&spec.match_expressions, 0, rules::MAX_SELECTOR, &field)?;
        let labels = spec.match_labels.iter();
        let labels = labels.map(|(k, v)| Ok(Requirement::In(k.clone(), [v.clone()].into())));
        let expressions = spec.match_expressions.iter().enumerate();
        let expressions = expressions.map(|(i, e)| parse_expression(e, &format!("{field}[{i}]")));
        let requirements = labels.chain(expressions).collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// Whether labels meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|r| r.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let is_in = |key, values: &BTreeSet<String>| {
            labels.get(key).is_some_and(|value| values.contains(value))
        };
        match self {
            Self::In(key, values) => is_in(key, values),
            Self::NotIn(key, values) => !is_in(key, values),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

fn check_labels(labels: &BTreeMap<String, String>, field: &str) -> Result<(), Invalid> {
    let (min, max, found) = (0, rules::MAX_SELECTOR, labels.len());
    if found <= max {
        return Ok(());
    }
    Err(Invalid::new(field, Violation::Length { min, max, found }))
}

fn parse_expression(spec: &LabelSelectorRequirement, field: &str) -> Result<Requirement, Invalid> {
    check_length(
        &spec.values,
        0,
        rules::MAX_SELECTOR,
        &format!("{field}.values"),
    )?;
    let key = spec.key.clone();
    let values: BTreeSet<String> = spec.values.iter().cloned().collect();
    match (spec.operator, values.is_empty()) {
        (Operator::In, false) => Ok(Requirement::In(key, values)),
        (Operator::NotIn, false) => Ok(Requirement::NotIn(key, values)),
        (Operator::Exists, true) => Ok(Requirement::Exists(key)),
        (Operator::DoesNotExist, true) => Ok(Requirement::DoesNotExist(key)),
        _ => Err(broken(field, rules::SELECTOR_VALUES)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(yaml: &str, labels: &[(&str, &str)]) -> bool {
        let spec = serde_yaml::from_str(yaml).unwrap();
        let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let selector = Selector::parse(&spec, "spec.podSelector").unwrap();
        selector.matches(&labels.collect())
    }

    #[test]
    fn requirements_hold_as_in_kubernetes() {
        let edge: &[(&str, &str)] = &[("app", "edge"), ("tier", "front")];
        let expression = |e: &str| format!("matchExpressions: [{e}]");
        for (yaml, labels, want) in [
            ("{}".into(), edge, true),
            ("{}".into(), &[][..], true),
            ("matchLabels: {app: edge}".into(), edge, true),
            ("matchLabels: {app: edge, tier: back}".into(), edge, false),
            ("matchLabels: {app: edge}".into(), &[][..], false),
            (
                expression("{key: app, operator: In, values: [web, edge]}"),
                edge,
                true,
            ),
            (
                expression("{key: app, operator: In, values: [web]}"),
                edge,
                false,
            ),
            (
                expression("{key: zone, operator: In, values: [a]}"),
                edge,
                false,
            ),
            (
                expression("{key: app, operator: NotIn, values: [edge]}"),
                edge,
                false,
            ),
            (
                expression("{key: zone, operator: NotIn, values: [a]}"),
                edge,
                true,
            ),
            (expression("{key: app, operator: Exists}"), edge, true),
            (expression("{key: zone, operator: Exists}"), edge, false),
            (
                expression("{key: app, operator: DoesNotExist}"),
                edge,
                false,
            ),
            (
                expression("{key: zone, operator: DoesNotExist}"),
                edge,
                true,
            ),
            (
                expression("{key: app, operator: Exists}, {key: tier, operator: DoesNotExist}"),
                edge,
                false,
            ),
        ] {
            assert_eq!(selects(&yaml, labels), want, "{yaml} on {labels:?}");
        }
    }
}
