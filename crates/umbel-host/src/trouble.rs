//! Links that do not serve. They are told with the inventory, so that whoever put them does not take them for done.

use crate::explain::{Importing, lacks, needs, refuse_mismatch};
use crate::provider::{ProviderSlot, Taken};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::tables::Tables;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::link::{Link, LinkKey};
use umbel_lattice::control::LinkTrouble;
use umbel_runtime::Image;

/// What comparing the two ends of links has found, as long as both run the same images.
#[derive(Default)]
pub struct Compared(Mutex<HashMap<LinkKey, Found>>);

struct Found {
    importer: Weak<Image>,
    server: Weak<Image>,
    problem: Option<Problem>,
}

/// The links of this moment that do not serve.
pub fn links(shared: &Shared) -> Vec<LinkTrouble> {
    let tables = shared.tables.borrow().clone();
    let troubles: Vec<LinkTrouble> = tables.links().filter_map(|link| of(shared, &tables, link)).collect();
    shared.compared.forget_all_but(&tables);
    troubles
}

fn of(shared: &Shared, tables: &Tables, link: &Link) -> Option<LinkTrouble> {
    let (from, to) = (shared.provider(&link.source_id), shared.provider(&link.target));
    let trouble = |problem| LinkTrouble { key: link.key(), problem };
    for provider in [&from, &to].into_iter().flatten() {
        match provider.has_taken(&tables.resolve(link)) {
            Taken::Yes => {}
            Taken::NotYet => return Some(trouble(None)),
            Taken::Refused(problem) => return Some(trouble(Some(problem))),
        }
    }
    let (importer, target) = (Importing::of(shared, &link.source_id), shared.slot(&link.target));
    let is_component = shared.slot(&link.source_id).is_some();
    let problem = match (&importer, &from) {
        (Some(importer), _) => between(shared, link, importer, to.as_deref(), target.as_deref()),
        (None, _) if is_component => None,
        (None, Some(_)) => {
            let revision = target.as_ref().and_then(|slot| Some((slot, slot.current.load_full()?)));
            revision.and_then(|(slot, revision)| lacks(slot, revision.component.image(), &link.contract))
        }
        (None, None) => None,
    };
    problem.map(|problem| trouble(Some(problem)))
}

/// What keeps the link from serving a component that runs.
fn between(
    shared: &Shared,
    link: &Link,
    importer: &Importing,
    provider: Option<&ProviderSlot>,
    component: Option<&Slot>,
) -> Option<Problem> {
    let image = &importer.image;
    let server = shared.image_of(&link.target);
    shared.compared.with(link, image, server.as_ref(), || {
        let imports: Vec<String> =
            needs(image).into_iter().filter(|import| link.contract.covers(import)).collect();
        imports.iter().find_map(|import| {
            not_carried(&link.source_id, image, import)
                .or_else(|| refuse_mismatch(shared, importer, link, import, provider, component).err())
        })
    })
}

/// A function of the import that no link can serve.
pub fn not_carried(importer: &str, image: &Image, import: &str) -> Option<Problem> {
    let (function, ty) = image.not_carried(import)?;
    let text = format!("{importer} imports `{import}`, whose `{function}` passes `{ty}`");
    Some(Problem::new(guest::NOT_CARRIED, text))
}

impl Compared {
    fn with(
        &self,
        link: &Link,
        importer: &Arc<Image>,
        server: Option<&Arc<Image>>,
        compare: impl FnOnce() -> Option<Problem>,
    ) -> Option<Problem> {
        let (key, importer) = (link.key(), Arc::downgrade(importer));
        let server = server.map(Arc::downgrade).unwrap_or_default();
        if let Some(found) = self.lock().get(&key)
            && found.importer.ptr_eq(&importer)
            && found.server.ptr_eq(&server)
            // A provider may be another one by now.
            && server.strong_count() > 0
        {
            return found.problem.clone();
        }
        let problem = compare();
        self.lock().insert(key, Found { importer, server, problem: problem.clone() });
        problem
    }

    fn forget_all_but(&self, tables: &Tables) {
        let mut found = self.lock();
        let there = tables.links().count();
        if found.len() > there {
            found.retain(|key, _| tables.links_of(&key.source_id).iter().any(|link| link.key() == *key));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LinkKey, Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
