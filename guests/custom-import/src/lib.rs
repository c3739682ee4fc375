//! Imports `acme:demo/greeter`, which nobody serves, and calls it on `/call`.

wit_bindgen::generate!({
    inline: "
        package acme:demo@1.0.0;
        interface greeter { greet: func(name: string) -> string; }
        world needs { import greeter; }
    ",
    world: "acme:demo/needs",
});

fn answer(request: &guest::IncomingRequest) -> String {
    match guest::path(request).as_str() {
        "/call" => format!("{}\n", acme::demo::greeter::greet("Umbel")),
        _ => "not called\n".to_owned(),
    }
}

guest::serve!(answer);
