// SPDX-License-Identifier: Apache-2.0

//! The outcome of a request, for the client, the log, the access log and the metrics.

pub mod decision;
pub mod forward;
pub mod identity;
pub mod log;
pub mod lookup;
pub mod metric;
pub mod no_certificate;
pub mod refusal;
pub mod refusal_log;
pub mod refused;
pub mod scene;
pub mod server_response;
