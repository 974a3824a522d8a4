// SPDX-License-Identifier: Apache-2.0

//! The load client of `make bench`: `load PLAN` measures what the plan (JSON) says, and writes a line of JSON for every
//! block of requests.
//!
//! It holds keep-alive connections to every subject and goes from one to the other in blocks, so that whatever the
//! machine does meanwhile befalls all of them. The order of a cycle is shuffled, and the next cycle runs it backwards.
//! What a block costs the proxy is read from the kernel's nanosecond counters (`/proc/PID/task/*/schedstat`). Requests and
//! tokens are made before a block, not during it.

mod block;
mod connection;
mod flood;
mod plan;
mod token;

use std::error::Error;
use std::io::{BufWriter, Write, stdout};

use plan::{Plan, Subject};

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: load PLAN, or load flood PLAN")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if path == "flood" {
        let path = arguments.next().ok_or("usage: load flood PLAN")?;
        return runtime.block_on(flood::run(serde_json::from_slice(&std::fs::read(path)?)?));
    }
    let plan: Plan = serde_json::from_slice(&std::fs::read(path)?)?;
    runtime.block_on(run(&plan))
}

async fn run(plan: &Plan) -> Result<(), Failure> {
    let minter = token::Minter::new(plan)?;
    let tls = connection::Tls::of(&plan.ca)?;
    let mut subjects = Vec::new();
    for subject in &plan.subjects {
        let mut subject =
            block::Prepared::new(plan, subject, &minter, &tls).await.map_err(|error| named(subject, &error))?;
        let mut left = subject.of.warm_up;
        while left > 0 {
            let size = left.min(plan.block);
            subject.run(size).await.map_err(|error| named(subject.of, &error))?;
            left -= size;
        }
        subjects.push(subject);
    }
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut random = Random(plan.seed | 1);
    let mut output = BufWriter::new(stdout().lock());
    for cycle in 0..plan.cycles {
        if cycle % 2 == 0 {
            random.shuffle(&mut order);
        } else {
            order.reverse();
        }
        for &index in &order {
            let subject = &mut subjects[index];
            let measured = subject.run(plan.block).await.map_err(|error| named(subject.of, &error))?;
            serde_json::to_writer(&mut output, &measured.line(cycle, &subject.of.name))?;
            output.write_all(b"\n")?;
        }
        output.flush()?;
    }
    Ok(())
}

fn named(subject: &Subject, error: &dyn std::fmt::Display) -> Failure {
    format!("{}: {error}", subject.name).into()
}

/// xorshift64: an order needs no more.
struct Random(u64);

impl Random {
    fn shuffle(&mut self, order: &mut [usize]) {
        for index in (1..order.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            order.swap(index, (self.0 % (index as u64 + 1)) as usize);
        }
    }
}
