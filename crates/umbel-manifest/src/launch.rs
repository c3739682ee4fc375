//! The manifest that `umbel launch FILE` writes: one component, and an HTTP server in front of it if it serves HTTP.

use crate::model::{Application, Link, Part, PartKind, Scale, Source};
use std::collections::BTreeMap;
use umbel_core::id::{AppName, application_part_id};
use umbel_core::link::{Contract, DEFAULT_LINK_NAME, Distance};

/// The name that the server has in such a manifest.
pub const HTTP_SERVER_PART: &str = "http-server";
/// The image of the server that is built in.
pub const HTTP_SERVER_IMAGE: &str = "builtin:http-server";

impl Application {
    /// The manifest, as YAML, of an application with one component. It is a common manifest, so that what `launch` did can be
    /// read, changed and deployed by hand.
    ///
    /// `image` is a path or any other reference; `serves_http` is whether the component exports a handler of `wasi:http`.
    pub fn for_component(name: &AppName, image: &str, serves_http: bool) -> String {
        let component_name = if name.as_str() == HTTP_SERVER_PART { "component" } else { name.as_str() };
        let mut parts = vec![part(name, component_name, PartKind::Component, image)];
        if serves_http {
            let mut server = part(name, HTTP_SERVER_PART, PartKind::Provider, HTTP_SERVER_IMAGE);
            server.links.push(Link {
                name: DEFAULT_LINK_NAME.to_owned(),
                target: component_name.to_owned(),
                contract: Contract::new("wasi", "http", &["incoming-handler"]),
                source_config: Vec::new(),
                source_secrets: Vec::new(),
                target_config: Vec::new(),
                target_secrets: Vec::new(),
                distance: Distance::Any,
            });
            parts.push(server);
        }
        let application = Application {
            name: name.clone(),
            annotations: BTreeMap::from([("description".to_owned(), format!("{name}, launched by umbel"))]),
            labels: BTreeMap::new(),
            parts,
            policies: Vec::new(),
        };
        application.to_yaml()
    }
}

fn part(app: &AppName, name: &str, kind: PartKind, image: &str) -> Part {
    Part {
        name: name.to_owned(),
        id: application_part_id(app, name),
        id_is_explicit: false,
        kind,
        source: Source::Image(image.to_owned()),
        config: Vec::new(),
        secrets: Vec::new(),
        limits: None,
        grants: None,
        restart: None,
        isolation: None,
        containment: None,
        instance: None,
        scale: Scale::Single,
        links: Vec::new(),
    }
}
