//! Why a link works, or does not: for each import of a component who serves it, whether the contract is the same, and what would mend it.

use crate::door::{HTTP_OUTGOING, mismatch};
use crate::provider::{self, ProviderSlot};
use crate::shared::Shared;
use crate::slot::{Slot, not_running};
use crate::trouble::not_carried;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::{guest, invoke};
use umbel_core::id::ComponentId;
use umbel_core::limits::InstanceMode;
use umbel_core::link::{Contract, DEFAULT_LINK_NAME, Distance, Link};
use umbel_lattice::control::{PartState, ProviderKind};
use umbel_lattice::extension::{Checked, ExplainRequest, Explained, LinkView, PathKind, Target, TargetKind};
use umbel_runtime::Image;
use umbel_wit::{Interface, InterfaceName};

/// Those who could serve that a message names.
const NAMED_MAX: usize = 5;

/// What was asked about a source, link by link.
pub fn explain(shared: &Shared, request: &ExplainRequest) -> Result<Explained, Problem> {
    let source = request.source.as_str();
    let tables = shared.tables.borrow().clone();
    let links = tables.links_of(source);
    let slot = shared.slot(source);
    let provider = shared.provider(source);
    if slot.is_none() && provider.is_none() && links.is_empty() {
        let message = format!("nothing runs with the id `{source}`, and it has no links");
        return Err(Problem::new(umbel_core::code::api::NO_SUCH_NAME, message));
    }
    let importer = Importing::of(shared, source);
    let asker = Asker { shared, source, importer: importer.as_ref(), links };
    let mut views: Vec<LinkView> = asker.imports().iter().flat_map(|import| asker.views(import)).collect();
    views.extend(links.iter().filter(|link| !asker.is_imported(link)).map(|link| asker.spare(link)));
    views.retain(|view| is_asked(request, view));
    let state = match (&slot, &provider) {
        (Some(slot), _) => slot.status().state,
        (None, Some(provider)) => provider.status().0,
        (None, None) => PartState::Unknown,
    };
    Ok(Explained { source: source.into(), state, by_host: asker.by_host(), links: views })
}

fn is_asked(request: &ExplainRequest, view: &LinkView) -> bool {
    let contract = request.contract.as_deref().is_none_or(|contract| {
        let contract = InterfaceName::new(contract).unversioned;
        let import = InterfaceName::new(&view.import).unversioned;
        // A package stands for all of its interfaces.
        import == contract || import.split('/').next() == Some(contract.as_str())
    });
    contract && request.name.as_deref().is_none_or(|name| name == view.name)
}

/// A component that runs, be it a provider or not, as the importer of what its links carry.
pub(crate) struct Importing {
    pub id: String,
    pub image: Arc<Image>,
}

impl Importing {
    /// What runs under that id, if it is a component.
    pub(crate) fn of(shared: &Shared, id: &str) -> Option<Importing> {
        Some(Importing { id: id.to_string(), image: shared.image_of(id)? })
    }
}

/// Whose links are looked at.
struct Asker<'a> {
    shared: &'a Shared,
    source: &'a str,
    importer: Option<&'a Importing>,
    links: &'a [Link],
}

