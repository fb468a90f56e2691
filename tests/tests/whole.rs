//! Does the whole work, as a user has it? Real executables, a real nats-server, real models.
//!
//! One program of all these tests: to link each by itself takes longer than to run it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod abandoned;
mod bad_input;
mod bad_media;
mod bad_sound;
mod blobs;
mod bounds;
mod command_line;
mod conformance;
mod fallback;
mod film;
mod forms;
mod hearing;
mod http_bounds;
mod http_chat;
mod http_console;
mod http_doors;
mod http_forms;
mod http_hostile;
mod http_limits;
mod http_openapi;
mod http_seeing;
mod http_tools;
mod instances;
mod jobs;
mod jobs_waiting;
mod joined;
mod one_answer;
mod outage;
mod pictures;
mod placement;
mod plan;
mod read_aloud;
mod seeing;
mod spoken_question;
mod streams;
mod tools;
mod vectors;
mod video;
