//! What each path answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use super::{Gather, Refused, Wanted, pages};
use crate::exposition;
use crate::family::Family;

/// The header in which Prometheus says how long it waits.
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// How long a scrape may take when nobody says.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// What is left of Prometheus's time for the way back.
const WAY_BACK: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Served {
    gather: Arc<dyn Gather>,
    places: Arc<Semaphore>,
}

pub(super) fn router(gather: Arc<dyn Gather>, scrapes_max: usize) -> Router {
    Router::new()
        .route("/", get(landing))
        .route("/healthz", get(async || plain(StatusCode::OK, "ok")))
        .route("/metrics", get(metrics))
        .route("/probe", get(probe))
        .fallback(async |uri: Uri| {
            let path: String = uri.path().chars().take(80).collect();
            plain(StatusCode::NOT_FOUND, &format!("there is no page {path:?} here; see / and /metrics"))
        })
        .with_state(Served { gather, places: Arc::new(Semaphore::new(scrapes_max)) })
}

async fn landing(State(served): State<Served>) -> Html<String> {
    Html(pages::landing(&served.gather.clusters(), &served.gather.problems()))
}

async fn metrics(State(served): State<Served>, headers: HeaderMap) -> Response {
    let Ok(_place) = served.places.try_acquire() else { return busy() };
    let limit = limit(&headers);
    match served.gather.gather_within(limit).await {
        Some(families) => exposed(&families),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, &Refused::Timeout(limit.as_millis()).to_string()),
    }
}

async fn probe(
    State(served): State<Served>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let wanted = match query {
        Ok(Query(wanted)) => wanted,
        Err(error) => {
            let message = format!(
                "{}; ask /probe?target=zk://HOST:PORT, and &cluster=NAME for the label",
                error.body_text()
            );
            return plain(StatusCode::BAD_REQUEST, &message);
        }
    };
    let Ok(_place) = served.places.try_acquire() else { return busy() };
    match served.gather.probe(wanted, limit(&headers)).await {
        Ok(families) => exposed(&families),
        Err(refused) => plain(status(&refused), &refused.to_string()),
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::NotHere => StatusCode::NOT_FOUND,
        Refused::Target(_) | Refused::Setup(_) => StatusCode::BAD_REQUEST,
        Refused::Off | Refused::NotAllowed(_) => StatusCode::FORBIDDEN,
        Refused::Timeout(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// How long a scrape may take.
fn limit(headers: &HeaderMap) -> Duration {
    let told = headers.get(TIMEOUT_HEADER).and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
    match told.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(told) if !told.is_zero() => (told - WAY_BACK.min(told / 4)).min(DEFAULT_LIMIT),
        _ => DEFAULT_LIMIT,
    }
}

fn exposed(families: &[Family]) -> Response {
    match exposition::text(families) {
        Ok(text) => ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("the metrics cannot be written: {error}"))
        }
    }
}

fn busy() -> Response {
    plain(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes are going on; come again, and scrape less often")
}

/// A message in plain text, which no browser takes for anything else.
fn plain(status: StatusCode, message: &str) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, format!("{message}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_ends_before_prometheus_gives_it_up() {
        for (header, limit_ms) in [
            (Some("10"), 9500),
            (Some("2.5"), 2000),
            (Some("1"), 750),
            (Some("0.2"), 150),
            (Some("3600"), 60_000),
            (None, 60_000),
            (Some("0"), 60_000),
            (Some("-1"), 60_000),
            (Some("NaN"), 60_000),
            (Some("1e300"), 60_000),
            (Some("soon"), 60_000),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(TIMEOUT_HEADER, header.parse().unwrap());
            }
            assert_eq!(limit(&headers).as_millis(), limit_ms, "{header:?}");
        }
    }
}
