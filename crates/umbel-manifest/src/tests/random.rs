//! Whatever the bytes: what is accepted can be written and read again, and what is refused has codes and places inside the text.

use super::BASE;
use crate::parse;
use proptest::prelude::*;
use umbel_core::code::host::PROVIDER_PROPERTIES;

/// What must be true of any bytes.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let problems = match parse("f", bytes) {
        Ok(application) => {
            let again = parse("f", application.to_yaml().as_bytes()).expect("canonical text is valid");
            prop_assert_eq!(again, application);
            return Ok(());
        }
        Err(problems) => problems,
    };
    prop_assert!(!problems.is_empty());
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for problem in &problems {
        // What a kind of provider cannot be given is said by the host as well.
        let is_of_manifest = problem.code.entry().number < 300 || problem.code == PROVIDER_PROPERTIES;
        prop_assert!(is_of_manifest && !problem.help.is_empty(), "{:?}", problem);
        let Some(span) = &problem.span else { continue };
        let length = span.line.checked_sub(1).and_then(|line| lines.get(line));
        // The end of a line, or of the text, is a place too.
        prop_assert!(length.is_some_and(|length| (1..=length + 1).contains(&span.column)), "{:?}", problem);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
    }

    #[test]
    fn any_yaml_like_text(text in "[-a-z0-9:{}\\[\\]&*!?|>'\"#%,@`~<.\\\\ \n\t\r\u{85}é]{0,200}") {
        check(text.as_bytes())?;
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
        check(&bytes)?;
    }

    #[test]
    fn swapped_lines(from in any::<proptest::sample::Index>(), to in any::<proptest::sample::Index>()) {
        let mut lines: Vec<&str> = BASE.lines().collect();
        let line = lines.remove(from.index(lines.len()));
        lines.insert(to.index(lines.len()), line);
        check(lines.join("\n").as_bytes())?;
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
