//! Compares the server's parser of `Sec-WebSocket-Extensions` with a second one, which follows
//! RFC 6455 §9.1 and RFC 7692 §7.1 strictly. Both must accept the same headers, and the server's
//! answer must fit the offer.
//!
//! The lowest bit of the input's first byte says whether the server may keep a compression context.
//! The lines of the header follow, separated by line feeds.
#![no_main]

use framecast_fuzz::extensions::{Extension, Parameters, read};
use framecast_wire::extension::{Agreement, InvalidAnswer, accept, agreed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((flags, header)) = data.split_first() else {
        return;
    };
    let lines: Vec<&[u8]> = match header {
        [] => vec![],
        header => header.split(|byte| *byte == b'\n').collect(),
    };
    let extensions = read(&lines);
    let may_keep_context = flags & 0x01 != 0;
    check_offer(&lines, extensions.as_deref(), may_keep_context);
    check_client(&lines, extensions.as_deref());
});

/// Checks the server with the header as a client's offer.
fn check_offer(lines: &[&[u8]], extensions: Option<&[Extension]>, may_keep_context: bool) {
    let accepted = accept(lines.iter().copied(), may_keep_context);
    let Some(offers) = extensions else {
        assert!(accepted.is_err());
        return;
    };
    let mut ours = offers.iter().filter(|offer| offer.name == NAME);
    let offer = ours.find_map(Parameters::of);
    let agreement = accepted.expect("the oracle accepts the header");
    assert_eq!(agreement.is_some(), offer.is_some());
    if let (Some(agreement), Some(offer)) = (agreement, offer) {
        let window = offer.server_window.unwrap_or(15);
        assert_eq!(agreement.window.bits(), window);
        let can_keep_context = !offer.server_forgets && window > 8;
        assert_eq!(
            agreement.keeps_context,
            may_keep_context && can_keep_context
        );
        check_server_answer(agreement, offer);
    }
}

/// Checks that the server's answer says what was agreed, and has nothing that the offer does not
/// allow.
fn check_server_answer(agreement: Agreement, offer: Parameters) {
    let answer = agreement.answer();
    let extensions = read(&[answer.as_bytes()]).expect("the answer follows the grammar");
    let [extension] = &extensions[..] else {
        panic!("{answer}");
    };
    assert_eq!(extension.name, NAME);
    let parameters = Parameters::of(extension).expect("its parameters are valid");
    let expected = Parameters {
        server_forgets: !agreement.keeps_context,
        // The client must forget its context, because we inflate every message without one.
        client_forgets: true,
        server_window: offer.server_window,
        client_window: None,
    };
    assert_eq!(parameters, expected);
    match agreed([answer.as_bytes()].into_iter()) {
        Ok(Some(by_client)) => assert!(by_client.window.bits() == 15 && !agreement.keeps_context),
        Err(InvalidAnswer::KeepsContext) => assert!(agreement.keeps_context),
        other => panic!("{answer}: {other:?}"),
    }
}

/// Checks our client with the header as a server's answer to its offer.
fn check_client(lines: &[&[u8]], extensions: Option<&[Extension]>) {
    let agreement = agreed(lines.iter().copied());
    let Some(extensions) = extensions else {
        assert!(matches!(agreement, Err(InvalidAnswer::Malformed(_))));
        return;
    };
    let expected = match extensions {
        [] => Ok(None),
        [only] if only.name == NAME => match Parameters::of(only) {
            None
            | Some(Parameters {
                server_forgets: true,
                client_window: Some(None),
                ..
            }) => Err(InvalidAnswer::Parameter),
            Some(terms) if !terms.server_forgets => Err(InvalidAnswer::KeepsContext),
            Some(terms) => Ok(Some(terms.client_window.flatten().unwrap_or(15))),
        },
        _ => Err(InvalidAnswer::NotOffered),
    };
    assert!(!agreement.is_ok_and(|agreement| agreement.is_some_and(|each| each.keeps_context)));
    assert_eq!(
        agreement.map(|agreement| agreement.map(|each| each.window.bits())),
        expected
    );
}

const NAME: &[u8] = b"permessage-deflate";
