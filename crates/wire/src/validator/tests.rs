//! The validator, with its input whole and in pieces of any size.

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    role: Role::Server,
    deflate: false,
    limits: MessageLimits {
        message_bytes: 1000,
        fragments: 4,
    },
};
const TEXT: MessageInfo = MessageInfo {
    kind: Kind::Text,
    is_deflated: false,
};
const KEY: [u8; 4] = [9, 8, 7, 6];

/// Encodes a masked client frame with this first byte, its length in the shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        len @ 0..=125 => wire.push(0x80 | len.to_be_bytes()[1]),
        len => {
            wire.push(0x80 | 126);
            wire.extend(len.to_be_bytes());
        }
    }
    wire.extend(KEY);
    wire.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    wire
}

/// Same as [`verdict_by`], with [`RULES`].
fn verdict(wire: &[u8], piece: usize) -> (Option<ProtocolError>, usize, Vec<MessageInfo>) {
    verdict_by(RULES, wire, piece)
}

/// Validates `wire` in pieces of `piece` bytes. Returns the error, how many bytes passed, and the
/// kinds of messages.
fn verdict_by(
    rules: Rules,
    wire: &[u8],
    piece: usize,
) -> (Option<ProtocolError>, usize, Vec<MessageInfo>) {
    let mut validator = Validator::new(rules);
    let mut started = VecDeque::new();
    let mut passed = 0;
    for chunk in wire.to_vec().chunks_mut(piece) {
        if let Err(found) = validator.validate(chunk, &mut started) {
            return (Some(found.error), passed + found.at, started.into());
        }
        passed += chunk.len();
    }
    (None, passed, started.into())
}

/// Same as [`refused_by`], with [`RULES`].
fn refused(wire: &[u8]) -> Option<ProtocolError> {
    refused_by(RULES, wire)
}

/// Returns the protocol error in `wire`, which must be the same for pieces of every size.
fn refused_by(rules: Rules, wire: &[u8]) -> Option<ProtocolError> {
    let verdicts: Vec<_> = (1..=wire.len())
        .map(|piece| verdict_by(rules, wire, piece).0)
        .collect();
    assert!(
        verdicts.iter().all(|each| *each == verdicts[0]),
        "{verdicts:?}"
    );
    verdicts[0]
}