impl Asker<'_> {
    fn image(&self) -> Option<&Arc<Image>> {
        self.importer.map(|importer| &importer.image)
    }

    /// What it imports and the host does not serve itself.
    fn imports(&self) -> Vec<String> {
        let mut needs = self.image().map(|image| needs(image)).unwrap_or_default();
        if let Some(bindings) = self.shared.bindings_of(self.source) {
            needs.retain(|import| !bindings.gives(import));
        }
        needs
    }

    fn by_host(&self) -> Vec<String> {
        let needs = self.imports();
        let all = self.image().map(|image| image.imports().to_vec()).unwrap_or_default();
        all.into_iter().filter(|import| !needs.contains(import)).collect()
    }

    fn is_imported(&self, link: &Link) -> bool {
        self.imports().iter().any(|import| link.contract.covers(import))
    }

    /// The links of one import; without any, what is missing.
    fn views(&self, import: &str) -> Vec<LinkView> {
        let own: Vec<&Link> = self.links.iter().filter(|link| link.contract.covers(import)).collect();
        let mut views: Vec<LinkView> = own.iter().map(|link| self.view(import, link)).collect();
        if views.is_empty() {
            views.push(self.missing(import));
        }
        views
    }

    fn missing(&self, import: &str) -> LinkView {
        let name = InterfaceName::new(import).unversioned;
        let problem = Problem::new(guest::UNLINKED, format!("no link of {} serves `{import}`", self.source));
        LinkView {
            import: import.into(),
            name: DEFAULT_LINK_NAME.into(),
            target: None,
            path: None,
            call_ns: None,
            problem: Some(problem.with_help(self.mend(import, &name, DEFAULT_LINK_NAME))),
            note: None,
        }
    }

    fn view(&self, import: &str, link: &Link) -> LinkView {
        let target = self.target(link);
        let mut view = LinkView {
            import: import.into(),
            name: link.name.clone(),
            path: None,
            call_ns: None,
            problem: None,
            note: far(link, &target),
            target: None,
        };
        let outcome = match &target.kind {
            _ if let Some(problem) = self.refusal(link, import) => Err(problem),
            TargetKind::Component => self.component(link, import),
            TargetKind::Provider => self.provider(link, import),
            TargetKind::Unknown => Err(self.unknown(link, import)),
        };
        match outcome {
            Ok(path) => {
                (view.path, view.call_ns) = (Some(path), self.shared.call_ns(self.source, &link.key()));
            }
            Err(problem) => view.problem = Some(problem),
        }
        view.target = Some(target);
        view
    }

    /// What keeps the link from being taken at all.
    fn refusal(&self, link: &Link, import: &str) -> Option<Problem> {
        let refused = |id: &str| self.shared.provider(id)?.refusal(&link.key());
        let carried = || not_carried(self.source, self.image()?, import);
        refused(&link.source_id).or_else(|| refused(&link.target)).or_else(carried)
    }

    /// A link that nothing of the source uses; of a provider, one that brings calls to a component.
    fn spare(&self, link: &Link) -> LinkView {
        let import = link.contract.to_string();
        if self.image().is_none() && self.shared.provider(self.source).is_some() {
            return self.inward(&import, link);
        }
        let mut view = self.view(&import, link);
        (view.path, view.problem) = (None, None);
        view.note = Some(match self.image() {
            Some(_) => format!("{} imports nothing of it", self.source),
            None => format!("{} does not run, so what it imports is not known", self.source),
        });
        view
    }

    /// A provider's link to the component that it calls.
    fn inward(&self, import: &str, link: &Link) -> LinkView {
        let target = self.target(link);
        let problem = match self.shared.slot(&link.target) {
            _ if let Some(problem) = self.refusal(link, import) => Some(problem),
            None => Some(self.unknown(link, import)),
            Some(slot) => match slot.current.load_full() {
                None => Some(not_running(&slot)),
                Some(revision) => lacks(&slot, revision.component.image(), &link.contract),
            },
        };
        LinkView {
            import: import.into(),
            name: link.name.clone(),
            path: problem.is_none().then(|| self.path_of(&link.target)).flatten(),
            call_ns: None,
            note: far(link, &target),
            target: Some(target),
            problem,
        }
    }

    fn target(&self, link: &Link) -> Target {
        let id = link.target.as_str();
        let mut target = Target {
            id: id.into(),
            kind: TargetKind::Unknown,
            reference: None,
            state: PartState::Unknown,
            distance: link.distance,
            is_local: false,
            provider: None,
        };
        if let Some(slot) = self.shared.slot(id) {
            let status = slot.status();
            (target.kind, target.state, target.is_local) = (TargetKind::Component, status.state, true);
            target.reference = Some(status.image_ref);
        } else if let Some(provider) = self.shared.provider(id) {
            (target.kind, target.state, target.is_local) = (TargetKind::Provider, provider.status().0, true);
            target.reference = Some(provider.order().provider_ref.clone());
            target.provider = Some(provider.kind());
        }
        target
    }

    /// The way to a component, if it serves the import as the source has it.
    fn component(&self, link: &Link, import: &str) -> Result<PathKind, Problem> {
        let slot = self.shared.slot(&link.target).ok_or_else(|| self.unknown(link, import))?;
        let revision = slot.current.load_full().ok_or_else(|| not_running(&slot))?;
        if let Some(image) = self.image() {
            let server = (link.target.as_str(), &**revision.component.image());
            if let Some(problem) = mismatch((self.source, image), server, |name| name == import) {
                return Err(problem.with_help(self.instead(link, import)));
            }
        }
        self.path_of(&link.target).ok_or_else(|| not_running(&slot))
    }

    fn path_of(&self, id: &str) -> Option<PathKind> {
        let slot = self.shared.slot(id)?;
        let revision = slot.current.load_full()?;
        let calls = slot.usage().calls;
        Some(match revision.order.instance_mode.unwrap_or_default() {
            InstanceMode::Fresh => PathKind::FreshInstance { calls },
            InstanceMode::Reuse => PathKind::ReusedInstance { calls },
        })
    }

    fn provider(&self, link: &Link, import: &str) -> Result<PathKind, Problem> {
        let slot = self.shared.provider(&link.target).ok_or_else(|| self.unknown(link, import))?;
        if !slot.serves(import) {
            let (id, order) = (&link.target, slot.order());
            let text = format!(
                "{} imports `{import}`, and {id} is `{}`, which does not serve it",
                self.source, order.provider_ref
            );
            return Err(Problem::new(guest::CONTRACT_MISMATCH, text).with_help(self.instead(link, import)));
        }
        let component = slot.component();
        if let (Some(image), Some(server)) = (self.image(), &component) {
            let server = (link.target.as_str(), &**server.image());
            if let Some(problem) = mismatch((self.source, image), server, |name| name == import) {
                return Err(problem.with_help(self.instead(link, import)));
            }
        }
        if let Some(wanted) = self.image().and_then(|image| image.imported(import)) {
            let server = (link.target.as_str(), &*slot.interfaces(self.shared));
            let compared = compare((self.source, import, wanted), server);
            compared.map_err(|problem| problem.with_help(self.instead(link, import)))?;
        }
        let (state, problem) = slot.status();
        match problem {
            _ if slot.running().is_some() => Ok(match slot.kind() {
                ProviderKind::Process => PathKind::Process,
                ProviderKind::Builtin => PathKind::Direct,
                ProviderKind::Component => PathKind::ResidentInstance {
                    calls: component.map_or(0, |component| component.usage().calls),
                },
            }),
            Some(problem) => Err(problem),
            None => Err(Problem::new(guest::UNLINKED, format!("{} is {state}", link.target))
                .with_help("`umbel ps` shows its state and the reason")),
        }
    }

    fn unknown(&self, link: &Link, import: &str) -> Problem {
        let text = format!("{} is linked to `{}`, which does not run on this host", self.source, link.target);
        Problem::new(guest::UNLINKED, text).with_help(self.instead(link, import))
    }

    /// The command that leads the link to somebody who serves it.
    fn instead(&self, link: &Link, import: &str) -> String {
        let name = InterfaceName::new(import).unversioned;
        self.mend(import, &name, &link.name)
    }

    fn mend(&self, import: &str, unversioned: &str, name: &str) -> String {
        let named = if name == DEFAULT_LINK_NAME { String::new() } else { format!(" --name {name}") };
        let command = |target: &str| format!("umbel link put {} {target} {unversioned}{named}", self.source);
        let application = self.shared.application_of(self.source);
        let mut able = self.able(import);
        // One of the same application was more likely meant.
        able.sort_by_key(|(_, of)| *of != application);
        match able.as_slice() {
            [] => match self.factory(import) {
                Some(factory) => format!(
                    "add a provider with `image: builtin:{factory}` to the manifest and link it; then `{}`",
                    command("PROVIDER")
                ),
                None => {
                    format!("nothing on this host serves it; start what does, then `{}`", command("TARGET"))
                }
            },
            [(first, _)] => command(first),
            [(first, _), others @ ..] => {
                let others: Vec<&str> = others.iter().take(NAMED_MAX).map(|(id, _)| id.as_str()).collect();
                format!("{}, or in place of {first}: {}", command(first), others.join(", "))
            }
        }
    }

    /// Who on this host could serve the import, with the application that each is of.
    fn able(&self, import: &str) -> Vec<(String, Option<String>)> {
        able(self.shared, self.image().map(|image| (self.source, &**image)), import)
    }

    fn factory(&self, import: &str) -> Option<&'static str> {
        let mut factories = self.shared.factories.iter();
        let able = factories.find(|factory| provider::serves(&***factory, import));
        able.map(|factory| factory.name())
    }
}

