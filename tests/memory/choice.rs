//! Random choice of the actions of a script.

use std::ops::Range;

use framecast_test_support::limits::{NAME_BYTES, TOPICS};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    clients::Offer,
    script::{Action, Asked, Last, Relays, Unfinished},
    server::MESSAGE_BYTES,
};

/// Returns a strategy that chooses one action of any kind, with random numbers and sizes.
pub(crate) fn action() -> impl Strategy<Value = Action> {
    prop_oneof![http(), lists(), topics(), plain(), compressed()]
}

/// Returns the range from which the number of an action's connections is chosen.
fn connections() -> Range<usize> {
    1..30
}

/// Greatest number of items of a list.
const ITEMS: usize = 1_000;

fn http() -> impl Strategy<Value = Action> {
    let asked = prop_oneof![
        Just(Asked::Health),
        Just(Asked::Nothing),
        Just(Asked::Page),
        (0..2000usize).prop_map(Asked::Publication),
    ];
    // Either so few that the kernel buffers all responses and the server reads the last request, or
    // so many that the server stops reading before the last one.
    let requests = prop_oneof![0..20usize, 100..400usize];
    let last = prop_oneof![
        (0..60_000usize).prop_map(Last::Body),
        (0..60_000usize).prop_map(Last::Chunks),
        (0..4000usize).prop_map(Last::Head),
    ];
    prop_oneof![
        (connections(), 0..4000usize)
            .prop_map(|(connections, bytes)| Action::Heads { connections, bytes }),
        connections().prop_map(|connections| Action::Idle { connections }),
        (connections(), 0..60_000usize, any::<bool>()).prop_map(
            |(connections, sent, is_chunked)| Action::Bodies {
                connections,
                sent,
                is_chunked,
            }
        ),
        (connections(), requests, asked, last).prop_map(|(connections, requests, asked, last)| {
            Action::Pipelines {
                connections,
                requests,
                asked,
                last,
            }
        }),
    ]
}

fn lists() -> impl Strategy<Value = Action> {
    let numbers = (connections(), 1..100usize, 0..=ITEMS);
    numbers.prop_map(|(connections, lists, items)| Action::Lists {
        connections,
        lists,
        items,
    })
}

fn topics() -> impl Strategy<Value = Action> {
    let relays = (
        connections(),
        1..=TOPICS,
        8..=NAME_BYTES,
        1..6usize,
        0..=TOPICS,
        any::<bool>(),
    );
    let relays = relays.prop_map(
        |(connections, topics, name_bytes, changes, kept, is_reading)| Relays {
            connections,
            topics,
            name_bytes,
            changes,
            kept,
            is_reading,
        },
    );
    prop_oneof![
        (1..60usize, 1..=TOPICS, 8..=NAME_BYTES).prop_map(|(count, topics, name_bytes)| {
            Action::Registrations {
                count,
                topics,
                name_bytes,
            }
        }),
        relays.prop_map(Action::Relays),
        // All topics are in the path of the handshake, and so their names are short.
        (connections(), 1..=TOPICS, 8..110usize, any::<bool>()).prop_map(
            |(connections, topics, name_bytes, are_shared)| Action::Followers {
                connections,
                topics,
                name_bytes,
                are_shared,
            }
        ),
    ]
}

fn plain() -> impl Strategy<Value = Action> {
    let what = select(vec![
        Unfinished::Compressed,
        Unfinished::Fragments,
        Unfinished::Frame,
        Unfinished::RawFragments,
        Unfinished::RawFrame,
    ]);
    prop_oneof![
        (connections(), what, 1..=MESSAGE_BYTES, 0..101usize).prop_map(
            |(connections, what, promised, sent_percent)| Action::Unfinished {
                connections,
                what,
                promised,
                sent: promised * sent_percent / 100,
            }
        ),
        (1..8usize, 1..2000usize, 0..2000usize).prop_map(|(subscribers, messages, bytes)| {
            Action::Readers {
                subscribers,
                messages,
                bytes,
            }
        }),
        (1..6usize, 1..60_000usize)
            .prop_map(|(connections, bytes)| Action::Echoes { connections, bytes }),
        (1..6usize, 0..500usize, 0..500usize).prop_map(|(connections, fragments, bytes)| {
            Action::RawEchoes {
                connections,
                fragments,
                bytes,
            }
        }),
    ]
}

fn compressed() -> impl Strategy<Value = Action> {
    let offer = prop_oneof![
        1 => Just(Offer::Nothing),
        1 => Just(Offer::Context),
        4 => (8..=15u8).prop_map(Offer::Window),
    ];
    // Number of messages, and bytes of each: many small ones, or a few of up to the limit, which
    // the server compresses in steps.
    let messages = prop_oneof![(1..200usize, 0..2000usize), (1..4usize, 0..=MESSAGE_BYTES)];
    // In half of the cases the messages consist of zeros, and inflate to many times the bytes that
    // were sent.
    let noise_percent = || prop_oneof![Just(0), 0..101usize];
    prop_oneof![
        (vec(offer, 1..8), messages, noise_percent()).prop_map(
            |(offers, (messages, bytes), noise_percent)| Action::CompressedReaders {
                offers,
                messages,
                bytes,
                noise_percent,
            }
        ),
        (connections(), 8..=15u8, 0..=MESSAGE_BYTES, noise_percent()).prop_map(
            |(connections, window, bytes, noise_percent)| Action::CompressedEchoes {
                connections,
                window,
                bytes,
                noise_percent,
            }
        ),
    ]
}
