//! The page at `/`: a chat, and examples of code that connects. It is embedded in the program, and
//! loads nothing from elsewhere.

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY};
use uuid::Uuid;

use crate::server::response::{Response, content};

const PAGE: &str = include_str!("page.html");

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
