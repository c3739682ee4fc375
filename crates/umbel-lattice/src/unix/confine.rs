//! What a process may hear and say. Its own inboxes, and answers where it was asked, are always allowed; this decides the rest.

use crate::wrpc::{PROTOCOL, SOURCE};
use crate::{Message, subject};
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::wire;
use umbel_core::id::{LatticeName, ProviderId};

/// Decides what passes the door of one process.
pub trait Confine: Send + Sync + 'static {
    /// Whether it may subscribe to the pattern.
    fn may_subscribe(&self, pattern: &str) -> Result<(), Problem>;

    /// Whether it may publish the message.
    fn may_publish(&self, message: &Message) -> Result<(), Problem>;

    /// Whether it may be answered on a subject that is not below its own inbox: answers are sent with the rights of whoever answers.
    fn may_be_answered(&self, reply: &str) -> Result<(), Problem> {
        let _ = reply;
        Ok(())
    }

    /// What a subject of its own is called on the lattice.
    fn outside(&self, own: String) -> String {
        own
    }

    /// What the process calls a subject on which something is sent to it.
    fn inside(&self, subject: String) -> String {
        subject
    }
}

/// Everything is allowed: for what belongs to the platform itself, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Confine for Open {
    fn may_subscribe(&self, _: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn may_publish(&self, _: &Message) -> Result<(), Problem> {
        Ok(())
    }
}

/// The rules for a provider: it hears what is sent to its own id, and calls components that it has a link to, in its own name.
#[derive(Clone)]
pub struct ProviderRules {
    id: ProviderId,
    hears: Vec<String>,
    lattice: LatticeName,
    may_call: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    // Where it is reached on the lattice, if that is not its id.
    address: Option<String>,
}

/// What is sent to a provider beside calls, after its id.
const OWN: [&str; 4] = ["linkdefs.", "config.", "health", "default.shutdown"];

impl ProviderRules {
    /// The rules of one provider. `may_call` is asked for each call, so that links may come and go.
    pub fn new(
        lattice: &LatticeName,
        id: &ProviderId,
        may_call: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    ) -> ProviderRules {
        // Not all that begins with its id: there may be others whose ids do.
        let mut hears = vec![format!("{lattice}.{id}.wrpc."), format!("{lattice}.{id}.umbel.")];
        hears.extend(OWN.map(|own| format!("wasmbus.rpc.{lattice}.{id}.{own}")));
        ProviderRules { id: id.clone(), hears, lattice: lattice.clone(), may_call, address: None }
    }

    /// The same, for a provider that is reached under another address than its id, and does not know it: two processes can so be one
    /// provider for a while, and each is sent what is meant for it alone.
    #[must_use]
    pub fn at(mut self, address: &str) -> ProviderRules {
        self.address = (address != self.id.as_str()).then(|| address.to_string());
        self
    }

    /// Replaces the one name by the other in a subject that is the provider's own.
    fn renamed(&self, subject: String, from: &str, to: &str) -> String {
        for prefix in [format!("{}.", self.lattice), format!("wasmbus.rpc.{}.", self.lattice)] {
            if let Some(rest) = subject.strip_prefix(&prefix).and_then(|rest| rest.strip_prefix(from))
                && (rest.is_empty() || rest.starts_with('.'))
            {
                return format!("{prefix}{to}{rest}");
            }
        }
        subject
    }

    /// The same, for a provider that is sent links under its public xkey.
    #[must_use]
    pub fn with_xkey(mut self, xkey: &str) -> ProviderRules {
        self.hears.push(format!("wasmbus.rpc.{}.{xkey}.linkdefs.", self.lattice));
        self
    }

    fn denied(&self, subject: &str, why: &str) -> Problem {
        let shown: String = subject.chars().take(120).flat_map(char::escape_debug).collect();
        Problem::new(wire::SUBJECT_DENIED, format!("the provider `{}` may not use `{shown}`: {why}", self.id))
    }
}

impl Confine for ProviderRules {
    fn may_subscribe(&self, pattern: &str) -> Result<(), Problem> {
        let is_own = self.hears.iter().any(|own| pattern.starts_with(own.as_str()));
        if is_own { Ok(()) } else { Err(self.denied(pattern, "it is not one of its own")) }
    }

    fn may_publish(&self, message: &Message) -> Result<(), Problem> {
        let Some(callee) = callee(&self.lattice, &message.subject) else {
            return Err(self.denied(&message.subject, "it was not asked there, and it is no call"));
        };
        // However it is spelled, and however often: who receives it may look at another than the first.
        let sources = message.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(SOURCE));
        if let Some((_, source)) = sources.into_iter().find(|(_, source)| *source != self.id.as_str()) {
            let shown: String = source.chars().take(60).flat_map(char::escape_debug).collect();
            return Err(self.denied(&message.subject, &format!("it calls itself `{shown}`")));
        }
        if message.headers.get(SOURCE).is_none() && message.subject.contains(PROTOCOL) {
            return Err(self.denied(&message.subject, "the call does not say who calls"));
        }
        if !(self.may_call)(callee) {
            return Err(self.denied(&message.subject, &format!("no link leads from it to `{callee}`")));
        }
        Ok(())
    }

    fn may_be_answered(&self, reply: &str) -> Result<(), Problem> {
        Err(self.denied(reply, "answers to it go to its own inbox alone"))
    }

    fn outside(&self, own: String) -> String {
        match &self.address {
            Some(address) => self.renamed(own, self.id.as_str(), address),
            None => own,
        }
    }

    fn inside(&self, subject: String) -> String {
        match &self.address {
            Some(address) => self.renamed(subject, address, self.id.as_str()),
            None => subject,
        }
    }
}

