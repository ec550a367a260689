//! Which host a request is for, and whether that is one of the server's own.
//!
//! Whoever owns a name may let it point to this machine after a browser has loaded a page from
//! it: then that page is of the same origin as this server, and may read and publish like those
//! that the server itself has sent (DNS rebinding). The browser still sends the name. So the
//! server answers only to names that it was told of, and to those that nobody can let point
//! anywhere: addresses, and `localhost` with all that is under it
//! ([RFC 6761 §6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)).

use crate::{
    authority::{Authority, Host, without_dot},
    config::{Access, allowed_host},
};

/// What the server answers to.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    is_any: bool,
    /// Without the dot at the end.
    names: Vec<String>,
}

/// Why it can't be said which host a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unclear {
    #[error("exactly one Host is required")]
    Count,
    #[error("Host: not a host, with or without a port")]
    Syntax,
}

impl Hosts {
    /// Those of `access`, which was checked.
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

    /// The server answers to this; ports do not matter.
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

/// Which host is asked for: that of the request's target if that is a whole URL, otherwise that of
/// its `Host`, which must be in order all the same ([RFC 9112 §3.2]). `None` if none is named,
/// which only HTTP/1.0 may do without an empty `Host`.
///
/// [RFC 9112 §3.2]: https://www.rfc-editor.org/rfc/rfc9112#section-3.2
pub(crate) fn asked<'a>(
    target: Option<&str>,
    mut hosts: impl Iterator<Item = &'a [u8]>,
    may_be_absent: bool,
) -> Result<Option<Authority>, Unclear> {
    let named = match (hosts.next(), hosts.next()) {
        (Some(b""), None) => None,
        (Some(host), None) => Some(read(str::from_utf8(host).unwrap_or_default())?),
        (None, None) if may_be_absent => None,
        _ => return Err(Unclear::Count),
    };
    target.map(read).map_or(Ok(named), |asked| asked.map(Some))
}

fn read(text: &str) -> Result<Authority, Unclear> {
    Authority::parse(text).ok_or(Unclear::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(allowed: &[&str], public_url: Option<&str>) -> Hosts {
        Hosts::new(&Access {
            allowed_hosts: allowed.iter().map(ToString::to_string).collect(),
            public_url: public_url.map(str::to_owned),
            ..Access::default()
        })
    }

    fn include(hosts: &Hosts, host: &str) -> bool {
        hosts.include(&Authority::parse(host).expect(host).host)
    }

    #[test]
    fn addresses_and_localhost_are_always_answered_to() {
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
            "loc%61lhost",
        ] {
            assert!(include(&hosts, host), "{host}");
        }
    }

    #[test]
    fn other_names_are_not() {
        let hosts = hosts(&[], None);
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "localhost..",
            "localhost.localdomain",
            "127.0.0.1.evil.example",
            // Names, as they stand here: a browser sends the address that it takes them for.
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "127.1",
            "127.0.0.01",
            "0177.0.0.1",
            "127.0.0.1.",
            "127.0.0.256",
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
    fn a_name_is_allowed_whatever_its_port_its_case_and_its_last_dot() {
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
    fn a_whole_url_counts_before_the_host_which_must_be_in_order_all_the_same() {
        let told = |target: Option<&str>, hosts: &[&str], is_old: bool| {
            let hosts = hosts.iter().map(|host| host.as_bytes());
            match asked(target, hosts, is_old) {
                Ok(None) => "none".into(),
                Ok(Some(authority)) => authority.to_string(),
                Err(Unclear::Count) => "not one".into(),
                Err(Unclear::Syntax) => "bad".into(),
            }
        };
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
            assert_eq!(told(target, hosts, false), expected, "{target:?} {hosts:?}");
        }
        assert_eq!(told(None, &[], true), "none");
        assert_eq!(told(Some("b"), &[], true), "b");
        assert_eq!(told(None, &["a", "b"], true), "not one");
        assert_eq!(
            asked(None, [&b"\xFF"[..]].into_iter(), false),
            Err(Unclear::Syntax)
        );
    }
}
