//! Exports `acme:demo/greeter` and nothing that a platform could run or route to.

wit_bindgen::generate!({
    inline: "
        package acme:demo@1.0.0;
        interface greeter { greet: func(name: string) -> string; }
        world serves { export greeter; }
    ",
    world: "acme:demo/serves",
});

struct Library;

impl exports::acme::demo::greeter::Guest for Library {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Library);
