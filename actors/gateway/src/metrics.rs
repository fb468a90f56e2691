//! What does Prometheus read? Requests and what they took, and what every model tells of itself.

use std::time::Instant;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{LegReport, LegStatus, Name};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::doors::Shared;
use crate::error::ApiError;
use crate::jobs::Counted;
use crate::metrics_models::Models;
use crate::present::Present;

/// What is counted here, and the registry that writes it.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    open: Family<Route, Gauge>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    first_text: Family<Model, Histogram, fn() -> Histogram>,
    legs: Family<Leg, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leg {
    model: String,
    status: &'static str,
}

/// A request that is being answered; counted when it is dropped.
pub(crate) struct Open {
    route: String,
    began: Instant,
    status: StatusCode,
    requests: Family<Answered, Counter>,
    open: Family<Route, Gauge>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

/// From a millisecond to half an hour and more.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 3.0, 14))
}

impl Metrics {
    pub(crate) fn new(present: Present, jobs: &Counted) -> Self {
        let mut registry = Registry::with_prefix("megabrain");
        let requests = Family::<Answered, Counter>::default();
        let open = Family::<Route, Gauge>::default();
        let seconds = Family::<Route, Histogram, fn() -> Histogram>::new_with_constructor(times);
        let first_text = Family::<Model, Histogram, fn() -> Histogram>::new_with_constructor(times);
        let legs = Family::<Leg, Histogram, fn() -> Histogram>::new_with_constructor(times);
        registry.register("http_requests", "Requests answered; status 499: the client left first", requests.clone());
        registry.register("http_open_requests", "Requests that are being answered", open.clone());
        registry.register_with_unit(
            "http_request",
            "From a request's head to the last byte of its answer",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register_with_unit(
            "http_first_text",
            "From a streamed request's head to the first text of its answer",
            Unit::Seconds,
            first_text.clone(),
        );
        registry.register_with_unit(
            "http_leg",
            "What the legs of questions over HTTP took",
            Unit::Seconds,
            legs.clone(),
        );
        jobs.register(&mut registry);
        registry.register_collector(Box::new(Models::new(present)));
        Self { registry, requests, open, seconds, first_text, legs }
    }

    /// Counts a request as open.
    pub(crate) fn begin(&self, route: String, began: Instant) -> Open {
        self.open.get_or_create(&Route { route: route.clone() }).inc();
        Open {
            route,
            began,
            // Unless it is answered, its client has left.
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
            requests: self.requests.clone(),
            open: self.open.clone(),
            seconds: self.seconds.clone(),
        }
    }

    /// Notes that a stream has its first text.
    pub(crate) fn first_text(&self, model: &str, began: Instant) {
        self.first_text.get_or_create(&Model { model: model.to_owned() }).observe(began.elapsed().as_secs_f64());
    }

    /// Notes what the legs of a question took.
    pub(crate) fn legs(&self, legs: &[LegReport]) {
        for leg in legs {
            let model = leg.model.as_ref().map(Name::to_string).unwrap_or_default();
            let status = leg.status.map_or("open", LegStatus::as_str);
            self.legs.get_or_create(&Leg { model, status }).observe(leg.took_ms / 1000.0);
        }
    }
}

impl Open {
    /// It has an answer, which may still go on.
    pub(crate) fn answered(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let route = Route { route: std::mem::take(&mut self.route) };
        self.open.get_or_create(&route).dec();
        self.seconds.get_or_create(&route).observe(self.began.elapsed().as_secs_f64());
        self.requests.get_or_create(&Answered { route: route.route, status: self.status.as_u16() }).inc();
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(doors): State<Shared>) -> Result<Response, ApiError> {
    doors.jobs.look().await;
    let mut page = String::new();
    text::encode(&mut page, &doors.metrics.registry)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], page).into_response())
}
