//! How does a node keep its models alive, and who answers when one dies?
//!
//! [`ModelActor`] owns one process: starts it, sees it die, starts it again with growing delay. The [`guard()`] listens to the
//! models' subjects and answers what a dead process cannot. [`Cores`] shares the machine's cores among busy models.

mod busy;
mod cores;
mod guard;
mod lookout;
mod open_table;
mod process;

pub use cores::Cores;
pub use guard::{GuardConfig, SharedRoster};
pub use lookout::{GuardError, GuardHandle, guard};
pub use process::{ModelActor, ModelMessage, ModelSpec};
