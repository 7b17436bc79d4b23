//! A measurement as a trace: a span of it all, below it one for each phase and one for the faults of each repetition.
//!
//! It is made when the measurement is over, from the events of its record: what the trace says, the record says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use quorumeter_record::{Event, EventKind, FaultStage, StopReason};

use super::Resource;
use super::endpoint::{Endpoint, REQUEST_LIMIT, shown};

/// The most events that a span may have; there are no more, and what is beyond them is left out by the SDK.
const EVENTS_MAX: u32 = 4096;

/// The most spans of a trace that are sent.
const SPANS_MAX: usize = 4096;

/// What a trace is of.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOf {
    /// Name of the whole: `run` or `failover`.
    pub name: &'static str,
    /// What it is of, as attributes of the whole.
    pub attributes: Attributes,
    /// When its time began, Unix time in nanoseconds: 0 in its events.
    pub start_unix_ns: u64,
    /// What happened, as in its record.
    pub events: Vec<Event>,
}

/// Attributes of a span, or of an event of one.
pub type Attributes = Vec<(&'static str, String)>;

/// A span to be made. Times are nanoseconds since the run's start.
#[derive(Debug, Clone, Default, PartialEq)]
struct Span {
    name: String,
    start_ns: u64,
    end_ns: u64,
    attributes: Attributes,
    events: Vec<(u64, String, Attributes)>,
    /// Why it did not go well.
    failure: Option<String>,
}

/// Pushes a trace, in one request. Blocks for no longer than one may take; not to be called where that is not allowed.
///
/// # Errors
///
/// In words, why it did not arrive.
pub fn push_trace(trace: &TraceOf, endpoint: &Endpoint, resource: &Resource) -> Result<(), String> {
    let client = endpoint.client().map_err(|error| error.to_string())?;
    let url = endpoint.traces();
    let told = |cause: String| format!("the trace could not be pushed to {}: {cause}", shown(url));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(url.as_str())
        .with_timeout(REQUEST_LIMIT)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| told(error.to_string()))?;
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_MAX)
        .with_max_export_batch_size(SPANS_MAX)
        .with_scheduled_delay(Duration::from_secs(3600))
        .build();
    let attributes = resource.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batch).build())
        .with_max_events_per_span(EVENTS_MAX)
        .with_resource(opentelemetry_sdk::Resource::builder_empty().with_attributes(attributes).build())
        .build();
    emit(&provider, trace);
    let flushed = provider.force_flush();
    // What was to be sent has been, or will not be.
    let _ = provider.shutdown_with_timeout(REQUEST_LIMIT);
    flushed.map_err(|error| told(cause(&error.to_string())))
}

/// What an error of the SDK says.
fn cause(error: &str) -> String {
    match error.split_once("status code: ").map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
    {
        Some(Some("404")) => "the answer is 404: it takes no traces there, as Prometheus does not".to_owned(),
        Some(Some(status)) => format!("the answer is {status}"),
        _ => error.to_owned(),
    }
}

/// Makes the spans.
fn emit(provider: &SdkTracerProvider, trace: &TraceOf) {
    let tracer = provider.tracer("quorumeter");
    let at = |t_ns: u64| UNIX_EPOCH + Duration::from_nanos(trace.start_unix_ns.saturating_add(t_ns));
    let pairs = |attributes: Attributes| {
        attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect::<Vec<_>>()
    };
    let make = |span: Span, parent: &Context| {
        let builder = SpanBuilder::from_name(span.name)
            .with_kind(SpanKind::Internal)
            .with_start_time(at(span.start_ns))
            .with_attributes(pairs(span.attributes));
        let mut made = tracer.build_with_context(builder, parent);
        for (t_ns, name, attributes) in span.events {
            made.add_event_with_timestamp(name, at(t_ns), pairs(attributes));
        }
        if let Some(failure) = span.failure {
            made.set_status(Status::error(failure));
        }
        (made, at(span.end_ns))
    };
    let mut spans = spans(trace).into_iter();
    let Some(whole) = spans.next() else { return };
    let (whole, end): (_, SystemTime) = make(whole, &Context::new());
    let context = Context::new().with_span(whole);
    for span in spans {
        let (mut made, end) = make(span, &context);
        made.end_with_timestamp(end);
    }
    context.span().end_with_timestamp(end);
}

