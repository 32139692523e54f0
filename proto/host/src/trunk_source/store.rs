//! The last good document on disk: written beside and renamed, so that it is never half there.

use bytes::Bytes;
use holdline_wire::trunk::MAX_DOCUMENT;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The file of one config URI.
pub(super) struct Store {
    path: PathBuf,
    written: Option<Bytes>,
}

impl Store {
    /// A file in `dir` that is named after the URI, so that a document outlives no change of it.
    pub(super) fn new(dir: &Path, uri: &str) -> Store {
        let mut hasher = DefaultHasher::new();
        hasher.write(uri.as_bytes());
        let path = dir.join(format!("trunk-{:016x}.json", hasher.finish()));
        Store {
            path,
            written: None,
        }
    }

    /// What is there; an absent or overlong file is none.
    pub(super) fn read(&self) -> Option<Bytes> {
        let mut bytes = Vec::new();
        let limit = MAX_DOCUMENT as u64 + 1;
        File::open(&self.path)
            .ok()?
            .take(limit)
            .read_to_end(&mut bytes)
            .ok()?;
        (bytes.len() <= MAX_DOCUMENT).then(|| bytes.into())
    }

    /// Keeps a document, if it is another than the last; a failure is logged.
    pub(super) async fn write(&mut self, bytes: Bytes) {
        if self.written.as_ref() == Some(&bytes) {
            return;
        }
        let (path, content) = (self.path.clone(), bytes.clone());
        // The disk may be slow.
        let result = tokio::task::spawn_blocking(move || replace(&path, &content)).await;
        match result.map_err(io::Error::other).and_then(|r| r) {
            Ok(()) => self.written = Some(bytes),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "trunk document not kept");
            }
        }
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
