//! The transport matrix: libraries and backends, sizes of datagrams, works.

mod backend;
mod cell;
mod measure;
mod promise;
mod row;
mod stage;

use std::collections::BTreeMap;

use anyhow::Result;

use self::backend::Backend;
use self::cell::Outcome;
use self::promise::{Promise, promises};
use self::row::{PathKind, ROWS, Row};
use self::stage::Stage;
use super::figure::Target;
use super::report::{Impossible, Measured};
use super::selection::Selection;
use crate::Lab;

/// How often what is promised is measured if nobody says how often; of rows where only the profile
/// Auto promises something, and of others.
const ROUNDS: [u32; 2] = [5, 7];

/// What came of the matrix.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) measured: Vec<Measured>,
    pub(super) impossible: Vec<Impossible>,
    /// Runs that are void, and why.
    pub(super) void: Vec<String>,
}

/// How long, how often, and what of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) only: &'a Selection,
    /// `None`: what is promised five or seven times, the rest once.
    pub(super) rounds: Option<u32>,
    pub(super) seconds: f64,
}

/// The names that can be asked for, but for each backend's numbers.
pub(super) fn names() -> Vec<String> {
    let promised = promises().into_iter().map(|one| one.name);
    let rows = ROWS
        .iter()
        .flat_map(|row| Backend::ALL.map(|one| figure(one, *row)));
    promised.chain(rows).collect()
}

/// `transport.<backend>.<size>.<work>`.
fn figure(backend: Backend, row: Row) -> String {
    format!("transport.{}.{}", backend.name(), row.name())
}

/// Measures what is asked for.
pub(super) fn run(plan: Plan<'_>) -> Result<Results> {
    let mut results = Results::default();
    let mut rows: BTreeMap<PathKind, Vec<Row>> = BTreeMap::new();
    for row in ROWS {
        if !plan.backends(row).is_empty() {
            rows.entry(row.path).or_default().push(row);
        }
    }
    for (path, rows) in rows {
        let labs = [Lab::up(path.lab())?, Lab::up(path.lab())?];
        let stage = Stage::start(path, &labs)?;
        for row in rows {
            results.add(plan, row, &plan.row(&stage, row));
        }
        stage.end()?;
    }
    Ok(results)
}

/// A number's unit, and its value in each round that has one.
type Values = (&'static str, BTreeMap<u32, f64>);

/// All numbers of a row, by backend and by name.
#[derive(Debug, Default)]
struct Numbers {
    values: BTreeMap<Backend, BTreeMap<&'static str, Values>>,
    impossible: BTreeMap<Backend, String>,
    void: Vec<String>,
}

impl Plan<'_> {
    /// Who takes part in a row.
    fn backends(&self, row: Row) -> Vec<Backend> {
        let promised = self.promised(row);
        let asked = |backend: &Backend| {
            self.only.has(&figure(*backend, row))
                || promised.iter().any(|one| one.is_about(*backend))
        };
        Backend::ALL.into_iter().filter(asked).collect()
    }

    fn promised(&self, row: Row) -> Vec<Promise> {
        let asked = |one: &Promise| one.row == row && self.only.has(&one.name);
        promises().into_iter().filter(asked).collect()
    }

    fn rounds(&self, promised: &[Promise]) -> u32 {
        let of_auto = |one: &Promise| matches!(one.of, Backend::Auto | Backend::AutoGuarded);
        let [few, many] = ROUNDS;
        let usual = if promised.iter().all(of_auto) {
            few
        } else {
            many
        };
        self.rounds.unwrap_or(usual)
    }

    /// All take turns, so that what else the machine does for a moment meets all of them.
    fn row(&self, stage: &Stage<'_>, row: Row) -> Numbers {
        let promised = self.promised(row);
        let mut numbers = Numbers::default();
        for round in 1..=self.rounds(&promised) {
            for backend in self.backends(row) {
                let once =
                    self.rounds.is_none() && !promised.iter().any(|one| one.is_about(backend));
                let skipped = once && round > 1 || numbers.impossible.contains_key(&backend);
                if !skipped {
                    let outcome = cell::run(stage, backend, row, self.seconds);
                    numbers.add(backend, row, round, outcome);
                }
            }
        }
        numbers
    }
}

impl Promise {
    fn is_about(&self, backend: Backend) -> bool {
        self.of == backend || self.to == Some(backend)
    }
}

impl Numbers {
    fn add(&mut self, backend: Backend, row: Row, round: u32, outcome: Result<Outcome>) {
        let name = figure(backend, row);
        match outcome {
            Ok(Outcome::Measured(cell)) => {
                let told = measure::told(&cell, row.work);
                eprintln!("{name}, round {round}: {told} ({})", cell.backend);
                let values = self.values.entry(backend).or_default();
                for (number, unit, value) in measure::numbers(&cell, row.work) {
                    let (_, rounds) = values.entry(number).or_insert((unit, BTreeMap::new()));
                    rounds.insert(round, value);
                }
            }
            Ok(Outcome::Impossible(why)) => {
                eprintln!("{name}: not possible: {why}");
                self.impossible.insert(backend, why);
            }
            Err(error) => {
                eprintln!("{name}, round {round}: VOID: {error:#}");
                self.void.push(format!("{name}, round {round}: {error:#}"));
            }
        }
    }

    fn of(&self, backend: Backend, number: &str) -> BTreeMap<u32, f64> {
        let values = self.values.get(&backend).and_then(|all| all.get(number));
        values.map(|(_, rounds)| rounds.clone()).unwrap_or_default()
    }

    /// Round by round, as far as both were measured.
    fn promised(&self, promise: &Promise) -> Vec<f64> {
        let of = self.of(promise.of, promise.number);
        let Some(to) = promise.to else {
            return of.into_values().collect();
        };
        let to = self.of(to, promise.number);
        let both = of
            .into_iter()
            .filter_map(|(round, of)| Some(of / to.get(&round)?));
        both.collect()
    }
}

impl Results {
    fn add(&mut self, plan: Plan<'_>, row: Row, numbers: &Numbers) {
        let promised = plan.promised(row);
        for one in &promised {
            let values = numbers.promised(one);
            let unit = if one.to.is_some() { "ratio" } else { "" };
            self.push(plan, (&one.name, &one.name), unit, one.target, &values);
        }
        for (backend, values) in &numbers.values {
            for (number, (unit, values)) in values {
                let cell = figure(*backend, row);
                let name = format!("{cell}.{number}");
                if !promised.iter().any(|one| one.name == name) {
                    let values: Vec<_> = values.values().copied().collect();
                    self.push(plan, (&name, &cell), unit, Target::None, &values);
                }
            }
        }
        for (backend, why) in &numbers.impossible {
            self.impossible.push(Impossible {
                name: figure(*backend, row),
                not_possible: why.clone(),
            });
        }
        self.void.extend_from_slice(&numbers.void);
    }

    /// `only`: what to ask for to have it.
    fn push(
        &mut self,
        plan: Plan<'_>,
        (name, only): (&str, &str),
        unit: &'static str,
        target: Target,
        values: &[f64],
    ) {
        if values.is_empty() {
            return;
        }
        let (rounds, seconds) = (values.len(), plan.seconds * 2.0);
        let command = format!("bench --only {only} --rounds {rounds} --seconds {seconds}");
        self.measured
            .push(Measured::new(name, unit, target, values, command));
    }
}
