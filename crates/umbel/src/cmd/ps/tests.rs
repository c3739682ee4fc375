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
