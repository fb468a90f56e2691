//! What does the brain do at this moment? One page at `/`, and the feed that it lives on.
//!
//! ```text
//! bus: presence, ready, down, draining, node ─▶ watch: what is so, and what that changes ─▶ feed: lines of JSON ─▶ page
//! ```
//! The page is plain HTML, CSS and JavaScript, carried in this program. It asks as every client does, by
//! `/v1/chat/completions`. What the feed tells, a client of the bus can hear for itself.

mod feed;
mod happened;
mod page;
mod seen;
mod watch;

use axum::Router;
use axum::routing::get;

use crate::doors::Shared;

pub(crate) use watch::Watch;

/// The page, which is everybody's to load, and its feed, which asks for a key where keys are asked for.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(page::index))
        .route("/console/{file}", get(page::file))
        .route("/console/events", get(feed::events))
}
