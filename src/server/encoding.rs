//! The encodings of a body: its transfer coding, its content codings, and its character encoding.

use hyper::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING},
};

use crate::server::response::Rejection;

/// Checks that a body, if there is one, has no other transfer coding than `chunked`. hyper takes
/// `gzip, chunked` for chunked, too, and would return the compressed bytes (RFC 9112 §6.1).
pub(super) fn check_transfer(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Rejection::TransferCoding),
    }
}

/// Checks that a body is plain UTF-8 (RFC 9110 §15.5.16). Otherwise each line of a compressed list
/// would be answered with an error, and the whole list with 200.
pub(super) fn check_content(headers: &HeaderMap) -> Result<(), Rejection> {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| elements(value, b','));
    if !codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Rejection::ContentCoding);
    }
    let types = headers.get_all(CONTENT_TYPE).iter();
    let mut parameters = types.flat_map(|value| elements(value, b';').skip(1));
    if !parameters.all(|parameter| charset(parameter).is_none_or(is_utf8)) {
        return Err(Rejection::Charset);
    }
    Ok(())
}

/// Returns the elements of a header's value, without the whitespace around them. A separator in a
/// quoted string separates nothing (RFC 9110 §5.6.4).
pub(super) fn elements(value: &HeaderValue, separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let elements = value.as_bytes().split(move |&byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => return byte == separator && !is_quoted,
        }
        false
    });
    elements.map(<[u8]>::trim_ascii)
}

/// Returns the value of a media type's parameter, without quotation marks, if its name is
/// `charset`.
fn charset(parameter: &[u8]) -> Option<&[u8]> {
    let (name, value) = parameter.split_at_checked(b"charset=".len())?;
    let unquoted = || value.strip_prefix(b"\"")?.strip_suffix(b"\"");
    name.eq_ignore_ascii_case(b"charset=")
        .then(|| unquoted().unwrap_or(value))
}

/// Returns true for UTF-8, under its common names, and for its subset ASCII.
fn is_utf8(charset: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"utf-8", b"utf8", b"us-ascii"];
    names.iter().any(|name| charset.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn check(name: &HeaderName, values: &[&'static str]) -> Result<(), Rejection> {
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        check_content(&values.map(|value| (name.clone(), value)).collect())
    }

    #[test]
    fn a_body_has_no_content_coding_but_identity() {
        for codings in [&[][..], &[""], &["identity"], &["Identity", " identity , "]] {
            assert_eq!(check(&CONTENT_ENCODING, codings), Ok(()), "{codings:?}");
        }
        for codings in [
            &["gzip"][..],
            &["br"],
            &["identity, gzip"],
            &["identity", "zstd"],
        ] {
            let refused = check(&CONTENT_ENCODING, codings);
            assert_eq!(refused, Err(Rejection::ContentCoding), "{codings:?}");
        }
    }

    #[test]
    fn a_body_is_utf8_under_any_of_its_names() {
        for types in [
            &[][..],
            &["application/json"],
            &["application/json; charset=utf-8"],
            &[
                "application/json;Charset=\"UTF-8\"",
                "text/plain; charset=us-ascii",
            ],
            &["application/x-ndjson; a=b ; charset=utf8;"],
            // Neither is the parameter `charset`.
            &["charset=utf-16"],
            &["text/plain; xcharset=utf-16"],
            &["text/plain; a=\"\\\"; charset=utf-16\""],
        ] {
            assert_eq!(check(&CONTENT_TYPE, types), Ok(()), "{types:?}");
        }
        for types in [
            &["application/json; charset=utf-16"][..],
            &["text/plain;charset=\"ISO-8859-1\""],
            &["text/plain; charset="],
            &["text/plain; charset=\"utf-8"],
            &["application/json", "text/plain; a=b; charset=latin1"],
        ] {
            assert_eq!(
                check(&CONTENT_TYPE, types),
                Err(Rejection::Charset),
                "{types:?}"
            );
        }
    }
}
