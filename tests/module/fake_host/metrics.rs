// SPDX-License-Identifier: Apache-2.0

//! The metrics of a VM. Envoy's have one value for all VMs of a process, by their names.

use std::collections::BTreeMap;

use super::world::{Played, failure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    Counter,
    Histogram,
}

#[derive(Default)]
pub(super) struct Metrics {
    /// A metric's id is its place.
    defined: Vec<(String, MetricKind)>,
    counters: BTreeMap<String, u64>,
    histograms: BTreeMap<String, Vec<u64>>,
}

impl Metrics {
    /// The same name gets the same id again.
    pub(super) fn define(&mut self, kind: MetricKind, name: String) -> Played<u32> {
        let id = match self.defined.iter().position(|(own, _)| *own == name) {
            Some(id) if self.defined[id].1 != kind => {
                return Err(failure(format!("the module defined the metric {name} with two kinds")));
            }
            Some(id) => id,
            None => {
                self.defined.push((name, kind));
                self.defined.len() - 1
            }
        };
        Ok(FIRST_ID + super::length(&self.defined[..id]))
    }

    pub(super) fn name(&self, id: u32) -> Played<String> {
        Ok(self.get(id)?.0.clone())
    }

    /// Envoy refuses to count down or by nothing.
    pub(super) fn increment(&mut self, id: u32, offset: i64) -> Played<()> {
        match (self.get(id)?.clone(), u64::try_from(offset)) {
            ((name, MetricKind::Counter), Ok(offset @ 1..)) => *self.counters.entry(name).or_default() += offset,
            ((name, _), _) => return Err(failure(format!("the module incremented {name} by {offset}"))),
        }
        Ok(())
    }

    pub(super) fn record(&mut self, id: u32, value: u64) -> Played<()> {
        match self.get(id)?.clone() {
            (name, MetricKind::Histogram) => self.histograms.entry(name).or_default().push(value),
            (name, MetricKind::Counter) => return Err(failure(format!("the module recorded a value of {name}"))),
        }
        Ok(())
    }

    /// Every counter that counted, by name.
    pub(super) fn counters(&self) -> &BTreeMap<String, u64> {
        &self.counters
    }

    /// Every histogram with a value, by name.
    pub(super) fn histograms(&self) -> &BTreeMap<String, Vec<u64>> {
        &self.histograms
    }

    fn get(&self, id: u32) -> Played<&(String, MetricKind)> {
        let found = id.checked_sub(FIRST_ID).and_then(|place| self.defined.get(place as usize));
        found.ok_or_else(|| failure(format!("the module named the metric {id}, which it did not define")))
    }
}

/// A module that takes an id for granted shall not be right by chance.
const FIRST_ID: u32 = 1000;
