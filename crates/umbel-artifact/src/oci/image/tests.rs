use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn descriptor(media_type: &str) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(media_type.as_bytes()), "size": 7 })
}

fn of(value: &Value) -> Result<Document, Unusable> {
    read(value.to_string().as_bytes())
}

fn manifest(layers: &[&str]) -> Value {
    let layers: Vec<Value> = layers.iter().map(|media_type| descriptor(media_type)).collect();
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(WASM_CONFIG), "layers": layers })
}

#[test]
fn images_of_every_tool_are_known_by_their_layers() {
    for (media_type, kind) in [
        (WASM, Kind::Component),
        (WASM_1X, Kind::Component),
        (WASM_CONTENT, Kind::Component),
        (PAR, Kind::Provider),
        (TAR, Kind::Provider),
    ] {
        let Ok(Document::Image(image)) = of(&manifest(&[media_type])) else { panic!("{media_type}") };
        assert_eq!((image.kind, image.layer.media_type.as_str()), (kind, media_type));
    }
    // What lies beside the artifact does not matter; tools of wasmCloud leave the manifest's media type out.
    let mut beside = manifest(&["text/plain", PAR]);
    beside.as_object_mut().unwrap().remove("mediaType");
    let Ok(Document::Image(image)) = of(&beside) else { panic!("not read") };
    assert_eq!(image.layer.media_type, PAR);
}

#[test]
fn what_is_no_image_of_ours_is_refused_with_its_reason() {
    let both = {
        let mut both = manifest(&[WASM]);
        both["manifests"] = json!([descriptor(MANIFEST)]);
        both
    };
    let mut ambiguous = both.clone();
    ambiguous.as_object_mut().unwrap().remove("mediaType");
    let mut old = manifest(&[WASM]);
    old["schemaVersion"] = json!(1);
    let mut negative = manifest(&[WASM]);
    negative["layers"][0]["size"] = json!(-1);
    let mut other_digest = manifest(&[WASM]);
    other_digest["layers"][0]["digest"] = json!("sha512:00");
    let malformed =
        [both, ambiguous, old, negative, other_digest, json!({}), json!([]), json!({ "schemaVersion": 2 })];
    for value in malformed {
        assert!(matches!(of(&value), Err(Unusable::Malformed(_))), "{value}");
    }
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    for layers in [&[][..], &[gzip], &[WASM, PAR], &[WASM, WASM]] {
        assert!(matches!(of(&manifest(layers)), Err(Unusable::NotOurs(_))), "{layers:?}");
    }
}

fn listed(platforms: &[Option<(&str, &str)>]) -> Vec<Descriptor> {
    let one = |(number, platform): (usize, &Option<(&str, &str)>)| Descriptor {
        media_type: MANIFEST.into(),
        digest: Digest::of(&[u8::try_from(number).unwrap()]),
        size: 1,
        annotations: BTreeMap::new(),
        platform: platform.map(|(os, arch)| Platform { os: os.into(), architecture: arch.into() }),
    };
    platforms.iter().enumerate().map(one).collect()
}

#[test]
fn an_index_is_searched_for_the_platform_then_for_webassembly() {
    let here = Platform { os: "linux".into(), architecture: "amd64".into() };
    let check = |platforms: &[Option<(&str, &str)>], expected: Option<usize>| {
        let list = listed(platforms);
        let chosen = choose(&list, &here).map(|chosen| chosen.digest);
        assert_eq!(chosen, expected.map(|index| list[index].digest), "{platforms:?}");
    };
    check(&[Some(("linux", "arm64")), Some(("linux", "amd64"))], Some(1));
    check(&[Some(("wasip2", "wasm")), Some(("linux", "amd64"))], Some(1));
    check(&[Some(("linux", "arm64")), Some(("wasip2", "wasm"))], Some(1));
    check(&[None], Some(0));
    check(&[None, None], None);
    check(&[Some(("linux", "arm64"))], None);
    check(&[], None);
    let mut list = listed(&[Some(("linux", "amd64"))]);
    list[0].media_type = "application/vnd.in-toto+json".into();
    assert_eq!(choose(&list, &here), None, "a statement is no image");
}

#[test]
fn a_platform_is_read_as_it_is_written() {
    assert_eq!("linux/arm64".parse::<Platform>().unwrap().to_string(), "linux/arm64");
    for text in ["", "linux", "/amd64", "linux/"] {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_manifest_with_a_part_cut_out_is_refused_or_read(from in 0_usize..300, count in 1_usize..300) {
        let mut text = manifest(&[WASM]).to_string();
        let from = from.min(text.len() - 1);
        let to = (from + count).min(text.len());
        text.replace_range(from..to, "");
        // It has not panicked; what is whole JSON still has one layer of ours.
        if let Ok(Document::Image(image)) = read(text.as_bytes()) {
            prop_assert_eq!(image.kind, Kind::Component);
        }
    }
}