/// The spans of a trace, the whole first; nothing of one without events.
fn spans(trace: &TraceOf) -> Vec<Span> {
    let Some(end_ns) = trace.events.iter().map(|event| event.t_ns).max() else { return Vec::new() };
    let mut whole = Span {
        name: format!("quorumeter {}", trace.name),
        end_ns,
        attributes: trace.attributes.clone(),
        ..Span::default()
    };
    let mut phases: Vec<Span> = Vec::new();
    let mut faults: Vec<(u32, Fault)> = Vec::new();
    for event in &trace.events {
        match &event.kind {
            EventKind::Phase { phase } => {
                let name = serde_json::to_value(phase).ok();
                let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
                phases.push(Span {
                    name: format!("phase {name}"),
                    start_ns: event.t_ns,
                    attributes: vec![("quorumeter.phase", name.to_owned())],
                    ..Span::default()
                });
            }
            EventKind::Fault { repetition, fault, stage, victims, detail } => {
                let place = faults.iter().position(|(number, _)| number == repetition).unwrap_or_else(|| {
                    faults.push((*repetition, Fault::new(fault, *repetition)));
                    faults.len() - 1
                });
                faults[place].1.step(event.t_ns, *stage, victims, detail);
            }
            EventKind::Role { member, role } => {
                let attributes = vec![("member", member.clone()), ("role", role.clone())];
                whole.events.push((event.t_ns, "role".to_owned(), attributes));
            }
            EventKind::Stop { reason, detail } => {
                whole.events.push((event.t_ns, "stop".to_owned(), vec![("detail", detail.clone())]));
                if *reason == StopReason::Error {
                    whole.failure = Some(detail.clone());
                }
            }
            EventKind::Warning { text } => {
                whole.events.push((event.t_ns, "warning".to_owned(), vec![("text", text.clone())]));
            }
            EventKind::Session { .. } | EventKind::Audit { .. } | EventKind::End => {}
        }
    }
    phases.sort_by_key(|phase| phase.start_ns);
    // A phase ends where the next one begins.
    let ends: Vec<u64> = phases.iter().skip(1).map(|next| next.start_ns).chain([end_ns]).collect();
    phases.iter_mut().zip(ends).for_each(|(phase, end_ns)| phase.end_ns = end_ns);
    let faults = faults.into_iter().filter_map(|(_, fault)| fault.span(end_ns));
    [whole].into_iter().chain(phases).chain(faults).collect()
}

/// The faults of a repetition.
struct Fault {
    span: Span,
    asked_ns: Option<u64>,
    cleared_ns: Option<u64>,
    victims: Vec<String>,
}

impl Fault {
    fn new(fault: &str, repetition: u32) -> Fault {
        let attributes =
            vec![("quorumeter.fault", fault.to_owned()), ("quorumeter.repetition", repetition.to_string())];
        let span = Span { name: format!("fault {fault}"), attributes, ..Span::default() };
        Fault { span, asked_ns: None, cleared_ns: None, victims: Vec::new() }
    }

    fn step(&mut self, t_ns: u64, stage: FaultStage, victims: &[String], detail: &str) {
        match stage {
            FaultStage::Asked => {
                self.asked_ns.get_or_insert(t_ns);
                for victim in victims {
                    if !self.victims.contains(victim) {
                        self.victims.push(victim.clone());
                    }
                }
            }
            FaultStage::Cleared => self.cleared_ns = Some(t_ns),
            FaultStage::Failed | FaultStage::Skipped | FaultStage::WrongVictim => {
                self.span.failure.get_or_insert_with(|| detail.to_owned());
            }
            _ => {}
        }
        let name = serde_json::to_value(stage).ok();
        let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned();
        let mut attributes = Vec::new();
        if !victims.is_empty() {
            attributes.push(("victims", victims.join(",")));
        }
        if !detail.is_empty() {
            attributes.push(("detail", detail.to_owned()));
        }
        self.span.events.push((t_ns, name, attributes));
    }