/// Who is called by a message to the subject.
fn callee<'s>(lattice: &LatticeName, subject: &'s str) -> Option<&'s str> {
    let rest = subject.strip_prefix(lattice.as_str())?.strip_prefix('.')?;
    let at = [format!(".{PROTOCOL}."), ".umbel.v1.".to_string()]
        .iter()
        .filter_map(|mark| rest.find(mark))
        .min()?;
    (subject::check(subject).is_ok() && at > 0).then(|| &rest[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> ProviderRules {
        let name = LatticeName::new("default").expect("a name");
        let id = ProviderId::new("kv").expect("an id");
        ProviderRules::new(&name, &id, Arc::new(|component| component == "mine.too")).with_xkey("XABC")
    }

    #[test]
    fn a_provider_hears_what_is_its_own() {
        for own in [
            "default.kv.wrpc.0.0.1.>",
            "default.kv.umbel.v1.>",
            "wasmbus.rpc.default.kv.health",
            "wasmbus.rpc.default.kv.default.shutdown",
            "wasmbus.rpc.default.XABC.linkdefs.put",
        ] {
            rules().may_subscribe(own).expect(own);
        }
        for other in [
            ">",
            "*.kv.>",
            "default.>",
            "default.*.wrpc.>",
            "default.kv",
            "default.kv.>",
            "default.kv.too.wrpc.0.0.1.>",
            "default.kv2.>",
            "wasmbus.rpc.default.kv.>",
            "wasmbus.rpc.default.kv.too.linkdefs.put",
            "wasmbus.rpc.default.>",
            "wasmbus.rpc.default.other.health",
            "_INBOX.>",
            "wasmbus.ctl.v1.default.>",
        ] {
            let problem = rules().may_subscribe(other).expect_err(other);
            assert_eq!(problem.code, wire::SUBJECT_DENIED);
        }
    }

    #[test]
    fn a_provider_is_answered_in_its_inbox_alone() {
        // With the rights of its host, that would stop it.
        for other in ["wasmbus.ctl.v1.default.host.stop.NHOST", "default.mine.too.wrpc.0.0.1.a:b/c.f"] {
            let problem = rules().may_be_answered(other).expect_err(other);
            assert_eq!(problem.code, wire::SUBJECT_DENIED);
        }
        Open.may_be_answered("anywhere").expect("it is one of the platform's own");
    }

    #[test]
    fn a_provider_at_another_address_does_not_know_it() {
        let there = rules().at("kv/2");
        for (own, address) in [
            ("default.kv.wrpc.0.0.1.>", "default.kv/2.wrpc.0.0.1.>"),
            ("wasmbus.rpc.default.kv.health", "wasmbus.rpc.default.kv/2.health"),
            // The queue group of its server.
            ("default.kv", "default.kv/2"),
        ] {
            assert_eq!(there.outside(own.into()), address);
            assert_eq!(there.inside(address.into()), own);
            assert_eq!(rules().at("kv").outside(own.into()), own);
        }
        for other in ["default.kvs.wrpc.0.0.1.f", "_INBOX.default.7", "wasmbus.rpc.default.XABC.linkdefs.put"]
        {
            assert_eq!(there.outside(other.into()), other);
            assert_eq!(there.inside(other.into()), other);
        }
    }

    #[test]
    fn a_provider_calls_in_its_own_name_what_it_is_linked_to() {
        let call = |subject: &str, source: Option<&str>| {
            let mut message = Message::new(subject, "");
            if let Some(source) = source {
                message.headers.append(SOURCE, source);
            }
            rules().may_publish(&message).map_err(|problem| problem.message)
        };
        let subject = "default.mine.too.wrpc.0.0.1.a:b/c.f";
        call(subject, Some("kv")).expect("its link");
        assert!(call(subject, Some("other")).expect_err("forged").contains("`other`"));
        assert!(call(subject, None).is_err());
        assert!(
            call("default.other.wrpc.0.0.1.a:b/c.f", Some("kv")).expect_err("no link").contains("no link")
        );
        for subject in
            ["wasmbus.evt.default.host_stopped", "_INBOX.default.7", "other.mine.too.wrpc.0.0.1.a:b/c.f"]
        {
            assert!(call(subject, Some("kv")).is_err(), "{subject}");
        }
    }
}
