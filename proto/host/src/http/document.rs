//! A document that pollers ask for again and again: a 304 where they have it (RFC 9110 section 13).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::hash::{DefaultHasher, Hasher};

/// A JSON document with its entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    body: Bytes,
    etag: String,
}

impl Document {
    /// The tag is a hash of the content: it stays the same on every node that serves the same.
    pub fn json(body: impl Into<Bytes>) -> Document {
        let body = body.into();
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        let etag = format!("\"{:016x}\"", hasher.finish());
        Document { body, etag }
    }

    /// The answer to a request with these headers: 304 if `If-None-Match` names the tag.
    pub fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = if self.is_known(request) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            (
                [(header::CONTENT_TYPE, "application/json")],
                self.body.clone(),
            )
                .into_response()
        };
        let headers = response.headers_mut();
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(header::ETAG, etag);
        }
        // Caches may keep it, but must ask.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    fn is_known(&self, request: &HeaderMap) -> bool {
        let lines = request.get_all(header::IF_NONE_MATCH).iter();
        let mut tags = lines
            .filter_map(|l| l.to_str().ok())
            .flat_map(|l| l.split(','));
        tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
        })
    }
}
