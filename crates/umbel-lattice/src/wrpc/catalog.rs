//! Which function a subject means, and with which types.

use super::codec::{INPUT, OUTPUT};
use semver::Version;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use umbel_core::Problem;
use umbel_core::code::{guest, wire};
use umbel_wit::{Function, Interface, InterfaceName, Type};

/// How many functions one catalogue remembers by their names.
const KNOWN_MAX: usize = 4_096;

/// One function of a contract, as it is called.
#[derive(Debug)]
pub struct Signature {
    /// The interface without its version.
    pub interface: Arc<str>,
    /// The version that the importer has, if it names one.
    pub version: Option<Version>,
    /// The function as WIT names it: `[method]bucket.get`.
    pub function: Arc<str>,
    /// The end of its subject: `wasi:keyvalue/store@0.2.0-draft.bucket.get`.
    pub tail: String,
    /// The types of its parameters.
    pub params: Vec<Type>,
    /// The type of its result.
    pub result: Option<Type>,
    /// Whether a stream is among the parameters.
    pub takes_streams: bool,
    /// Whether a stream is in the result.
    pub gives_streams: bool,
}

/// Interfaces with their types. It does not change; whoever has other types makes another one.
#[derive(Debug, Default)]
pub struct Catalog {
    interfaces: Vec<(InterfaceName, Arc<Interface>)>,
    outgoing: RwLock<HashMap<Arc<str>, Vec<Arc<Signature>>>>,
    incoming: RwLock<HashMap<String, Arc<Signature>>>,
}

impl Catalog {
    /// A catalogue of these interfaces.
    pub fn new(interfaces: impl IntoIterator<Item = (InterfaceName, Arc<Interface>)>) -> Catalog {
        Catalog { interfaces: interfaces.into_iter().collect(), ..Catalog::default() }
    }

    /// What is in it.
    pub fn interfaces(&self) -> &[(InterfaceName, Arc<Interface>)] {
        &self.interfaces
    }

    /// Whether one of the interfaces defines the resource, a full name such as `wasi:keyvalue/store.bucket`.
    pub fn defines(&self, resource: &str) -> bool {
        let Some((interface, name)) = resource.rsplit_once('.') else { return false };
        let mut named = self.interfaces.iter().filter(|(i, _)| i.unversioned == interface);
        named.any(|(_, interface)| interface.resources.iter().any(|r| r == name))
    }

    /// The function that a caller means. Without a version it is that of whichever version is there.
    pub fn outgoing(
        &self,
        interface: &str,
        version: Option<&Version>,
        function: &str,
    ) -> Result<Arc<Signature>, Problem> {
        {
            let known = self.outgoing.read().unwrap_or_else(PoisonError::into_inner);
            let of_function = known.get(function).into_iter().flatten();
            for signature in of_function {
                if &*signature.interface == interface && signature.version.as_ref() == version {
                    return Ok(signature.clone());
                }
            }
        }
        let import = InterfaceName { unversioned: interface.to_string(), version: version.cloned() };
        let signature = Arc::new(self.find(&import, function)?);
        let mut known = self.outgoing.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KNOWN_MAX {
            known.entry(signature.function.clone()).or_default().push(signature.clone());
        }
        Ok(signature)
    }

    /// The function that the end of a subject means.
    pub fn incoming(&self, tail: &str) -> Result<Arc<Signature>, Problem> {
        let known = self.incoming.read().unwrap_or_else(PoisonError::into_inner).get(tail).cloned();
        if let Some(signature) = known {
            return Ok(signature);
        }
        let signature = Arc::new(self.read(tail)?);
        let mut known = self.incoming.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KNOWN_MAX {
            known.insert(tail.to_string(), signature.clone());
        }
        Ok(signature)
    }

    fn find(&self, import: &InterfaceName, function: &str) -> Result<Signature, Problem> {
        let mut named =
            self.interfaces.iter().filter(|(name, _)| name.unversioned == import.unversioned).peekable();
        if named.peek().is_none() {
            let knows_package = self.interfaces.iter().any(|(name, _)| name.package() == import.package());
            if knows_package {
                let message = format!("`{import}` is not among the interfaces that are served");
                return Err(Problem::new(guest::UNSUPPORTED_CALL, message));
            }
            let message = format!("nobody has said which types `{import}` has");
            return Err(Problem::new(wire::NO_TYPES, message));
        }
        let fits: Vec<_> = named.filter(|(name, _)| name.serves(import)).collect();
        // The very version if it is there: drafts differ although their numbers are the same.
        let best = fits.iter().find(|(name, _)| name.version == import.version).or_else(|| fits.last());
        let found = best.and_then(|(_, interface)| interface.functions.get_key_value(function));
        let Some((name, types)) = found else {
            let message = format!("there is no function `{function}` in `{import}`");
            return Err(Problem::new(guest::UNSUPPORTED_CALL, message));
        };
        Ok(signature(import, name, types))
    }

    fn read(&self, tail: &str) -> Result<Signature, Problem> {
        let mut best: Option<(InterfaceName, &String)> = None;
        for (name, interface) in &self.interfaces {
            let Some(rest) = tail.strip_prefix(name.unversioned.as_str()) else { continue };
            for function in interface.functions.keys() {
                let Some(version) = version_before(rest, on_wire(function)) else { continue };
                if best.as_ref().is_none_or(|(_, found)| on_wire(found).len() < on_wire(function).len()) {
                    best = Some((InterfaceName { unversioned: name.unversioned.clone(), version }, function));
                }
            }
        }
        match best {
            Some((import, function)) => self.find(&import, function),
            None => {
                let shown: String = tail.chars().take(120).flat_map(char::escape_debug).collect();
                Err(Problem::new(guest::UNSUPPORTED_CALL, format!("`{shown}` is not served here")))
            }
        }
    }
}

/// The version in `@1.2.3.function`; the outer `None` if that is not what stands there.
fn version_before(rest: &str, function: &str) -> Option<Option<Version>> {
    let front = rest.strip_suffix(function)?.strip_suffix('.')?;
    if front.is_empty() {
        return Some(None);
    }
    front.strip_prefix('@')?.parse().ok().map(Some)
}

/// A function's name in subjects: that of WIT without its kind, so `[method]bucket.get` is `bucket.get`.
pub fn on_wire(function: &str) -> &str {
    match function.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, name)) => name,
        None => function,
    }
}

fn signature(import: &InterfaceName, function: &str, types: &Function) -> Signature {
    let has_stream = |ty: &Type| {
        let mut has = false;
        ty.each(&mut |ty| {
            has |= matches!(ty, Type::Stream(_) | Type::Future(_));
            has |= matches!(ty, Type::Own(name) if name == INPUT || name == OUTPUT);
        });
        has
    };
    let params: Vec<Type> = types.params.iter().map(|(_, ty)| ty.clone()).collect();
    Signature {
        interface: import.unversioned.as_str().into(),
        version: import.version.clone(),
        function: function.into(),
        tail: format!("{import}.{}", on_wire(function)),
        takes_streams: params.iter().any(has_stream),
        gives_streams: types.result.as_ref().is_some_and(has_stream),
        params,
        result: types.result.clone(),
    }
}
