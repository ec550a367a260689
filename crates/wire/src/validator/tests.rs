//! Tests of the validator. Most of them validate the same bytes whole and in pieces of every size.

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

/// Encodes a frame of a client with this first byte: the payload is masked with [`KEY`], and the
/// length has the shortest form.
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

/// Validates `wire` in pieces of `piece` bytes. Returns the protocol error, if there is one, the
/// number of bytes before it, and the infos of the messages whose first byte was accepted.
fn verdict_by(
    rules: Rules,
    wire: &[u8],
    piece: usize,
) -> (Option<ProtocolError>, usize, Vec<MessageInfo>) {
    let mut validator = Validator::new(rules);
    let mut infos = VecDeque::new();
    let mut passed = 0;
    for chunk in wire.to_vec().chunks_mut(piece) {
        if let Err(found) = validator.validate(chunk, &mut infos) {
            return (Some(found.error), passed + found.at, infos.into());
        }
        passed += chunk.len();
    }
    (None, passed, infos.into())
}

/// Same as [`error_by`], with [`RULES`].
fn error_in(wire: &[u8]) -> Option<ProtocolError> {
    error_by(RULES, wire)
}

/// Returns the protocol error in `wire`, and checks that it is the same for pieces of every size.
fn error_by(rules: Rules, wire: &[u8]) -> Option<ProtocolError> {
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
    // The first byte of a frame has FIN (0x80), RSV1 to RSV3 (0x40, 0x20, 0x10) and the opcode.
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
        // Lengths: 125 in two more bytes instead of none, 65,535 in eight instead of two, and one
        // with its top bit set.
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
        assert_eq!(error_in(&frames.concat()), Some(error), "{frames:?}");
    }
}

#[test]
fn exactly_the_limit_passes_and_one_more_is_refused_on_its_header() {
    assert_eq!(error_in(&frame(0x82, &[7; 1000])), None);
    // 4 bytes of header, and 4 of key.
    let header = &frame(0x82, &[7; 1001])[..8];
    assert_eq!(error_in(header), Some(ProtocolError::MessageTooBig));
    let sum = [frame(0x02, &[7; 500]), frame(0x80, &[7; 501])].concat();
    assert_eq!(
        verdict(&sum, sum.len()).0,
        Some(ProtocolError::MessageTooBig)
    );
    // The largest length that can be encoded.
    let huge = [
        0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0,
    ];
    assert_eq!(error_in(&huge), Some(ProtocolError::MessageTooBig));
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
    assert_eq!(error_in(&four.concat()), None);
    let five = [&four[..3].concat()[..], &middle, &middle].concat();
    assert_eq!(error_in(&five), Some(ProtocolError::TooManyFragments));
}

#[test]
fn text_must_not_end_inside_a_code_point_but_a_fragment_may() {
    assert_eq!(
        error_in(&[frame(0x01, b"a\xE2"), frame(0x80, b"\x82\xAC")].concat()),
        None
    );
    let cut = [frame(0x01, b"a\xE2"), frame(0x80, b"\x82")].concat();
    assert_eq!(error_in(&cut), Some(ProtocolError::InvalidUtf8));
    let empty_end = [frame(0x01, b"a\xE2"), frame(0x80, b"")].concat();
    assert_eq!(error_in(&empty_end), Some(ProtocolError::InvalidUtf8));
    let ping_between = [
        frame(0x01, b"\xE2"),
        frame(0x89, b"\xFF"),
        frame(0x80, b"\x82\xAC"),
    ];
    assert_eq!(error_in(&ping_between.concat()), None);
}

#[test]
fn invalid_text_is_refused_before_its_frame_is_whole() {
    let wire = frame(0x81, &[b"ok\xFF".as_slice(), &[b'x'; 100]].concat());
    // 6 bytes of header, key included, and the first 3 of the payload.
    assert_eq!(verdict(&wire[..9], 1).0, Some(ProtocolError::InvalidUtf8));
}

#[test]
fn frames_before_a_protocol_error_are_delivered() {
    let good = frame(0x81, b"hello");
    let wire = [&good[..], &[0x81, 0x01, b'x']].concat();
    // The first byte of the second frame is valid, so its message has an info, too.
    assert_eq!(
        verdict(&wire, wire.len()),
        (Some(ProtocolError::Unmasked), good.len(), vec![TEXT; 2])
    );
}

#[test]
fn text_is_shown_as_binary_and_unmasked_in_place() {
    let mut wire = [frame(0x81, b"hi"), frame(0x01, b"a"), frame(0x80, b"b")].concat();
    let mut infos = VecDeque::new();
    let mut validator = Validator::new(RULES);
    validator.validate(&mut wire, &mut infos).unwrap();
    // Each header has 6 bytes, and the payloads 2, 1 and 1: the frames begin at 0, 8 and 15.
    assert_eq!([wire[0], wire[8], wire[15]], [0x82, 0x02, 0x80]);
    assert_eq!(
        [&wire[6..8], &wire[14..15], &wire[21..]],
        [&b"hi"[..], b"a", b"b"]
    );
    assert_eq!(infos, [TEXT, TEXT]);
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
    let mut rewritten = compressed;
    let infos = &mut VecDeque::new();
    let mut validator = Validator::new(rules);
    validator.validate(&mut rewritten, infos).unwrap();
    // RSV1 is removed. The second frame begins after 6 bytes of header and one of payload.
    assert_eq!([rewritten[0], rewritten[7]], [0x02, 0x80]);
    let continuation = [frame(0x41, b"x"), frame(0xC0, b"x")].concat();
    for (what, wire) in [
        ("RSV1 on a continuation", continuation),
        ("RSV1 on a Ping", frame(0xC9, b"x")),
        ("RSV1 on a Close", frame(0xC8, b"")),
        ("RSV2", frame(0xE1, b"x")),
        ("RSV3", frame(0xD1, b"x")),
    ] {
        let error = error_by(rules, &wire);
        assert_eq!(error, Some(ProtocolError::ReservedBits), "{what}");
    }
    assert_eq!(
        error_by(rules, &frame(0x81, b"\xFF")),
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
    // As in `MessageLimits::received_bytes`.
    let limit = 1000 + 125 + 64;
    assert_eq!(error_by(rules, &frame(0xC2, &vec![0; limit])), None);
    // 4 bytes of header, and 4 of key.
    let header = &frame(0xC2, &vec![0; limit + 1])[..8];
    assert_eq!(error_by(rules, header), Some(ProtocolError::MessageTooBig));
}

#[test]
fn a_client_accepts_only_unmasked_frames() {
    let rules = Rules {
        role: Role::Client,
        ..RULES
    };
    let long = [&[0x82, 126, 0, 200][..], &[7; 200]].concat();
    assert_eq!(error_by(rules, &long), None);
    // A text in two fragments that split a code point, then a Ping and a Close with 1000.
    assert_eq!(error_by(rules, b"\x01\x01\xE2\x80\x02\x82\xAC"), None);
    assert_eq!(error_by(rules, b"\x89\x00\x88\x02\x03\xE8"), None);
    assert_eq!(
        error_by(rules, &frame(0x81, b"x")),
        Some(ProtocolError::Masked)
    );
    assert_eq!(
        error_by(rules, b"\x81\x05a\xFF"),
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
