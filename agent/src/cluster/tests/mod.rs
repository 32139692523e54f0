//! Tests in virtual time.

mod dialogs;
mod long;
mod media;
mod membership;
mod own_faults;
mod placing;
mod refused;
mod returning;
mod self_doubt;
mod verdicts;
mod world;
