//! Tests in virtual time.

mod long;
mod membership;
mod placing;
mod returning;
mod self_doubt;
mod verdicts;
mod world;
