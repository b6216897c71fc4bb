//! From a request to its answer.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::answer::{Body, json, lines, only, problem};
use super::view::{ServiceView, StatusView};
use super::{Administered, Desk, act, events};
use crate::config::duration::parse_positive;
use crate::driver::Clients;

/// A client and what it may use.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) desk: Arc<Desk>,
    /// The places for those who follow the events.
    pub(super) streams: Arc<Semaphore>,
    /// Where to do what outlives the request.
    pub(super) tasks: TaskTracker,
    /// Who it is, if the kernel says so.
    pub(super) uid: Option<u32>,
    /// How long the exchange may take from now on; none for as long as it wants.
    pub(super) limit: watch::Sender<Option<Duration>>,
}

/// A service that is spoken of.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) service: Administered,
}

impl Subject {
    pub(super) fn view(&self) -> ServiceView {
        ServiceView::of(&self.name, &self.service)
    }
}

/// The answer to a request; its body is not read.
pub(super) async fn route(request: Request<Incoming>, asking: Arc<Asking>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (get, post) = (request.method() == Method::GET, request.method() == Method::POST);
    match words[..] {
        ["v1", "status"] if get => json(StatusCode::OK, &status(&asking.desk)),
        ["v1", "events"] if get => follow(&asking),
        ["v1", "status" | "events"] => only("GET"),
        ["v1", "reload"] if post => act::reload(&asking).await,
        ["v1", "reload"] => only("POST"),
        ["v1", "services", name] => match asking.desk.subject(name) {
            Err(unknown) => problem(StatusCode::NOT_FOUND, unknown),
            Ok(subject) if get => json(StatusCode::OK, &subject.view()),
            Ok(_) => only("GET"),
        },
        ["v1", "services", name, verb @ ("wake" | "sleep" | "hold" | "release")] => {
            let subject = match asking.desk.subject(name) {
                Ok(subject) => subject,
                Err(unknown) => return problem(StatusCode::NOT_FOUND, unknown),
            };
            if !post {
                return only("POST");
            }
            match (verb, parameters(verb, &query)) {
                (_, Err(wrong)) => problem(StatusCode::BAD_REQUEST, wrong),
                ("wake", Ok(given)) => act::wake(&asking, subject, given.waits).await,
                ("sleep", Ok(given)) => act::sleep(&asking, &subject, given.clients),
                ("hold", Ok(given)) => act::hold(&asking, subject, given.time).await,
                (_, Ok(_)) => act::release(&asking, &subject),
            }
        }
        _ => problem(
            StatusCode::NOT_FOUND,
            "not known; there are /v1/status, /v1/events, /v1/reload and /v1/services/NAME, and \
             below that wake, sleep, hold and release",
        ),
    }
}

impl Desk {
    fn subject(&self, name: &str) -> Result<Subject, String> {
        let services = self.services();
        let known = || services.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let service = services.get(name).cloned();
        service
            .map(|service| Subject { name: name.to_owned(), service })
            .ok_or_else(|| format!("there is no service {name:?}; there are: {}", known()))
    }
}

fn status(desk: &Desk) -> StatusView {
    let services = desk.services();
    let view = |(name, service): (&String, _)| ServiceView::of(name, service);
    StatusView { services: services.iter().map(view).collect() }
}

fn follow(asking: &Asking) -> Response<Body> {
    let Ok(place) = Arc::clone(&asking.streams).try_acquire_owned() else {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many follow the events already: end one of them",
        );
    };
    asking.limit.send_replace(None);
    lines(events::follow(Arc::clone(&asking.desk), place))
}

/// What a request may say beside its path.
#[derive(Debug, Default, PartialEq)]
struct Parameters {
    waits: act::Waits,
    time: Option<Duration>,
    clients: Clients,
}

fn parameters(verb: &str, query: &str) -> Result<Parameters, String> {
    let mut given = Parameters::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match (verb, pair.split_once('=').unwrap_or((pair, ""))) {
            ("wake", ("wait", "1")) => given.waits = act::Waits::ForTheEnd,
            ("wake", ("wait", "0")) => given.waits = act::Waits::ForTheBeginning,
            ("sleep", ("force", "1")) => given.clients = Clients::AreCutOff,
            ("sleep", ("force", "0")) => given.clients = Clients::ComeFirst,
            ("hold", ("for", time)) => {
                // Spaces come as they are allowed to in a query.
                let time = time.replace("%20", " ").replace('+', " ");
                given.time = Some(parse_positive(&time).map_err(|error| format!("for: {error}"))?);
            }
            ("wake", _) => return Err(format!("{pair}: wake takes wait=1 alone")),
            ("hold", _) => return Err(format!("{pair}: hold takes for=DURATION alone")),
            ("sleep", _) => return Err(format!("{pair}: sleep takes force=1 alone")),
            _ => return Err(format!("{pair}: {verb} takes no parameter")),
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_the_verb_or_told() {
        let longer = Some(Duration::from_secs(5400));
        assert_eq!(parameters("hold", "for=1h%2030m").unwrap().time, longer);
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(parameters("hold", "for=1h").unwrap().time, hour);
        assert_eq!(parameters("hold", "").unwrap().time, None);
        assert_eq!(parameters("wake", "wait=1").unwrap().waits, act::Waits::ForTheEnd);
        for (verb, query) in [
            ("hold", "for=0s"),
            ("hold", "for="),
            ("hold", "wait=1"),
            ("wake", "wait=2"),
            ("sleep", "now"),
        ] {
            assert!(parameters(verb, query).is_err(), "{verb} {query}");
        }
        assert_eq!(parameters("sleep", "force=1").unwrap().clients, Clients::AreCutOff);
        assert!(parameters("release", "now").unwrap_err().contains("no parameter"));
    }
}
