// SPDX-License-Identifier: Apache-2.0

//! `load flood PLAN`: a good client among ever-new tokens that nobody signed. It measures what the good client waits, in turns
//! without the others and with them, and writes one line of JSON.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until};

use crate::Failure;
use crate::connection::{Connection, Tls};
use crate::plan::Client;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The server's authority (PEM).
    pub ca: PathBuf,
    /// Whose certificate all connections have.
    client: Client,
    port: u16,
    /// The good client's token.
    good: String,
    /// What the others' tokens say of themselves.
    header: Map<String, Value>,
    /// `jti` is added to these.
    claims: Map<String, Value>,
    /// In bytes; what is in them is random.
    signature: usize,
    /// Of the greatest rate.
    share: f64,
    /// How often the good client is measured without the others, and with them.
    turns: usize,
    seconds: f64,
    connections: usize,
}

/// The good client's own rate.
const GOOD_EVERY: Duration = Duration::from_millis(2);
const GOOD_CONNECTIONS: usize = 2;

/// What is shared by all that is under way.
struct Flood {
    plan: Plan,
    next: Cell<u64>,
    /// How often the others were answered so.
    statuses: RefCell<BTreeMap<u16, u64>>,
}

impl Flood {
    /// A token like no other before.
    fn token(&self) -> String {
        let mut number = self.next.get();
        self.next.set(number + 1);
        let mut claims = self.plan.claims.clone();
        claims.insert("jti".into(), number.to_string().into());
        // splitmix64
        let mut random = || {
            number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).to_le_bytes()
        };
        let mut signature: Vec<u8> = (0..self.plan.signature.div_ceil(8)).flat_map(|_| random()).collect();
        signature.truncate(self.plan.signature);
        // Less than any modulus of that length, or it would be refused for that.
        signature[0] &= 0x3f;
        let text = |map: &Map<String, Value>| Value::from(map.clone()).to_string();
        [text(&self.plan.header).as_bytes(), text(&claims).as_bytes(), &signature]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".")
    }

    async fn connect(&self, tls: &Tls) -> Result<Connection, Failure> {
        tls.connect(&self.plan.client, self.plan.port, false).await
    }

    /// Sends on one connection until then, one request in so long a time, or one after the other.
    async fn attack(
        self: Rc<Self>,
        mut connection: Connection,
        until: Instant,
        every: Duration,
        first: Duration,
    ) -> u64 {
        let (mut sent, mut due) = (0, Instant::now() + first);
        while Instant::now() < until {
            let request = request(&self.token());
            if !every.is_zero() {
                sleep_until(due.into()).await;
                // Whoever comes late does not make up for it.
                due = (due + every).max(Instant::now());
            }
            let Ok(status) = connection.ask(request).await else { return sent };
            *self.statuses.borrow_mut().entry(status.as_u16()).or_default() += 1;
            sent += 1;
        }
        sent
    }

    /// How long each of the good client's requests took.
    async fn good(self: Rc<Self>, mut connection: Connection, until: Instant, first: Duration) -> Vec<Duration> {
        let mut latencies = Vec::new();
        sleep(first).await;
        while Instant::now() < until {
            let due = Instant::now() + GOOD_EVERY * GOOD_CONNECTIONS as u32;
            let request = request(&self.plan.good);
            let asked = Instant::now();
            match connection.ask(request).await {
                Ok(status) if status.as_u16() == 200 => latencies.push(asked.elapsed()),
                other => panic!("the good client is refused: {other:?}"),
            }
            sleep_until(due.into()).await;
        }
        latencies
    }

    /// The good client's times, and how many of the others' requests were answered, in one turn.
    async fn turn(
        self: &Rc<Self>,
        tls: &Tls,
        rate: Option<f64>,
        with_good: bool,
    ) -> Result<(Vec<Duration>, u64), Failure> {
        let mut connections = Vec::new();
        if rate.is_some() {
            for _ in 0..self.plan.connections {
                connections.push(self.connect(tls).await?);
            }
        }
        let mut good = Vec::new();
        if with_good {
            for _ in 0..GOOD_CONNECTIONS {
                good.push(self.connect(tls).await?);
            }
        }
        let until = Instant::now() + Duration::from_secs_f64(self.plan.seconds);
        let every = match rate {
            Some(rate) if rate > 0.0 => Duration::from_secs_f64(self.plan.connections as f64 / rate),
            _ => Duration::ZERO,
        };
        let total = connections.len().max(1) as u32;
        let attacks: Vec<_> = (0_u32..)
            .zip(connections)
            .map(|(number, one)| {
                tokio::task::spawn_local(Rc::clone(self).attack(one, until, every, every * number / total))
            })
            .collect();
        let goods: Vec<_> = (0_u32..)
            .zip(good)
            .map(|(number, one)| tokio::task::spawn_local(Rc::clone(self).good(one, until, GOOD_EVERY * number)))
            .collect();
        let (mut latencies, mut sent) = (Vec::new(), 0);
        for one in goods {
            latencies.extend(one.await?);
        }
        for one in attacks {
            sent += one.await?;
        }
        Ok((latencies, sent))
    }

    async fn run(self: Rc<Self>, tls: Tls) -> Result<Value, Failure> {
        // Once to warm up, and once to see how many there can be.
        self.turn(&tls, Some(0.0), false).await?;
        let (_, most) = self.turn(&tls, Some(0.0), false).await?;
        let saturation = most as f64 / self.plan.seconds;
        self.statuses.borrow_mut().clear();
        let (mut quiet, mut flooded, mut sent) = (Vec::new(), Vec::new(), 0);
        for _ in 0..self.plan.turns {
            quiet.extend(self.turn(&tls, None, true).await?.0);
            let (latencies, count) = self.turn(&tls, Some(saturation * self.plan.share), true).await?;
            flooded.extend(latencies);
            sent += count;
        }
        let rate = sent as f64 / self.plan.seconds / self.plan.turns as f64;
        Ok(json!({
            "saturation": saturation,
            "rate": rate,
            "quiet": of(&mut quiet),
            "flooded": of(&mut flooded),
            "statuses": self.statuses.borrow().clone(),
        }))
    }
}

/// Ranks, in nanoseconds.
fn of(latencies: &mut [Duration]) -> Value {
    latencies.sort_unstable();
    let rank = |share: f64| {
        let last = latencies.len().saturating_sub(1);
        latencies.get((last as f64 * share).round() as usize).map_or(0, Duration::as_nanos) as u64
    };
    json!({ "requests": latencies.len(), "p50": rank(0.5), "p90": rank(0.9), "p99": rank(0.99) })
}

fn request(token: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().uri("/ok").header(HOST, "localhost");
    request.header(AUTHORIZATION, format!("Bearer {token}")).body(Full::new(Bytes::new())).unwrap_or_default()
}

pub async fn run(plan: Plan) -> Result<(), Failure> {
    let tls = Tls::of(&plan.ca)?;
    let flood = Flood { plan, next: Cell::new(1), statuses: RefCell::default() };
    let found = LocalSet::new().run_until(Rc::new(flood).run(tls)).await?;
    println!("{found}");
    Ok(())
}
