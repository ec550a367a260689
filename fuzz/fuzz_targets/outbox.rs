//! Compares an outbox with a simple model of it, a list of the bytes to be written, while its
//! socket takes few bytes, blocks or fails. The outbox must write whole frames in the order of the
//! list, and must count its own size correctly.
#![no_main]

use arbitrary::Arbitrary;
use framecast::{Disconnect, ProtocolError};
use framecast_fuzz::outbox_model::Model;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    AnswerClose,
    BreakSocket,
    Control { len: u8 },
    End { reason: u8 },
    Flush,
    Publish { times: u8, len: u8 },
    Reply { len: u16 },
}

fuzz_target!(|input: ([u8; 3], Vec<Operation>)| {
    let (writes, operations) = input;
    let mut model = Model::new(writes);
    for (number, operation) in operations.into_iter().enumerate() {
        // Each operation has another letter, so that frames in the wrong order are noticed.
        let payload = |len: usize| vec![b'a' + (number % 26) as u8; len];
        match operation {
            Operation::AnswerClose => model.answer_close(),
            Operation::BreakSocket => model.break_socket(),
            Operation::Control { len } => model.control(&payload(usize::from(len % 126))),
            Operation::End { reason } => {
                model.end(REASONS[usize::from(reason) % REASONS.len()]);
            }
            Operation::Flush => model.flush(),
            Operation::Publish { times, len } => {
                model.publish(&payload(usize::from(len)), 1 + usize::from(times % 4));
            }
            Operation::Reply { len } => model.reply(&payload(usize::from(len % 400))),
        }
        model.check();
    }
    model.finish();
});

const REASONS: [Disconnect; 7] = [
    Disconnect::ByPeer,
    Disconnect::Lost,
    Disconnect::NoPong,
    Disconnect::Restarting,
    Disconnect::SlowConsumer,
    Disconnect::Unregistered,
    Disconnect::ProtocolError(ProtocolError::Unmasked),
];
