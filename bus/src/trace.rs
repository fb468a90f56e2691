//! How does one request become one trace? W3C context in NATS headers, spans exported by OTLP where a collector is named.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::Meta;

/// Keeps the exporter alive; dropping it sends what has not been sent.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::debug!(%error, "spans not exported");
        }
    }
}

/// How a program logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging (to standard error; `RUST_LOG` filters, default `default_filter`) and, if
/// `OTEL_EXPORTER_OTLP_ENDPOINT` is set, the export of spans.
pub fn init(service: &str, default_filter: &str, format: LogFormat) -> Telemetry {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let is_colourful = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_colourful).with_target(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = exporter(service);
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("megabrain"))
            .with_filter(EnvFilter::new("off,megabrain=info"))
    });
    // A second init in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init();
    Telemetry(provider)
}

/// True if spans are exported: otherwise nobody pays for making them.
pub fn is_exporting() -> bool {
    EXPORTING.load(std::sync::atomic::Ordering::Relaxed)
}

static EXPORTING: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn exporter(service: &str) -> Option<SdkTracerProvider> {
    std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|endpoint| !endpoint.is_empty())?;
    let exporter = match opentelemetry_otlp::SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        Err(error) => {
            eprintln!("spans are not exported: {error}");
            return None;
        }
    };
    EXPORTING.store(true, std::sync::atomic::Ordering::Relaxed);
    let resource = opentelemetry_sdk::Resource::builder().with_service_name(service.to_owned()).build();
    Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Makes `span` a child of the context that came with a request.
pub fn adopt(span: &tracing::Span, meta: &Meta) {
    if let Some(traceparent) = &meta.traceparent {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.clone())]);
        // A span that is not exported takes no parent.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
}

/// Makes `span` the parent of whatever happens to the request from here on.
pub fn carry(span: &tracing::Span, meta: &mut Meta) {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    if let Some(traceparent) = carrier.remove("traceparent") {
        meta.traceparent = Some(traceparent);
    }
}
