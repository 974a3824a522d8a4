//! Depth 2: the built module (`make module`) in a fake host.

#[path = "../cases/case_list.rs"]
mod case_list;
mod crowd;
mod fake_host;
mod shipped;