/// Whether a server has an import as its importer has it. Says whether it could be compared: not all say their types, and what those have is
/// compared when it is called.
pub(crate) fn compare(
    (importer, import, wanted): (&str, &str, &Interface),
    (server, served): (&str, &[(InterfaceName, Arc<Interface>)]),
) -> Result<bool, Problem> {
    let name = InterfaceName::new(import);
    let mismatch = |text| Problem::new(guest::CONTRACT_MISMATCH, text);
    match served.iter().find(|(export, _)| export.serves(&name)) {
        Some((export, found)) => wanted.served_by(found).map(|()| true).map_err(|difference| {
            let text =
                format!("{importer} imports `{import}`, and `{export}` of {server} is another: {difference}");
            mismatch(text)
        }),
        None if served.iter().any(|(export, _)| export.package() == name.package()) => {
            let versions: Vec<String> = served
                .iter()
                .filter(|(export, _)| export.unversioned == name.unversioned)
                .map(|(export, _)| format!("`{export}`"))
                .collect();
            let has = if versions.is_empty() { "no such interface".into() } else { versions.join(", ") };
            Err(mismatch(format!("{importer} imports `{import}`, and {server} has {has}")))
        }
        None => Ok(false),
    }
}

/// What a component imports and the host does not serve itself.
pub fn needs(image: &Image) -> Vec<String> {
    let is_http = |import: &&String| HTTP_OUTGOING.contains(&InterfaceName::new(import).unversioned.as_str());
    image.needs_link().iter().chain(image.imports().iter().filter(is_http)).cloned().collect()
}

