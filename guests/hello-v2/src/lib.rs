//! Says another hello, for updates.

fn answer(_: &guest::IncomingRequest) -> String {
    "Hello again from Umbel!\n".to_owned()
}

guest::serve!(answer);
