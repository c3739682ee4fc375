//! Answers without reading its request body.

fn answer(_: &guest::IncomingRequest) -> String {
    "unread\n".to_owned()
}

guest::serve!(answer);
