use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_prepared_folder_keeps_others_out() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateFolder::new(dir.path().join("a/b"));
    state.prepare().unwrap();
    state.prepare().unwrap();
    assert_eq!(mode(state.root()), 0o700);
    assert_eq!(mode(&state.root().join("run")), 0o700);
}

#[test]
fn an_announcement_is_read_back_and_withdrawn() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateFolder::new(dir.path());
    state.prepare().unwrap();
    assert_eq!(state.running().unwrap(), None);
    let running = Running {
        pid: 7,
        api_socket: state.socket(),
        api_url: None,
        http_url: Some("http://127.0.0.1:8000".into()),
        version: "0.1.0".into(),
    };
    state.announce(&running).unwrap();
    assert_eq!(state.running().unwrap(), Some(running));
    assert_eq!(mode(&state.endpoint_file()), 0o600);
    state.withdraw();
    assert_eq!(state.running().unwrap(), None);
}

#[test]
fn a_damaged_announcement_is_a_coded_problem() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateFolder::new(dir.path());
    state.prepare().unwrap();
    std::fs::write(state.endpoint_file(), b"{\"pid\":").unwrap();
    assert_eq!(state.running().unwrap_err().code, api::ENDPOINT_DAMAGED);
    std::fs::write(state.endpoint_file(), vec![b' '; 100_000]).unwrap();
    assert_eq!(state.running().unwrap_err().code, api::STATE_FOLDER);
}

#[test]
fn a_socket_path_may_have_107_bytes() {
    let with = |bytes: usize| {
        StateFolder::new(format!("/{}", "x".repeat(bytes - "/".len() - "/run/api.sock".len())))
    };
    assert_eq!(with(107).socket().as_os_str().len(), 107);
    with(107).check_socket_path().unwrap();
    assert_eq!(with(108).check_socket_path().unwrap_err().code, api::SOCKET_PATH_TOO_LONG);
}