#[test]
fn every_protocol_error_is_found_however_the_bytes_are_split() {
    use ProtocolError::*;
    let cases: [(&[Vec<u8>], ProtocolError); 15] = [
        (&[vec![0x81, 0x02, b'h', b'i']], Unmasked),
        (&[frame(0xC1, b"x")], ReservedBits),
        (&[frame(0xA1, b"x")], ReservedBits),
        (&[frame(0x91, b"x")], ReservedBits),
        (&[frame(0x83, b"x")], UnknownOpcode),
        (&[frame(0x8B, b"x")], UnknownOpcode),
        (&[frame(0x09, b"x")], ControlFragmented),
        (&[frame(0x8A, &[0; 126])], ControlTooLong),
        (&[frame(0x01, b"a"), frame(0x81, b"b")], DataInsideMessage),
        (&[frame(0x01, b"a"), frame(0x01, b"b")], DataInsideMessage),
        (&[frame(0x80, b"x")], ContinuationWithoutStart),
        (&[vec![0x82, 0xFE, 0, 125, 0, 0, 0, 0]], LengthEncoding),
        (
            &[vec![0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0]],
            LengthEncoding,
        ),
        (
            &[vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
            LengthEncoding,
        ),
        (&[frame(0x81, b"\xFF")], InvalidUtf8),
    ];
    for (frames, error) in cases {
        assert_eq!(refused(&frames.concat()), Some(error), "{frames:?}");
    }
}

#[test]
fn exactly_the_limit_passes_and_one_more_is_refused_on_its_header() {
    assert_eq!(refused(&frame(0x82, &[7; 1000])), None);
    let header = &frame(0x82, &[7; 1001])[..8];
    assert_eq!(refused(header), Some(ProtocolError::MessageTooBig));
    let sum = [frame(0x02, &[7; 500]), frame(0x80, &[7; 501])].concat();
    assert_eq!(
        verdict(&sum, sum.len()).0,
        Some(ProtocolError::MessageTooBig)
    );
    let huge = [
        0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0,
    ];
    assert_eq!(refused(&huge), Some(ProtocolError::MessageTooBig));
}

#[test]
fn one_fragment_more_than_allowed_is_refused() {
    let middle = frame(0x00, b"");
    let four = [
        frame(0x02, b"a"),
        middle.clone(),
        middle.clone(),
        frame(0x80, b""),
    ];
    assert_eq!(refused(&four.concat()), None);
    let five = [&four[..3].concat()[..], &middle, &middle].concat();
    assert_eq!(refused(&five), Some(ProtocolError::TooManyFragments));
}

#[test]
fn text_must_not_end_inside_a_code_point_but_a_fragment_may() {
    assert_eq!(
        refused(&[frame(0x01, b"a\xE2"), frame(0x80, b"\x82\xAC")].concat()),
        None
    );
    let cut = [frame(0x01, b"a\xE2"), frame(0x80, b"\x82")].concat();
    assert_eq!(refused(&cut), Some(ProtocolError::InvalidUtf8));
    let empty_end = [frame(0x01, b"a\xE2"), frame(0x80, b"")].concat();
    assert_eq!(refused(&empty_end), Some(ProtocolError::InvalidUtf8));
    let ping_between = [
        frame(0x01, b"\xE2"),
        frame(0x89, b"\xFF"),
        frame(0x80, b"\x82\xAC"),
    ];
    assert_eq!(refused(&ping_between.concat()), None);
}

#[test]
fn invalid_text_is_refused_before_its_frame_is_whole() {
    let wire = frame(0x81, &[b"ok\xFF".as_slice(), &[b'x'; 100]].concat());
    assert_eq!(verdict(&wire[..9], 1).0, Some(ProtocolError::InvalidUtf8));
}

#[test]
fn frames_before_a_protocol_error_are_delivered() {
    let good = frame(0x81, b"hello");
    let wire = [&good[..], &[0x81, 0x01, b'x']].concat();
    assert_eq!(
        verdict(&wire, wire.len()),
        (Some(ProtocolError::Unmasked), good.len(), vec![TEXT; 2])
    );
}

#[test]
fn text_is_shown_as_binary_and_unmasked_in_place() {
    let mut wire = [frame(0x81, b"hi"), frame(0x01, b"a"), frame(0x80, b"b")].concat();
    let mut started = VecDeque::new();
    let mut validator = Validator::new(RULES);
    validator.validate(&mut wire, &mut started).unwrap();
    assert_eq!([wire[0], wire[8], wire[15]], [0x82, 0x02, 0x80]);
    assert_eq!(
        [&wire[6..8], &wire[14..15], &wire[21..]],
        [&b"hi"[..], b"a", b"b"]
    );
    assert_eq!(started, [TEXT, TEXT]);
    assert!(validator.is_between_messages());
}

#[test]
fn with_deflate_only_the_first_frame_of_a_data_message_may_have_rsv1() {
    let rules = Rules {
        deflate: true,
        ..RULES
    };
    let compressed = [frame(0x41, b"\xFF"), frame(0x80, b"\xFF")].concat();
    let deflated = MessageInfo {
        is_deflated: true,
        ..TEXT
    };
    for piece in 1..=compressed.len() {
        let passed = (None, compressed.len(), vec![deflated]);
        assert_eq!(verdict_by(rules, &compressed, piece), passed);
    }
    let mut shown = compressed;
    let infos = &mut VecDeque::new();
    Validator::new(rules).validate(&mut shown, infos).unwrap();
    assert_eq!([shown[0], shown[7]], [0x02, 0x80]);
    for frames in [
        [frame(0x41, b"x"), frame(0xC0, b"x")].concat(),
        frame(0xC9, b"x"),
        frame(0xC8, b""),
        frame(0xE1, b"x"),
        frame(0xD1, b"x"),
    ] {
        assert_eq!(
            refused_by(rules, &frames),
            Some(ProtocolError::ReservedBits)
        );
    }
    assert_eq!(
        refused_by(rules, &frame(0x81, b"\xFF")),
        Some(ProtocolError::InvalidUtf8),
        "not compressed"
    );
}

#[test]
fn a_compressed_message_may_be_an_eighth_larger_than_the_limit() {
    let rules = Rules {
        deflate: true,
        ..RULES
    };
    let limit = 1000 + 125 + 64;
    assert_eq!(refused_by(rules, &frame(0xC2, &vec![0; limit])), None);
    let header = &frame(0xC2, &vec![0; limit + 1])[..8];
    assert_eq!(
        refused_by(rules, header),
        Some(ProtocolError::MessageTooBig)
    );
}

#[test]
fn a_client_accepts_only_unmasked_frames() {
    let rules = Rules {
        role: Role::Client,
        ..RULES
    };
    let long = [&[0x82, 126, 0, 200][..], &[7; 200]].concat();
    assert_eq!(refused_by(rules, &long), None);
    assert_eq!(refused_by(rules, b"\x01\x01\xE2\x80\x02\x82\xAC"), None);
    assert_eq!(refused_by(rules, b"\x89\x00\x88\x02\x03\xE8"), None);
    assert_eq!(
        refused_by(rules, &frame(0x81, b"x")),
        Some(ProtocolError::Masked)
    );
    assert_eq!(
        refused_by(rules, b"\x81\x05a\xFF"),
        Some(ProtocolError::InvalidUtf8)
    );
}

proptest! {
    #[test]
    fn any_bytes_get_the_same_verdict_for_every_split(
        wire in proptest::collection::vec(any::<u8>(), 1..60), piece in 1..60usize,
    ) {
        let whole = verdict(&wire, wire.len());
        prop_assert_eq!(whole.0, verdict(&wire, piece).0);
    }
}
