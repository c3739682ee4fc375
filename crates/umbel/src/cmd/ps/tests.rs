use super::*;
use crate::golden;

#[test]
fn what_runs_is_shown_in_tables() {
    let ps: Ps = golden::input("ps.json");
    golden::check("ps.txt", &render(&golden::context(), &ps, Style::PLAIN));
    let (applications, components, providers) = (Vec::new(), Vec::new(), Vec::new());
    let nothing = Ps { applications, components, providers, hosts: Vec::new() };
    golden::check("ps-nothing.txt", &render(&golden::context(), &nothing, Style::PLAIN));
}

#[test]
fn a_builtin_in_place_of_an_image_says_so() {
    let image = "ghcr.io/wasmcloud/http-server:0.27.0";
    assert_eq!(stood_in("builtin", image), "in place of ghcr.io/wasmcloud/http-server:0.27.0");
    assert_eq!(stood_in("process", image), image);
    assert_eq!(stood_in("builtin", "builtin:http-server"), "builtin:http-server");
}
