// SPDX-License-Identifier: Apache-2.0

//! A block of requests to one subject, and what it cost.

use std::fs;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST};
use serde_json::{Value, json};

use crate::Failure;
use crate::connection::{Connection, Tls};
use crate::plan::{Plan, Subject, Token};
use crate::token::Minter;

/// A subject with open connections.
pub struct Prepared<'a> {
    pub of: &'a Subject,
    plan: &'a Plan,
    minter: &'a Minter,
    connections: Vec<Connection>,
    /// By client, the tokens that it sends in turn.
    kept: Vec<Vec<String>>,
    sent: usize,
}

/// What a block cost.
pub struct Measured {
    cpu: u64,
    wall: Duration,
    latencies: Vec<Duration>,
}

impl<'a> Prepared<'a> {
    pub async fn new(plan: &'a Plan, of: &'a Subject, minter: &'a Minter, tls: &Tls) -> Result<Self, Failure> {
        let mut connections = Vec::new();
        for number in 0..plan.connections {
            connections.push(tls.connect(&plan.clients[number % plan.clients.len()], of.port, of.http2).await?);
        }
        let mut prepared = Self { of, plan, minter, connections, kept: Vec::new(), sent: 0 };
        let clients = plan.clients.len().min(plan.connections);
        prepared.kept = match &of.token {
            Token::None => Vec::new(),
            Token::Given(given) => given.iter().map(|token| vec![token.clone()]).collect(),
            Token::Signed { distinct, .. } => (0..clients)
                .map(|client| (0..*distinct).map(|number| prepared.mint(client, number)).collect())
                .collect::<Result<_, _>>()?,
        };
        Ok(prepared)
    }

    /// Sends so many requests, as many at a time as the plan says.
    pub async fn run(&mut self, requests: usize) -> Result<Measured, Failure> {
        let total = self.connections.len();
        let mut made: Vec<Vec<Request<Full<Bytes>>>> = vec![Vec::new(); total];
        for number in self.sent..self.sent + requests {
            made[number % total].push(self.request(number)?);
        }
        self.sent += requests;
        // A lane has one request under way, on one of its connections after the other.
        let lanes = self.plan.in_flight.min(total);
        let mut work: Vec<Vec<_>> = (0..lanes).map(|_| Vec::new()).collect();
        for (number, one) in self.connections.iter_mut().zip(made).enumerate() {
            work[number % lanes].push((one.0, one.1.into_iter()));
        }
        settle().await;
        let before = processor_time(&self.of.processes)?;
        let begin = Instant::now();
        let work = work.into_iter().map(|lane| serve(lane, self.of.status));
        let mut latencies = Vec::with_capacity(requests);
        for answered in all(work).await {
            latencies.extend(answered?);
        }
        let wall = begin.elapsed();
        settle().await;
        let cpu = processor_time(&self.of.processes)? - before;
        latencies.sort_unstable();
        Ok(Measured { cpu, wall, latencies })
    }

    fn request(&self, number: usize) -> Result<Request<Full<Bytes>>, Failure> {
        let client = number % self.connections.len() % self.plan.clients.len();
        let mut request = Request::builder().method(self.of.method.as_str());
        request = if self.of.http2 {
            request.uri(format!("https://localhost{}", self.of.path))
        } else {
            request.uri(&self.of.path).header(HOST, "localhost")
        };
        for (name, value) in &self.of.headers {
            request = request.header(name, value);
        }
        let token = match (&self.of.token, self.kept.get(client)) {
            (Token::None, _) => None,
            (_, Some(kept)) if !kept.is_empty() => Some(kept[number / self.connections.len() % kept.len()].clone()),
            _ => Some(self.mint(client, number)?),
        };
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match self.of.bodies.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone().into(),
            several => several[client].clone().into(),
        };
        Ok(request.body(Full::new(body))?)
    }

    fn mint(&self, client: usize, number: usize) -> Result<String, Failure> {
        let Token::Signed { keys, claims, owner, .. } = &self.of.token else {
            return Err("the subject has no signed tokens".into());
        };
        let of_whom = &self.plan.clients[(client + owner) % self.plan.clients.len()];
        self.minter.mint(&keys[number % keys.len()], &claims[number % claims.len()], &of_whom.thumbprint)
    }
}

impl Measured {
    /// Times in nanoseconds.
    pub fn line(&self, cycle: usize, subject: &str) -> Value {
        let rank = |share: f64| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies.get((last as f64 * share).round() as usize).map_or(0, Duration::as_nanos)
        };
        json!({
            "cycle": cycle,
            "subject": subject,
            "requests": self.latencies.len(),
            "cpu": self.cpu,
            "wall": self.wall.as_nanos() as u64,
            "p50": rank(0.5) as u64,
            "p99": rank(0.99) as u64,
        })
    }
}

/// How long each request of a lane took.
async fn serve(
    mut lane: Vec<(&mut Connection, std::vec::IntoIter<Request<Full<Bytes>>>)>,
    status: u16,
) -> Result<Vec<Duration>, String> {
    let mut latencies = Vec::new();
    loop {
        let before = latencies.len();
        for (connection, requests) in &mut lane {
            let Some(request) = requests.next() else { continue };
            let asked = Instant::now();
            let came = connection.ask(request).await.map_err(|error| error.to_string())?;
            latencies.push(asked.elapsed());
            if came.as_u16() != status {
                return Err(format!("the response was {came} in place of {status}"));
            }
        }
        if latencies.len() == before {
            return Ok(latencies);
        }
    }
}

/// Drives all of them on this one thread, and gives what each gave, in their order.
async fn all<T, F: Future<Output = T>>(futures: impl Iterator<Item = F>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|one| (Box::pin(one), None)).collect();
    poll_fn(|context| {
        let mut ready = true;
        for (future, came) in &mut running {
            if came.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *came = Some(value),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, came)| came).collect()
}

/// The kernel adds up a task's time when it leaves the processor.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// Nanoseconds on a processor of all threads of these processes.
fn processor_time(processes: &[u32]) -> Result<u64, Failure> {
    let mut sum = 0;
    for process in processes {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += text.split(' ').next().ok_or("schedstat is empty")?.parse::<u64>()?;
        }
    }
    Ok(sum)
}
