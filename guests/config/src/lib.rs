//! Prints its config, a line `key=value` each; with `?key=K` the value of that key or `(none)`.

wit_bindgen::generate!({
    inline: "
        package umbel:config-guest;
        world needs { import wasi:config/store@0.2.0-rc.1; }
        package wasi:config@0.2.0-rc.1 {
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }
    ",
    world: "umbel:config-guest/needs",
    generate_all,
});

use wasi::config::store;

fn answer(request: &guest::IncomingRequest) -> String {
    match guest::query(request, "key") {
        Some(key) => match store::get(&key) {
            Ok(value) => format!("{}\n", value.unwrap_or_else(|| "(none)".to_owned())),
            Err(error) => format!("error: {error:?}\n"),
        },
        None => match store::get_all() {
            Ok(mut values) => {
                values.sort();
                values.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
            }
            Err(error) => format!("error: {error:?}\n"),
        },
    }
}

guest::serve!(answer);
