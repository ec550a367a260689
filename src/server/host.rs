//! The host that a request is for, and the check that it is one of the server's own.
//!
//! An attacker can let a name of their own point to this machine after a browser has loaded a page
//! from that name. To the browser, that page then has the same origin as this server, and may read
//! and publish like the server's own pages (DNS rebinding). But the browser still sends the name in
//! `Host`. So the server answers only to names from its configuration, and to those that an
//! attacker can't redirect: IP addresses, `localhost`, and names under `.localhost` ([RFC 6761
//! §6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)).

use crate::{
    authority::{Authority, Host, without_dot},
    config::{Access, allowed_host},
};

/// The hosts that the server answers to.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// True if the server answers to every name.
    is_any: bool,
    /// Allowed names, without the dot at their end.
    names: Vec<String>,
}

/// The reason why a request has no valid host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidHost {
    #[error("exactly one Host is required")]
    Count,
    #[error("Host: not a host, with or without a port")]
    Syntax,
}

impl Hosts {
    /// Makes the list of the hosts that `access` allows. [`Access`] was checked, so none of them is
    /// malformed.
    pub(super) fn new(access: &Access) -> Self {
        let allowed = access.allowed_hosts.iter().map(String::as_str);
        let public = access.public().map(|url| url.origin.authority.host);
        let hosts = allowed.clone().filter_map(allowed_host).chain(public);
        let names = hosts.filter_map(|host| match host {
            Host::Name(name) => Some(without_dot(&name).to_owned()),
            Host::V4(_) | Host::V6(_) => None,
        });
        Self {
            names: names.collect(),
            is_any: allowed.clone().any(|name| name == "*"),
        }
    }

    /// Returns true if the server answers to `host`, on any port.
    pub(super) fn include(&self, host: &Host) -> bool {
        let Host::Name(name) = host else {
            return true;
        };
        let name = without_dot(name);
        self.is_any
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.iter().any(|each| each == name)
    }
}

/// Returns the host that a request is for: the host of the request's target if the target is a
/// whole URL, or else that of the header `Host`, which must be valid in either case ([RFC 9112
/// §3.2]). Returns `None` if the request names no host: in HTTP/1.1 `Host` must be empty then, in
/// HTTP/1.0 it may be absent.
///
/// [RFC 9112 §3.2]: https://www.rfc-editor.org/rfc/rfc9112#section-3.2
pub(crate) fn requested<'a>(
    target: Option<&str>,
    mut hosts: impl Iterator<Item = &'a [u8]>,
    may_be_absent: bool,
) -> Result<Option<Authority>, InvalidHost> {
    let named = match (hosts.next(), hosts.next()) {
        (Some(b""), None) => None,
        (Some(host), None) => Some(read(str::from_utf8(host).unwrap_or_default())?),
        (None, None) if may_be_absent => None,
        _ => return Err(InvalidHost::Count),
    };
    target.map(read).map_or(Ok(named), |host| host.map(Some))
}

/// Parses a host, with or without a port.
fn read(text: &str) -> Result<Authority, InvalidHost> {
    Authority::parse(text).ok_or(InvalidHost::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the hosts of a server with these `allowed_hosts` and this `public_url`.
    fn hosts(allowed: &[&str], public_url: Option<&str>) -> Hosts {
        Hosts::new(&Access {
            allowed_hosts: allowed.iter().map(ToString::to_string).collect(),
            public_url: public_url.map(str::to_owned),
            ..Access::default()
        })
    }

    /// Returns true if `hosts` include the host of `host`, which may have a port.
    fn include(hosts: &Hosts, host: &str) -> bool {
        hosts.include(&Authority::parse(host).expect(host).host)
    }

    #[test]
    fn the_server_always_answers_to_addresses_and_localhost() {
        let hosts = hosts(&[], None);
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.0.0.1:0",
            "10.1.2.3:",
            "0.0.0.0",
            "255.255.255.255",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "[2001:DB8::1]:443",
            "localhost",
            "localhost.",
            "LOCALHOST:80",
            "x.localhost",
            "x.y.LocalHost.:8080",
            // An escaped "a".
            "loc%61lhost",
        ] {
            assert!(include(&hosts, host), "{host}");
        }
    }

    #[test]
    fn the_server_answers_to_no_other_names_by_default() {
        let hosts = hosts(&[], None);
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "localhost..",
            "localhost.localdomain",
            "127.0.0.1.evil.example",
            // These count as names here. A browser takes them for addresses, and sends the
            // addresses in their usual form instead.
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "127.1",
            "127.0.0.01",
            "0177.0.0.1",
            "127.0.0.1.",
            "127.0.0.256",
            // An escaped "1" in an address, other letters, and escapes in a name.
            "%3127.0.0.1",
            "xn--lcalhost-4fg",
            "l%C3%B6calhost",
            "localhost%2Eevil",
            "localhost%00",
            "a",
            "*",
        ] {
            assert!(!include(&hosts, host), "{host}");
        }
    }

    #[test]
    fn an_allowed_name_matches_with_any_port_in_any_case_and_with_a_dot_at_its_end() {
        for hosts in [
            hosts(&["b", "app.example"], None),
            hosts(&["App.Example."], None),
            hosts(&[], Some("https://app.example:8443/rt")),
            hosts(&[], Some("http://APP.EXAMPLE.")),
        ] {
            for host in [
                "app.example",
                "APP.example:1",
                "app.example.",
                "a%70p.example",
            ] {
                assert!(include(&hosts, host), "{hosts:?} {host}");
            }
            for host in [
                "x.app.example",
                "app.example..",
                "app.example.evil",
                "xapp.example",
            ] {
                assert!(!include(&hosts, host), "{hosts:?} {host}");
            }
        }
        let all = hosts(&["*"], None);
        assert!(include(&all, "evil.example"));
    }

    #[test]
    fn the_host_of_a_whole_url_counts_before_the_host_header_which_must_be_valid_nevertheless() {
        let host = |target: Option<&str>, hosts: &[&str], is_http_1_0: bool| {
            let hosts = hosts.iter().map(|host| host.as_bytes());
            match requested(target, hosts, is_http_1_0) {
                Ok(None) => "none".into(),
                Ok(Some(authority)) => authority.to_string(),
                Err(InvalidHost::Count) => "not one".into(),
                Err(InvalidHost::Syntax) => "bad".into(),
            }
        };
        // The authority of the target, the values of `Host`, and the outcome, in HTTP/1.1.
        for (target, hosts, expected) in [
            (None, &["a:80"][..], "a:80"),
            (None, &[""], "none"),
            (None, &[], "not one"),
            (None, &["a", "a"], "not one"),
            (None, &["a@b"], "bad"),
            (None, &[":80"], "bad"),
            (Some("b:81"), &["a"], "b:81"),
            (Some("b"), &[""], "b"),
            (Some("b"), &[], "not one"),
            (Some("b"), &["a", "b"], "not one"),
            (Some("b"), &["a@b"], "bad"),
            (Some("a@b"), &["b"], "bad"),
            (Some(""), &["b"], "bad"),
        ] {
            assert_eq!(host(target, hosts, false), expected, "{target:?} {hosts:?}");
        }
        // In HTTP/1.0, `Host` may be absent.
        assert_eq!(host(None, &[], true), "none");
        assert_eq!(host(Some("b"), &[], true), "b");
        assert_eq!(host(None, &["a", "b"], true), "not one");
        assert_eq!(
            requested(None, [&b"\xFF"[..]].into_iter(), false),
            Err(InvalidHost::Syntax)
        );
    }
}
