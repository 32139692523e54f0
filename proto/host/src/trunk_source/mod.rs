//! Polls a trunk's config URI (spec: D11, X10): at the start, at intervals, and when asked.
//! What does not hold as a trunk document never replaces one that did; the last good one is kept
//! on disk for a start with the source away.

mod store;

use crate::log::escape;
use crate::tasks::Tasks;
use bytes::{Bytes, BytesMut};
use holdline_wire::token::Tokens;
use holdline_wire::trunk::{MAX_DOCUMENT, TrunkDocument};
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, StatusCode, Url, redirect};
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::Notify;

/// The longest entity tag that is kept, in bytes; without one the next answer is a whole document.
const MAX_ETAG: usize = 256;
/// The shortest time between two requests, however often somebody asks.
const MIN_GAP: Duration = Duration::from_millis(200);
/// The first wait after a failure: without a document from the source, and with one. Each further
/// failure doubles it, up to the interval.
const FIRST_RETRY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// How long the source has before a stored document is offered instead.
const STORED_AFTER: Duration = Duration::from_secs(1);

/// How a trunk's document is fetched.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The config URI.
    pub uri: String,
    /// The time between two requests; it is varied by a tenth either way, so that agents that
    /// started together do not ask together.
    pub interval: Duration,
    /// How long one request may take, its body included.
    pub timeout: Duration,
    /// Where the last good document is kept.
    pub state_dir: Option<PathBuf>,
}

impl SourceOptions {
    /// The defaults: every 30 s (spec: X10), at most 5 s each, nothing kept.
    pub fn new(uri: impl Into<String>) -> SourceOptions {
        SourceOptions {
            uri: uri.into(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            state_dir: None,
        }
    }
}

/// Why no source was started.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The URI cannot be asked.
    #[error("config URI: expected http://HOST[:PORT]/PATH (https is not supported yet)")]
    Uri,
    /// The HTTP client could not be made.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// No entropy for the jitter.
    #[error("no entropy: {0}")]
    Entropy(#[from] io::Error),
}

/// What a request brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The document that is known still holds.
    NotModified,
    /// A valid document.
    Document {
        /// What it says.
        document: TrunkDocument,
        /// As it came.
        bytes: Bytes,
        /// Its entity tag.
        etag: Option<String>,
        /// Whether it comes from the disk, because the source did not answer.
        stored: bool,
    },
    /// No valid document; the last one stays in force.
    Failed {
        /// What kind of failure.
        failure: Failure,
        /// What happened, printable.
        reason: String,
    },
}

/// Why a request brought no valid document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, no HTTP, or an answer that was cut off.
    Transport,
    /// Not answered in time, the body included.
    Timeout,
    /// A status other than 200, and than 304 where that may come.
    Status,
    /// A redirect: none is followed (spec: X12).
    Redirect,
    /// Longer than a document may be.
    TooLong,
    /// No trunk document.
    Invalid,
}

impl Failure {
    /// The failure in a word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Transport => "transport",
            Failure::Timeout => "timeout",
            Failure::Status => "status",
            Failure::Redirect => "redirect",
            Failure::TooLong => "too long",
            Failure::Invalid => "invalid",
        }
    }
}

/// Asks for a request at once: for a webhook, or an operator.
#[derive(Clone, Debug)]
pub struct Refresh(Arc<Notify>);

impl Refresh {
    /// Asks once, however often it is called before the request leaves.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Whether `uri` is one that can be asked, before anything is started.
pub fn check_uri(uri: &str) -> Result<(), SourceError> {
    config_uri(uri).map(|_| ())
}

fn config_uri(uri: &str) -> Result<Url, SourceError> {
    let uri = Url::parse(uri).map_err(|_| SourceError::Uri)?;
    if uri.scheme() != "http" || !uri.has_host() {
        return Err(SourceError::Uri);
    }
    Ok(uri)
}

/// Starts fetching. `on_fetched` runs on a task: it hands over and returns.
pub fn start(
    tasks: &Tasks,
    options: SourceOptions,
    on_fetched: impl FnMut(Fetched) + Send + 'static,
) -> Result<Refresh, SourceError> {
    let uri = config_uri(&options.uri)?;
    let client = Client::builder()
        .user_agent("holdline")
        // What the source says counts, not where another server would send us (spec: X12).
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(options.timeout)
        .build()?;
    let refresh = Refresh(Arc::new(Notify::new()));
    let poller = Poller {
        client,
        store: options
            .state_dir
            .as_deref()
            .map(|dir| Store::new(dir, &options.uri)),
        uri,
        options,
        etag: None,
        has_document: false,
        failures: 0,
        jitter: Tokens::new(crate::clock::seed()?),
        refresh: refresh.clone(),
        on_fetched,
    };
    tasks.spawn_watched("trunk-source", poller.run());
    Ok(refresh)
}

struct Poller<F> {
    client: Client,
    uri: Url,
    options: SourceOptions,
    store: Option<Store>,
    /// Of the last valid document only: a 304 must never vouch for an invalid one.
    etag: Option<HeaderValue>,
    /// Whether the source gave a valid document since the start.
    has_document: bool,
    failures: u32,
    jitter: Tokens,
    refresh: Refresh,
    on_fetched: F,
}

impl<F: FnMut(Fetched)> Poller<F> {
    async fn run(mut self) {
        let stored = self.stored();
        let first = if stored.is_some() {
            self.options.timeout.min(STORED_AFTER)
        } else {
            self.options.timeout
        };
        self.poll(first).await;
        if let Some(stored) = stored.filter(|_| !self.has_document) {
            (self.on_fetched)(stored);
        }
        loop {
            self.wait().await;
            self.poll(self.options.timeout).await;
        }
    }

