//! Rules of access: allowed origins of web pages, allowed host names, and anonymous use.

use crate::{
    authority::{Authority, Host},
    config::{
        invalid::{InvalidSetting, invalid},
        public_url::PublicUrl,
    },
};

/// Rules of access: allowed origins of web pages, allowed host names, and anonymous use.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Access {
    /// Origins of other web pages that may use this server, such as `https://app.example`. `*`
    /// allows every page. Default: none, so that only pages of this server itself may use it.
    pub allowed_origins: Vec<String>,
    /// Host names that the server answers to, such as `app.example`. It always answers to
    /// `localhost`, to names under `.localhost`, to IP addresses, and to the host of `public_url`.
    /// `*` allows every name. Requests for other names are refused: the owner of a name could point
    /// it at this server, and web pages from that name would then count as the server's own (DNS
    /// rebinding). [`upgrade`] ignores this list, because the router that calls it knows its own
    /// names. Default: none.
    ///
    /// [`upgrade`]: crate::upgrade
    pub allowed_hosts: Vec<String>,
    /// URL by which clients outside reach this server's `/`, such as `https://app.example/rt`
    /// behind a proxy. The URLs that `/register` returns begin with it, and web pages from its
    /// origin count as this server's own. Default: `None`. Then the URLs that `/register` returns
    /// have the host that the request was sent to.
    pub public_url: Option<String>,
    /// True if anybody who reaches a `listen` address that is not loopback may publish and
    /// subscribe. Default: false, and the server does not start on such an address.
    pub allow_anonymous: bool,
}

impl Access {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        self.allowed_origins
            .iter()
            .try_for_each(|origin| check_origin(origin))?;
        self.allowed_hosts
            .iter()
            .try_for_each(|name| check_host(name))?;
        match self.public_url.as_deref().map(PublicUrl::parse) {
            Some(Err(reason)) => {
                let url = self.public_url.as_deref().unwrap_or_default();
                let reason =
                    format!("{url:?} {reason}; a URL such as https://app.example/rt is meant");
                Err(invalid("public-url", reason))
            }
            _ => Ok(()),
        }
    }

    /// Returns the public URL, if one is set. A malformed one counts as none:
    /// [`check`](Self::check) has refused it before.
    pub(crate) fn public(&self) -> Option<PublicUrl> {
        PublicUrl::parse(self.public_url.as_deref()?).ok()
    }
}

/// Parses an entry of [`allowed_hosts`](Access::allowed_hosts). Returns `None` if it has a port, or
/// is no host that a browser can send.
pub(crate) fn allowed_host(name: &str) -> Option<Host> {
    let is_host = !name.ends_with(':');
    let authority = Authority::parse(name).filter(|authority| is_host && authority.port.is_none());
    authority
        .map(|authority| authority.host)
        .filter(Host::is_plain)
}

/// Checks that `name` is `*` or a host.
fn check_host(name: &str) -> Result<(), InvalidSetting> {
    if name == "*" || allowed_host(name).is_some() {
        return Ok(());
    }
    let reason = format!(
        "{name:?} is not a host such as app.example, nor *; it has no scheme, port or path, \
         and other letters are written xn--…"
    );
    Err(invalid("allow-host", reason))
}

/// Checks that `origin` is `*`, or a scheme and a host in the form in which a browser sends them
/// (RFC 6454 §6.2): without a path and without capitals.
fn check_origin(origin: &str) -> Result<(), InvalidSetting> {
    let is_origin = |(scheme, host): (&str, &str)| {
        matches!(scheme, "http" | "https")
            && !host.is_empty()
            && !host
                .contains(|c: char| matches!(c, '/' | '*' | '@' | '?' | '#') || c.is_whitespace())
            && !host.contains(|c: char| c.is_uppercase() || c.is_control())
    };
    if origin == "*" || origin.split_once("://").is_some_and(is_origin) {
        return Ok(());
    }
    let reason = format!("{origin:?} is not an origin such as https://app.example, nor *");
    Err(invalid("allow-origin", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the error of rules with this `change`, or "accepted".
    fn verdict(change: impl FnOnce(&mut Access)) -> String {
        let mut access = Access::default();
        change(&mut access);
        access
            .check()
            .map_or_else(|error| error.to_string(), |()| "accepted".into())
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for origin in ["*", "https://app.example", "http://localhost:3000"] {
            let reason = verdict(|access| access.allowed_origins = vec![origin.into()]);
            assert_eq!(reason, "accepted");
        }
        for origin in [
            "",
            "null",
            "app.example",
            "https://a/b",
            "https://*.a",
            "HTTPS://a",
            "https://A",
        ] {
            let reason = verdict(|access| access.allowed_origins = vec![origin.into()]);
            assert!(reason.starts_with("allow-origin:"), "{origin}: {reason}");
        }
    }

    #[test]
    fn an_allowed_host_has_no_scheme_port_or_path() {
        for name in ["*", "a", "App.Example", "app.example.", "10.0.0.1", "[::1]"] {
            let reason = verdict(|access| access.allowed_hosts = vec!["b".into(), name.into()]);
            assert_eq!(reason, "accepted", "{name}");
        }
        for name in [
            "",
            " ",
            "a b",
            "a.example ",
            "a.example\n",
            "http://a",
            "a:80",
            "a:",
            "a/",
            "a/b",
            "me@a",
            "*.a",
            ".a",
            "**",
            "é.example",
            "::1",
            "[::1]:80",
            "127.1",
            "a,b",
        ] {
            let reason = verdict(|access| access.allowed_hosts = vec!["b".into(), name.into()]);
            assert!(reason.starts_with("allow-host: \""), "{name}: {reason}");
            assert_eq!(reason.lines().count(), 1, "{reason}");
        }
    }

    #[test]
    fn a_public_url_is_checked() {
        let reason = |url: &str| verdict(|access| access.public_url = Some(url.into()));
        assert_eq!(reason("https://app.example/rt"), "accepted");
        assert_eq!(
            reason("app.example"),
            "public-url: \"app.example\" begins with neither http:// nor https://; a URL such as \
             https://app.example/rt is meant"
        );
    }
}
