//! What is in the program `megabrain`? The node (supervision, router, own bus), model fetching, the command line.

pub mod brain;
pub mod check;
pub mod child;
pub mod cli;
pub mod connection;
mod data;
pub mod demo;
pub mod memory;
pub mod node;
pub mod pull;
pub mod pull_command;
pub mod server;
pub mod supervisor;
pub mod up;
pub mod weights;