/// Who on this host could serve an import, by id, with the application that each is of.
pub fn able(
    shared: &Shared,
    importer: Option<(&str, &Image)>,
    import: &str,
) -> Vec<(String, Option<String>)> {
    let mut able: Vec<(String, Option<String>)> = Vec::new();
    for provider in shared.providers.all().values().filter(|provider| provider.serves(import)) {
        let differs = importer.zip(provider.component()).is_some_and(|(importer, server)| {
            let server = (provider.id.as_str(), &**server.image());
            importer.0 == server.0 || mismatch(importer, server, |name| name == import).is_some()
        });
        if differs {
            continue;
        }
        able.push((provider.id.to_string(), provider.order().application.clone()));
    }
    let name = InterfaceName::new(import);
    for slot in shared.slots.all().values() {
        let Some(revision) = slot.current.load_full() else { continue };
        let (id, image) = (slot.id.as_str(), revision.component.image());
        let fits = image.contracts().any(|(export, _)| export.serves(&name))
            && importer.is_none_or(|importer| {
                importer.0 != id && mismatch(importer, (id, &**image), |name| name == import).is_none()
            });
        if fits {
            able.push((id.to_string(), slot.desired.borrow().application.clone()));
        }
    }
    able.sort();
    able
}

/// A distance that was asked for and is not what there is.
fn far(link: &Link, target: &Target) -> Option<String> {
    let is_remote = link.distance == Distance::Remote && target.is_local;
    is_remote.then(|| "it is to be remote, and is served by this host all the same: there is no other".into())
}

