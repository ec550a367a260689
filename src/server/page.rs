//! The page at `/`: a chat, and examples of code that connects. It is embedded in the program, with
//! its style and its script in it, and loads nothing from elsewhere.

use std::sync::LazyLock;

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY};
use uuid::Uuid;

use crate::server::response::{Response, content};

/// The page without its nonce.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("page/page.html")
        .replace("{{style}}", include_str!("page/page.css"))
        .replace("{{script}}", include_str!("page/page.js"))
});

/// Returns the page. Its content security policy allows its script and its style by a nonce, which
/// is new in every response.
pub(super) fn page() -> Response {
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let page = PAGE.replace("{{nonce}}", &nonce);
    let mut response = content("text/html; charset=utf-8", page.into());
    let mut set = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        set(CONTENT_SECURITY_POLICY, policy);
    }
    set(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