    /// From the first fault that was asked for to the last that was proven to be gone, or to the repetition's last step;
    /// `None` of one in which none was asked for.
    fn span(self, end_ns: u64) -> Option<Span> {
        let Fault { mut span, asked_ns, cleared_ns, victims } = self;
        span.start_ns = asked_ns?;
        let last_ns = span.events.iter().map(|(t_ns, ..)| *t_ns).max();
        span.end_ns = cleared_ns.or(last_ns).unwrap_or(end_ns);
        span.attributes.push(("quorumeter.victims", victims.join(",")));
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use quorumeter_record::Phase;

    use super::*;

    fn trace(events: Vec<(u64, EventKind)>) -> TraceOf {
        let events = events.into_iter().map(|(t_ns, kind)| Event { t_ns, kind }).collect();
        TraceOf { name: "failover", attributes: vec![("run", "r1".into())], start_unix_ns: 7, events }
    }

    fn phase(phase: Phase) -> EventKind {
        EventKind::Phase { phase }
    }

    fn fault(repetition: u32, stage: FaultStage, victims: &[&str], detail: &str) -> EventKind {
        let victims = victims.iter().map(|victim| (*victim).to_owned()).collect();
        EventKind::Fault { repetition, fault: "kill".into(), stage, victims, detail: detail.into() }
    }

    #[test]
    fn phases_follow_each_other_and_faults_lie_over_them() {
        let trace = trace(vec![
            (10, phase(Phase::Connect)),
            // The control notices a phase later than what happened in it.
            (60, EventKind::Role { member: "a:1".into(), role: "leader".into() }),
            (50, phase(Phase::Measure)),
            (55, fault(1, FaultStage::Baseline, &[], "")),
            (70, fault(1, FaultStage::Asked, &["a:1"], "")),
            (72, fault(1, FaultStage::Active, &["a:1"], "it is gone")),
            (90, fault(1, FaultStage::Cleared, &["a:1"], "")),
            (95, fault(1, FaultStage::Over, &[], "")),
            (96, fault(2, FaultStage::Baseline, &[], "")),
            (100, phase(Phase::Drain)),
            (120, EventKind::End),
        ]);
        let spans = spans(&trace);
        let shape: Vec<_> = spans
            .iter()
            .map(|span| (span.name.as_str(), span.start_ns, span.end_ns, span.events.len()))
            .collect();
        assert_eq!(
            shape,
            [
                ("quorumeter failover", 0, 120, 1),
                ("phase connect", 10, 50, 0),
                ("phase measure", 50, 100, 0),
                ("phase drain", 100, 120, 0),
                ("fault kill", 70, 90, 5),
            ]
        );
        assert_eq!(spans[0].attributes, [("run", "r1".to_owned())]);
        assert_eq!(spans[2].attributes, [("quorumeter.phase", "measure".to_owned())]);
        let of = |key: &str, value: &str| {
            spans[4].attributes.iter().any(|(k, v)| (*k, v.as_str()) == (key, value))
        };
        assert!(
            of("quorumeter.fault", "kill")
                && of("quorumeter.repetition", "1")
                && of("quorumeter.victims", "a:1")
        );
        let detail = ("detail", "it is gone".to_owned());
        assert_eq!(
            spans[4].events[2],
            (72, "active".to_owned(), vec![("victims", "a:1".to_owned()), detail])
        );
        assert!(spans.iter().all(|span| span.failure.is_none()));
    }

    #[test]
    fn what_was_not_cleared_ends_with_its_last_step_and_failures_are_told() {
        let spans = spans(&trace(vec![
            (10, fault(1, FaultStage::Asked, &["a:1"], "")),
            (20, fault(1, FaultStage::Failed, &[], "not proven")),
            (30, fault(1, FaultStage::Over, &[], "")),
            (40, EventKind::Stop { reason: StopReason::Error, detail: "the disk is full".into() }),
        ]));
        let shape: Vec<_> =
            spans.iter().map(|span| (span.start_ns, span.end_ns, span.failure.as_deref())).collect();
        assert_eq!(shape, [(0, 40, Some("the disk is full")), (10, 30, Some("not proven"))]);
    }

    #[test]
    fn several_faults_of_a_repetition_are_one_span() {
        let spans = spans(&trace(vec![
            (10, fault(1, FaultStage::Asked, &["a:1"], "")),
            (20, fault(1, FaultStage::Cleared, &["a:1"], "")),
            (30, fault(1, FaultStage::Asked, &["b:1"], "")),
            (40, fault(1, FaultStage::Cleared, &["b:1"], "")),
        ]));
        assert_eq!((spans.len(), spans[1].start_ns, spans[1].end_ns), (2, 10, 40));
        assert_eq!(spans[1].attributes.last(), Some(&("quorumeter.victims", "a:1,b:1".to_owned())));
    }

    #[test]
    fn nothing_makes_no_spans() {
        assert_eq!(spans(&trace(Vec::new())), []);
    }
}
