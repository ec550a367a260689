//! Makes text from the network safe to print, as the load generator does.
//!
//! Pure.

pub(crate) use framecast_load::display::{escape, first_line, reason};
use hyper::{HeaderMap, StatusCode, header::LOCATION};

/// Returns the target of a redirection, escaped and shortened, in a text for an error message.
/// `None` if the response is none: its status is not 3xx, or it has no `Location`.
pub(crate) fn redirection(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let target = headers.get(LOCATION).filter(|_| status.is_redirection())?;
    let target = first_line(&String::from_utf8_lossy(target.as_bytes()));
    Some(format!("it redirects to {target}"))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_target_of_a_redirection_is_escaped() {
        let shown = |status: u16, target: &str| {
            let target = HeaderValue::from_bytes(target.as_bytes()).unwrap();
            let headers = [(LOCATION, target)].into_iter().collect();
            redirection(StatusCode::from_u16(status).unwrap(), &headers)
        };
        let expected = Some("it redirects to https://h/é?a\\u{202e}".into());
        assert_eq!(shown(308, "https://h/é?a\u{202e}"), expected);
        assert_eq!(shown(201, "/register/1"), None);
        assert_eq!(
            redirection(StatusCode::NOT_MODIFIED, &HeaderMap::new()),
            None
        );
    }
}
