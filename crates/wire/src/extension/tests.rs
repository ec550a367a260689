//! Tests of the negotiation: tables of offers with the server's answers, and of answers with the
//! client's verdicts.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Returns the lines of a header as bytes.
fn lines<'a>(header: &[&'a str]) -> impl Iterator<Item = &'a [u8]> {
    header.iter().map(|line| line.as_bytes())
}

/// Returns the answer of a server that may keep its context, in a short form: "keeps" for an answer
/// by which the server keeps its context, "forgets" for one by which it does not, "none" for an
/// answer without the extension, and "400" for the rejection of a malformed header.
fn answered(header: &[&str]) -> String {
    match accept(lines(header), true) {
        Ok(Some(agreement)) => agreement
            .answer()
            .replace(
                "server_no_context_takeover; client_no_context_takeover",
                "forgets",
            )
            .replace("client_no_context_takeover", "keeps")
            .replace("permessage-deflate; ", ""),
        Ok(None) => "none".to_owned(),
        Err(Malformed) => "400".to_owned(),
    }
}

/// Offers, each with the answer in the short form of [`answered`] behind an arrow.
/// `permessage-deflate` is left out at the beginning of each offer.
const OFFERS: &str = r#"
     -> keeps
    ; server_no_context_takeover -> forgets
    ; client_no_context_takeover -> keeps
    ; client_no_context_takeover; server_no_context_takeover -> forgets
    ; client_max_window_bits -> keeps
    ; client_max_window_bits=8 -> keeps
    ; client_max_window_bits=15 -> keeps
    ; client_max_window_bits="10" -> keeps
    ; server_max_window_bits=8 -> forgets; server_max_window_bits=8
    ; server_max_window_bits=9 -> keeps; server_max_window_bits=9
    ; server_max_window_bits=10 -> keeps; server_max_window_bits=10
    ; server_max_window_bits=14 -> keeps; server_max_window_bits=14
    ; server_max_window_bits=15 -> keeps; server_max_window_bits=15
    ; server_max_window_bits="12" -> keeps; server_max_window_bits=12
    ; server_max_window_bits="1\2" -> keeps; server_max_window_bits=12
    ; server_max_window_bits = 12  -> keeps; server_max_window_bits=12
    ;server_max_window_bits=12;client_max_window_bits -> keeps; server_max_window_bits=12
    ; server_max_window_bits=12; server_no_context_takeover -> forgets; server_max_window_bits=12
    , permessage-deflate; server_no_context_takeover -> keeps
    , x-webkit-deflate-frame -> keeps
    ; unknown, permessage-deflate; server_max_window_bits=9 -> keeps; server_max_window_bits=9
    ; server_max_window_bits=7, x, permessage-deflate -> keeps
    ; server_max_window_bits, ,,permessage-deflate; server_no_context_takeover -> forgets
    x -> none
    ; unknown -> none
    ; unknown=1 -> none
    ; Server_No_Context_Takeover -> none
    ; server_no_context_takeover=1 -> none
    ; client_no_context_takeover=true -> none
    ; client_no_context_takeover="x" -> none
    ; server_max_window_bits -> none
    ; server_max_window_bits=7 -> none
    ; server_max_window_bits=16 -> none
    ; server_max_window_bits=08 -> none
    ; server_max_window_bits=012 -> none
    ; server_max_window_bits=+9 -> none
    ; server_max_window_bits=-9 -> none
    ; server_max_window_bits=1 -> none
    ; server_max_window_bits=99 -> none
    ; server_max_window_bits=9.0 -> none
    ; server_max_window_bits="016" -> none
    ; client_max_window_bits=7 -> none
    ; client_max_window_bits=16 -> none
    ; client_max_window_bits=010 -> none
    ; client_max_window_bits=115 -> none
    ; client_max_window_bits=x -> none
    ; server_no_context_takeover; server_no_context_takeover -> none
    ; client_no_context_takeover; client_no_context_takeover -> none
    ; server_max_window_bits=9; server_max_window_bits=9 -> none
    ; client_max_window_bits; client_max_window_bits -> none
    ; client_max_window_bits; client_max_window_bits=9 -> none
    ; -> 400
    ; ;x -> 400
    ;, x -> 400
     x -> 400
    =x -> 400
    ; x= -> 400
    ; =x -> 400
    ; x y -> 400
    ; x=y z -> 400
    ; x==y -> 400
    ; x=y=z -> 400
    ; x=" -> 400
    ; x="y -> 400
    ; x="" -> 400
    ; x="y z" -> 400
    ; x="y,z" -> 400
    ; x="y"z -> 400
    ; x="\ -> 400
    ; x="\"" -> 400
    ; "x" -> 400
    , (x) -> 400
    , x/y -> 400
    , "x" -> 400
    , ä -> 400
    , x; y='z'; -> 400
"#;

#[test]
fn each_offer_gets_the_answer_in_the_table() {
    let rows = OFFERS.lines().filter_map(|row| row.split_once(" -> "));
    let wrong = rows.clone().filter(|(parameters, answer)| {
        let parameters = parameters.strip_prefix("    ").unwrap();
        answered(&[&format!("permessage-deflate{parameters}")]) != *answer
    });
    assert_eq!(wrong.collect::<Vec<_>>(), []);
    assert_eq!(rows.count(), 76, "no row is left out for its form");
}

