use super::*;
use umbel_core::code::supervisor as code;

fn node(id: &str, kind: &str, state: State, children: Vec<Tree>) -> Tree {
    Tree {
        id: id.to_string(),
        kind: kind.to_string(),
        state,
        restarts: 0,
        since_unix_ms: 1_000,
        last_exit: None,
        detail: None,
        children: children.into_iter().map(Arc::new).collect(),
    }
}

fn example() -> Tree {
    let mut lattice = node("lattice", "task", State::Running, vec![]);
    lattice.detail = Some("in-process".to_string());
    // A problem that is over is not shown beside a running child.
    lattice.last_exit = Some(Problem::new(code::CHILD_ENDED, "it ended"));
    lattice.restarts = 1;
    let mut orders = node("orders", "component", State::CrashLoop, vec![]);
    orders.restarts = 5;
    orders.last_exit = Some(Problem::new(code::CHILD_PANICKED, "index out of bounds"));
    let late = node("late", "component", State::BackingOff { retry_in_ms: 2_345 }, vec![]);
    let components = node("components", "supervisor", State::Running, vec![orders, late]);
    let control = node("control", "task", State::Starting, vec![node("a", "task", State::Stopped, vec![])]);
    node("host", "supervisor", State::Running, vec![lattice, components, control])
}

#[test]
fn it_prints_as_a_tree() {
    let expect = "\
host (supervisor)  running
├─ lattice (task)  running  restarts 1  in-process
├─ components (supervisor)  running
│  ├─ orders (component)  crash loop  restarts 5  UM0702: index out of bounds
│  └─ late (component)  backing off, next try in 2.3 s
└─ control (task)  starting
   └─ a (task)  stopped";
    assert_eq!(example().to_string(), expect);
}

#[test]
fn it_survives_json() {
    let tree = example();
    let json = serde_json::to_value(&tree).unwrap();
    assert_eq!(json["children"][1]["children"][1]["state"]["name"], "backing-off");
    assert_eq!(json["children"][1]["children"][1]["state"]["retry_in_ms"], 2_345);
    assert_eq!(serde_json::from_value::<Tree>(json).unwrap(), tree);
}

#[test]
fn nodes_are_found_by_path() {
    let tree = example();
    assert_eq!(tree.find(&["components", "late"]).unwrap().id, "late");
    assert_eq!(tree.find(&[]).unwrap().id, "host");
    assert!(tree.find(&["components", "nobody"]).is_none());
    assert!(!tree.is_healthy());
    assert!(tree.find(&["lattice"]).unwrap().is_healthy());
}