/// What a component lacks of what it is linked to be called by.
pub(crate) fn lacks(slot: &Slot, image: &Image, contract: &Contract) -> Option<Problem> {
    let has = image.exports().iter().any(|export| contract.covers(export));
    // A provider calls the handler that there is, of either generation.
    let has_http = image.world().is_http()
        && (contract.namespace.as_str(), contract.package.as_str()) == ("wasi", "http");
    if has || has_http {
        return None;
    }
    let exports = if image.exports().is_empty() { "nothing".into() } else { image.exports().join(", ") };
    let text = format!("it is to be called by `{contract}`, and {} exports {exports}", slot.id);
    Some(
        Problem::new(guest::CONTRACT_MISMATCH, text)
            .with_help("lead the link to a component that exports it"),
    )
}

/// Looks at a link before it is put by hand: what can never work is refused, what may come to work is warned of.
pub fn check(shared: &Shared, link: &Link) -> Result<Checked, Problem> {
    let mut warnings = Vec::new();
    let (source, target) = (shared.slot(&link.source_id), shared.slot(&link.target));
    let (from, to) = (shared.provider(&link.source_id), shared.provider(&link.target));
    if link.source_id == link.target {
        if source.is_none() {
            let text = format!("`{}` is linked to itself, and is no component that runs", link.target);
            return Err(Problem::new(invoke::LINK_TO_ITSELF, text));
        }
        warnings.push(format!("calls of {} lead to another instance of itself", link.target));
    }
    for (id, is_known) in [
        (&link.source_id, source.is_some() || from.is_some()),
        (&link.target, target.is_some() || to.is_some()),
    ] {
        if !is_known {
            ComponentId::new(id).map_err(|error| Problem::from(&error))?;
            warnings.push(format!("nothing runs with the id `{id}` yet"));
        }
    }
    let tables = shared.tables.borrow().clone();
    let is_there = tables.links_of(&link.source_id).iter().any(|old| old.key() == link.key());
    let application = shared.application_of(&link.source_id);
    if let Some(application) = application.filter(|_| is_there) {
        warnings.push(format!(
            "`{application}` has a link of this name and package; if its manifest has it, that one is put back within seconds: change the manifest to keep the change"
        ));
    }
    let is_component = from.as_ref().is_some_and(|from| from.kind() == ProviderKind::Component);
    if from.is_some() && to.is_some() && !is_component {
        let text = format!(
            "`{}` and `{}` are both providers, and providers do not call one another",
            link.source_id, link.target
        );
        return Err(Problem::new(invoke::LINK_OF_PROVIDERS, text));
    }
    let importer = Importing::of(shared, &link.source_id);
    if let Some(importer) = &importer {
        let image = &importer.image;
        let carried: Vec<String> =
            needs(image).into_iter().filter(|import| link.contract.covers(import)).collect();
        if carried.is_empty() {
            warnings.push(format!("{} imports nothing of `{}`", link.source_id, link.contract));
        }
        for import in &carried {
            if let Some(problem) = not_carried(&link.source_id, image, import) {
                return Err(problem);
            }
            refuse_mismatch(shared, importer, link, import, to.as_deref(), target.as_deref())?;
        }
    }
    if let (Some(_), None, Some(slot)) = (&from, &importer, &target)
        && let Some(revision) = slot.current.load_full()
        && let Some(problem) = lacks(slot, revision.component.image(), &link.contract)
    {
        return Err(problem);
    }
    Ok(Checked { warnings })
}

/// Refuses a link whose two ends run and do not have the same contract.
pub(crate) fn refuse_mismatch(
    shared: &Shared,
    importer: &Importing,
    link: &Link,
    import: &str,
    provider: Option<&ProviderSlot>,
    component: Option<&Slot>,
) -> Result<(), Problem> {
    let asker = Asker { shared, source: &importer.id, importer: Some(importer), links: &[] };
    if let Some(provider) = provider {
        return match asker.provider(link, import) {
            Err(problem) if !provider.serves(import) || problem.code == guest::CONTRACT_MISMATCH => {
                Err(problem)
            }
            _ => Ok(()),
        };
    }
    if component.is_some_and(|slot| slot.current.load().is_some()) {
        return match asker.component(link, import) {
            Err(problem) if problem.code == guest::CONTRACT_MISMATCH => Err(problem),
            _ => Ok(()),
        };
    }
    Ok(())
}