    fn stored(&self) -> Option<Fetched> {
        let bytes = self.store.as_ref()?.read()?;
        let document = TrunkDocument::parse(&bytes).ok()?;
        Some(Fetched::Document {
            document,
            bytes,
            etag: None,
            stored: true,
        })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(MIN_GAP).await;
        let wait = self.next_wait().saturating_sub(MIN_GAP);
        tokio::select! {
            () = self.refresh.0.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    fn next_wait(&mut self) -> Duration {
        let interval = self.options.interval;
        let wait = match self.failures {
            0 => interval,
            n => {
                let first = FIRST_RETRY[usize::from(self.has_document)];
                first.saturating_mul(1 << (n - 1).min(16)).min(interval)
            }
        };
        let per_mille = 900 + self.jitter.below(201) as u32;
        wait.saturating_mul(per_mille) / 1000
    }

    async fn poll(&mut self, timeout: Duration) {
        let fetched = match tokio::time::timeout(timeout, self.fetch()).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err((failure, reason))) => Fetched::Failed {
                failure,
                reason: escape(reason.as_bytes()),
            },
            Err(_) => Fetched::Failed {
                failure: Failure::Timeout,
                reason: format!("no whole answer in {timeout:?}"),
            },
        };
        let mut keep = None;
        match &fetched {
            Fetched::Failed { reason, .. } => {
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(
                    failures = self.failures,
                    reason,
                    "trunk document not fetched"
                );
            }
            Fetched::NotModified => self.failures = 0,
            Fetched::Document { bytes, etag, .. } => {
                self.failures = 0;
                self.has_document = true;
                self.etag = etag.as_deref().and_then(|e| HeaderValue::from_str(e).ok());
                keep = Some(bytes.clone());
            }
        }
        // The program first: the disk may be slow.
        (self.on_fetched)(fetched);
        if let Some((store, bytes)) = self.store.as_mut().zip(keep) {
            store.write(bytes).await;
        }
    }

    async fn fetch(&mut self) -> Result<Fetched, (Failure, String)> {
        let mut request = self.client.get(self.uri.clone());
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let mut response = request.send().await.map_err(reason)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if self.etag.is_some() => return Ok(Fetched::NotModified),
            status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                let status = status.as_u16();
                let reason = format!("status {status}: redirects are not followed");
                return Err((Failure::Redirect, reason));
            }
            status => return Err((Failure::Status, format!("status {}", status.as_u16()))),
        }
        let etag = response.headers().get(ETAG).and_then(|e| e.to_str().ok());
        let etag = etag.filter(|e| e.len() <= MAX_ETAG).map(str::to_owned);
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(reason)? {
            if body.len() + chunk.len() > MAX_DOCUMENT {
                let reason = format!("the document is longer than {MAX_DOCUMENT} bytes");
                return Err((Failure::TooLong, reason));
            }
            body.extend_from_slice(&chunk);
        }
        let bytes = body.freeze();
        let document =
            TrunkDocument::parse(&bytes).map_err(|error| (Failure::Invalid, error.to_string()))?;
        Ok(Fetched::Document {
            document,
            bytes,
            etag,
            stored: false,
        })
    }
}

/// The innermost causes, without the URI: it may hold a password.
fn reason(error: reqwest::Error) -> (Failure, String) {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    (Failure::Transport, text)
}

#[cfg(test)]
mod tests;
