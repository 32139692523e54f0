//! Two legs of one B2BUA between a caller and a callee.

mod b2bua;
mod early;
mod lossy;
mod passing;
mod peers;
mod standing;
mod ua;
