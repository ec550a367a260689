//! `Sec-WebSocket-Extensions` against a strict reading of RFC 6455 §9.1 and RFC 7692 §7.1: what is
//! accepted may be, what is refused must be, and the answer is one to what was offered.
//!
//! The first byte of the input says whether a context may be kept; lines of the header follow.
#![no_main]

use framecast_fuzz::extensions::{Extension, Terms, read};
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
    check_answer(&lines, extensions.as_deref());
});

fn check_offer(lines: &[&[u8]], extensions: Option<&[Extension]>, may_keep_context: bool) {
    let accepted = accept(lines.iter().copied(), may_keep_context);
    let Some(offers) = extensions else {
        assert!(accepted.is_err());
        return;
    };
    let mut ours = offers.iter().filter(|offer| offer.name == NAME);
    let offer = ours.find_map(Terms::of);
    let agreement = accepted.expect("it is in the grammar");
    assert_eq!(agreement.is_some(), offer.is_some());
    if let (Some(agreement), Some(offer)) = (agreement, offer) {
        let window = offer.server_window.unwrap_or(15);
        assert_eq!(agreement.window.bits(), window);
        let can_keep_context = !offer.server_forgets && window > 8;
        assert_eq!(
            agreement.keeps_context,
            may_keep_context && can_keep_context
        );
        check_told(agreement, offer);
    }
}

/// The answer says what was agreed on, and nothing that the offer does not allow.
fn check_told(agreement: Agreement, offer: Terms) {
    let answer = agreement.answer();
    let told = read(&[answer.as_bytes()]).expect("it is in the grammar");
    let [told] = &told[..] else {
        panic!("{answer}");
    };
    assert_eq!(told.name, NAME);
    let told = Terms::of(told).expect("its parameters are valid");
    let expected = Terms {
        server_forgets: !agreement.keeps_context,
        // We inflate no message with another one in mind.
        client_forgets: true,
        server_window: offer.server_window,
        client_window: None,
    };
    assert_eq!(told, expected);
    let taken = agreed([answer.as_bytes()].into_iter());
    match taken {
        Ok(Some(taken)) => assert!(taken.window.bits() == 15 && !agreement.keeps_context),
        Err(InvalidAnswer::KeepsContext) => assert!(agreement.keeps_context),
        other => panic!("{answer}: {other:?}"),
    }
}

/// The same header as the answer to what our client offers.
fn check_answer(lines: &[&[u8]], extensions: Option<&[Extension]>) {
    let taken = agreed(lines.iter().copied());
    let Some(extensions) = extensions else {
        assert!(matches!(taken, Err(InvalidAnswer::Malformed(_))));
        return;
    };
    let expected = match extensions {
        [] => Ok(None),
        [only] if only.name == NAME => match Terms::of(only) {
            None
            | Some(Terms {
                server_forgets: true,
                client_window: Some(None),
                ..
            }) => Err(InvalidAnswer::Parameter),
            Some(terms) if !terms.server_forgets => Err(InvalidAnswer::KeepsContext),
            Some(terms) => Ok(Some(terms.client_window.flatten().unwrap_or(15))),
        },
        _ => Err(InvalidAnswer::NotOffered),
    };
    assert!(!taken.is_ok_and(|taken| taken.is_some_and(|taken| taken.keeps_context)));
    assert_eq!(
        taken.map(|taken| taken.map(|taken| taken.window.bits())),
        expected
    );
}

const NAME: &[u8] = b"permessage-deflate";
