//! The host that a request is for, read from `Host` or `:authority` into a small buffer: no allocation per request.

/// The longest host name of DNS, with room for its final dot.
const NAME_MAX: usize = 254;

/// A host in its normal form: lower case, without port and final dot; IPv6 literals keep their brackets.
#[derive(Clone, Copy)]
pub(crate) struct HostName {
    text: [u8; NAME_MAX],
    len: u8,
}

impl HostName {
    /// Reads `host`, `host:port` or `[v6]:port`. `None` when it is not well-formed.
    pub(crate) fn parse(authority: &[u8]) -> Option<HostName> {
        let host = without_port(authority)?;
        let is_v6 = host.first() == Some(&b'[');
        let host = match host {
            [rest @ .., b'.'] if !is_v6 => rest,
            whole => whole,
        };
        if host.is_empty() || host.len() > NAME_MAX {
            return None;
        }
        let mut name = HostName { text: [0; NAME_MAX], len: u8::try_from(host.len()).ok()? };
        for (to, from) in name.text.iter_mut().zip(host) {
            *to = from.to_ascii_lowercase();
        }
        let sound = if is_v6 { is_v6_literal(name.as_bytes()) } else { is_reg_name(name.as_bytes()) };
        sound.then_some(name)
    }

    /// The normal form.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    /// The normal form as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Whether the name is below `localhost`: such a name belongs to one application, whether that runs or not.
    pub(crate) fn names_an_application(&self) -> bool {
        self.as_bytes().ends_with(b".localhost")
    }
}

fn without_port(authority: &[u8]) -> Option<&[u8]> {
    let end_of_host = match authority.first()? {
        b'[' => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end_of_host);
    match rest {
        [] => Some(host),
        [b':', port @ ..] if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) => Some(host),
        _ => None,
    }
}

fn is_reg_name(name: &[u8]) -> bool {
    let mut before = b'.';
    for byte in name {
        let sound =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (*byte == b'.' && before != b'.');
        if !sound {
            return false;
        }
        before = *byte;
    }
    before != b'.'
}

fn is_v6_literal(name: &[u8]) -> bool {
    let inner = &name[1..name.len() - 1];
    std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests;
