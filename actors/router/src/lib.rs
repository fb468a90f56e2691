//! How does one question become many pieces of work and one answer again?
//!
//! ```text
//! ask ─▶ plan ─▶ legs, all at once ─▶ evidence on one clock ─▶ prompt ─▶ models by policy ─▶ answer
//! ```
//! A request that names a capability only is passed on to the best instance, with its caller's own reply subject, so that
//! the answer skips the router. The router keeps no state between requests: there can be several.

mod ask;
mod choose;
mod condense;
mod config;
mod evidence;
mod fallback;
mod forward;
mod gather;
mod hear;
mod leg;
mod open_asks;
mod plan;
mod policy;
mod probe;
mod prompt;
mod router;
mod split;
mod timeline;

pub use choose::{Wish, choose};
pub use config::Config;
pub use open_asks::OpenAsks;
pub use policy::{All, First, Next, Policy, Settled};
pub use router::{Router, RouterMessage};
