// SPDX-License-Identifier: Apache-2.0

//! The command `certbound`, and the documentation that names what it and the filter say.

#[path = "../cases/case_list.rs"]
mod case_list;
mod check;
mod check_istio;
mod documentation;
mod explain;
