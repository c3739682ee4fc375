use super::*;
use crate::golden;

#[test]
fn what_runs_is_shown_in_tables() {
    let ps: Ps = golden::input("ps.json");
    golden::check("ps.txt", &render(&golden::context(), &ps, Style::PLAIN));
    let nothing = Ps { applications: Vec::new(), components: Vec::new(), providers: Vec::new() };
    golden::check("ps-nothing.txt", &render(&golden::context(), &nothing, Style::PLAIN));
}
