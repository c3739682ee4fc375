//! Nothing panics and nothing takes long, whatever the bytes.

use super::BASE;
use crate::parse;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse("f", &bytes);
    }

    #[test]
    fn any_yaml_like_text(text in "[-a-z0-9:{}\\[\\]&*!?|>'\"#%,@`~<.\\\\ \n\t\r\u{85}é]{0,200}") {
        let _ = parse("f", text.as_bytes());
    }

    #[test]
    fn mutated_manifests(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..4, any::<u8>()), 1..6),
    ) {
        let mut bytes = BASE.as_bytes().to_vec();
        for (place, what, byte) in edits {
            let at = place.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match what {
                0 if !bytes.is_empty() => { bytes.remove(at); }
                1 => bytes.insert(at, byte),
                2 if !bytes.is_empty() => bytes[at] = byte & 0x7F,
                _ => bytes.truncate(at.max(1)),
            }
        }
        if let Err(problems) = parse("f", &bytes) {
            prop_assert!(!problems.is_empty());
            for problem in problems.iter().filter_map(|p| p.span.as_ref()) {
                prop_assert!(problem.line >= 1 && problem.column >= 1);
            }
        }
    }

    #[test]
    fn swapped_lines(from in any::<proptest::sample::Index>(), to in any::<proptest::sample::Index>()) {
        let mut lines: Vec<&str> = BASE.lines().collect();
        let line = lines.remove(from.index(lines.len()));
        lines.insert(to.index(lines.len()), line);
        let _ = parse("f", lines.join("\n").as_bytes());
    }

    #[test]
    fn any_text_survives_being_written(text in "\\PC{0,40}|[ -~\n\t\u{85}\u{2028}é😀]{0,40}") {
        let json = serde_json::json!({
            "apiVersion": "core.oam.dev/v1beta1", "kind": "Application",
            "metadata": {"name": "a", "annotations": {"description": text}},
            "spec": {"components": [{"name": "a", "type": "component", "properties": {"image": "a.wasm"}}]},
        });
        let app = parse("f", json.to_string().as_bytes());
        // Characters that no manifest may contain are refused, not changed.
        if let Ok(app) = app {
            prop_assert_eq!(app.description(), Some(text.as_str()));
            let again = parse("f", app.to_yaml().as_bytes()).expect("canonical text is valid");
            prop_assert_eq!(again, app);
        }
    }
}
