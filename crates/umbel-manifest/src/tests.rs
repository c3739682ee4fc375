//! What is read, what is refused and with which words, and that nothing panics.

mod bad;
mod good;
mod random;

use umbel_core::Problem;

/// A manifest with one of everything that the bad cases break.
const BASE: &str = r#"apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: hello
  annotations:
    version: v1
spec:
  policies:
    - name: vault
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties: {backend: vault}
  components:
    - name: hello
      type: component
      properties:
        image: ./hello.wasm
        config:
          - name: greeting
            properties: {text: hi}
        secrets:
          - name: token
            properties: {policy: vault, key: path/token}
        limits: {memory: 64MiB, call_time: 5s}
      traits:
        - type: spreadscaler
          properties:
            instances: 5
            spread:
              - name: east
                requirements: {region: east}
    - name: http
      type: capability
      properties:
        image: builtin:http-server
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: {name: hello}
"#;

/// Problems as a terminal shows them.
fn rendered(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        match &problem.span {
            Some(span) => out.push_str(&format!("{span}: {problem}\n")),
            None => out.push_str(&format!("{problem}\n")),
        }
        out.push_str(&format!("  help: {}\n", problem.help));
    }
    out
}
