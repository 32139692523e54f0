//! Standard reason phrases, out of rsip's vocabulary of status codes.

use std::sync::LazyLock;

/// The standard reason phrase of `status`; for an unknown one that of its class.
pub fn reason_phrase(status: u16) -> &'static str {
    static PHRASES: LazyLock<Vec<String>> = LazyLock::new(|| (100..700).map(phrase).collect());
    let phrase = status
        .checked_sub(100)
        .and_then(|at| PHRASES.get(usize::from(at)));
    phrase.map_or("Unknown", String::as_str)
}

fn phrase(status: u16) -> String {
    // Where the phrase is not the code's name with spaces, or rsip has it wrong or not at all.
    let exact = match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Notification",
        414 => "Request-URI Too Long",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        440 => "Max-Breadth Exceeded",
        481 => "Call/Transaction Does Not Exist",
        504 => "Server Time-out",
        606 => "Not Acceptable",
        608 => "Rejected",
        _ => return named(status),
    };
    exact.to_owned()
}

/// The name of the status code in words: `NotFound` is `Not Found`.
fn named(status: u16) -> String {
    let code = rsip::StatusCode::from(status);
    if matches!(code, rsip::StatusCode::Other(..)) {
        return class(status).to_owned();
    }
    let mut words = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "Progress",
        2 => "Success",
        3 => "Redirection",
        4 => "Request Failure",
        5 => "Server Failure",
        _ => "Global Failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_those_of_the_standards() {
        let pairs = [
            (100, "Trying"),
            (180, "Ringing"),
            (181, "Call Is Being Forwarded"),
            (183, "Session Progress"),
            (200, "OK"),
            (202, "Accepted"),
            (400, "Bad Request"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (405, "Method Not Allowed"),
            (408, "Request Timeout"),
            (420, "Bad Extension"),
            (422, "Session Interval Too Small"),
            (480, "Temporarily Unavailable"),
            (481, "Call/Transaction Does Not Exist"),
            (486, "Busy Here"),
            (487, "Request Terminated"),
            (488, "Not Acceptable Here"),
            (491, "Request Pending"),
            (500, "Server Internal Error"),
            (501, "Not Implemented"),
            (503, "Service Unavailable"),
            (505, "Version Not Supported"),
            (603, "Decline"),
            (499, "Request Failure"),
            (99, "Unknown"),
            (700, "Unknown"),
        ];
        for (status, phrase) in pairs {
            assert_eq!(reason_phrase(status), phrase);
        }
    }
}