#[test]
fn the_lines_of_a_header_are_one_list() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "none"),
        (&["x; y=z", "w"], "none"),
        (&["Permessage-Deflate"], "none"),
        (&["x; y=z, ,", "permessage-deflate"], "keeps"),
        (&["permessage-deflate;\tx", "permessage-deflate"], "keeps"),
        (&["", "permessage-deflate"], "keeps"),
        (&["permessage-deflate", "x\u{7f}"], "400"),
        (
            &["permessage-deflate;", "server_no_context_takeover"],
            "400",
        ),
        (&[""], "400"),
    ];
    for (header, answer) in cases {
        assert_eq!(answered(header), answer, "{header:?}");
    }
}

#[test]
fn a_server_that_may_not_keep_its_context_says_so_in_its_answer() {
    let offer = ["permessage-deflate; server_max_window_bits=10"];
    let agreement = accept(lines(&offer), false).unwrap().unwrap();
    assert!(!agreement.keeps_context);
    assert_eq!(
        agreement.answer(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=10"
    );
}

/// Answers of a server to [`OFFER`]. Behind an arrow is the window that the client takes from the
/// answer, as the base-2 logarithm of its bytes, or the client's error.
const ANSWERS: &str = "
    permessage-deflate; server_no_context_takeover -> Ok(Some(15))
    permessage-deflate; server_no_context_takeover; client_no_context_takeover -> Ok(Some(15))
    permessage-deflate; server_no_context_takeover; client_max_window_bits=8 -> Ok(Some(8))
    permessage-deflate; server_no_context_takeover; client_max_window_bits=15 -> Ok(Some(15))
    permessage-deflate; server_no_context_takeover; server_max_window_bits=9 -> Ok(Some(15))
    permessage-deflate; server_no_context_takeover; client_max_window_bits -> Err(Parameter)
    permessage-deflate; server_no_context_takeover; client_max_window_bits=16 -> Err(Parameter)
    permessage-deflate; server_no_context_takeover; server_max_window_bits -> Err(Parameter)
    permessage-deflate; server_no_context_takeover; server_no_context_takeover -> Err(Parameter)
    permessage-deflate; server_no_context_takeover; x -> Err(Parameter)
    permessage-deflate; client_no_context_takeover -> Err(KeepsContext)
    permessage-deflate -> Err(KeepsContext)
    permessage-deflate, permessage-deflate -> Err(NotOffered)
    permessage-deflate; server_no_context_takeover, x -> Err(NotOffered)
    x -> Err(NotOffered)
    permessage-deflate; -> Err(Malformed(Malformed))
    , -> Err(Malformed(Malformed))
";

#[test]
fn a_client_accepts_only_answers_that_its_offer_allows() {
    let window = |header: &[&str]| {
        let agreement = agreed(lines(header));
        let window = agreement.map(|agreement| agreement.map(|each| each.window.bits()));
        format!("{window:?}")
    };
    assert_eq!(window(&[]), "Ok(None)");
    let rows = ANSWERS.lines().filter_map(|row| row.split_once(" -> "));
    let wrong = rows
        .clone()
        .filter(|(answer, verdict)| window(&[answer]) != *verdict);
    assert_eq!(wrong.collect::<Vec<_>>(), []);
    assert_eq!(rows.count(), 17, "no row is left out for its form");
}

#[test]
fn every_window_is_at_its_index() {
    for (index, window) in WindowBits::ALL.into_iter().enumerate() {
        assert_eq!(
            (window.index(), usize::from(window.bits())),
            (index, index + 8)
        );
    }
    assert_eq!(WindowBits::ALL[7], WindowBits::MAX);
}

#[test]
fn our_client_accepts_what_our_server_answers_to_its_offer() {
    for may_keep_context in [false, true] {
        let accepted = accept(lines(&[OFFER]), may_keep_context).unwrap().unwrap();
        assert_eq!(agreed(lines(&[&accepted.answer()])), Ok(Some(accepted)));
    }
}

proptest! {
    #[test]
    fn no_header_makes_the_parser_panic(
        bytes in vec(any::<u8>(), 0..40),
        words in vec(select(&["permessage-deflate", "server_max_window_bits", "=", "12", ";",
            ",", " ", "\"", "\\", "client_max_window_bits", "x"][..]), 0..12),
    ) {
        let _ = agreed([&bytes[..]].into_iter());
        let text = words.concat();
        let both = [&bytes[..], text.as_bytes()];
        let accepted = accept(both.into_iter(), true);
        // One malformed line makes the whole header malformed.
        if accept([&bytes[..]].into_iter(), true).is_err() && !bytes.iter().all(|b| b", \t".contains(b)) {
            prop_assert_eq!(accepted, Err(Malformed));
        }
    }

    #[test]
    fn a_context_is_kept_and_a_window_named_only_as_the_offer_allows(
        forgets in any::<bool>(), window in proptest::option::of(8u8..=15), may_keep in any::<bool>(),
    ) {
        let mut offer = OFFER.replace(" server_no_context_takeover;", "");
        if forgets {
            offer.push_str("; server_no_context_takeover");
        }
        if let Some(window) = window {
            write!(offer, "; server_max_window_bits={window}").unwrap();
        }
        let agreement = accept(lines(&[&offer]), may_keep).unwrap().unwrap();
        prop_assert_eq!(agreement.window.bits(), window.unwrap_or(15));
        prop_assert_eq!(agreement.keeps_context, may_keep && !forgets && window != Some(8));
        let answer = agreed(lines(&[&agreement.answer()]));
        prop_assert_eq!(answer.is_ok(), !agreement.keeps_context);
    }
}
