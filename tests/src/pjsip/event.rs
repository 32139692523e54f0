//! One line that a script said.

use serde_json::Value;

/// An event: `tests/endpoints/README.md` lists the kinds and their members.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Event {
    /// Reads a line; nothing if that is no event.
    pub fn read(line: &str) -> Option<Event> {
        let value: Value = serde_json::from_str(line).ok()?;
        (value["event"].is_string() && value["t"].is_f64()).then_some(Event(value))
    }

    /// When, in seconds of CLOCK_MONOTONIC.
    pub fn t(&self) -> f64 {
        self.0["t"].as_f64().unwrap_or_default()
    }

    /// Whether it is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.text("event") == kind
    }

    /// A member that is text; empty where it is null or missing.
    pub fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_default()
    }

    /// A member that is a number.
    pub fn number(&self, member: &str) -> Option<f64> {
        self.0[member].as_f64()
    }

    /// The whole event.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Whether it is a SIP message on that way (`sent`, `received`): a request of `method`, or
    /// with `status` the response to one.
    pub fn is_sip(&self, way: &str, method: &str, status: Option<u16>) -> bool {
        self.is("sip")
            && self.text("way") == way
            && self.text("method") == method
            && self.number("status") == status.map(f64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_are_told_apart() {
        let request = r#"{"t":1.5,"event":"sip","way":"received","method":"INVITE","status":null}"#;
        let request = Event::read(request).unwrap();
        assert!(request.is_sip("received", "INVITE", None));
        assert!(!request.is_sip("received", "INVITE", Some(200)));
        assert!(!request.is_sip("sent", "INVITE", None));
        assert_eq!((request.t(), request.text("reason")), (1.5, ""));
        assert!(Event::read("PJSIP says").is_none());
    }
}
