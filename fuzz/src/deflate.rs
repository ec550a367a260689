//! Compresses messages with miniz_oxide, as a peer may whose compressor is not ours.

use miniz_oxide::{
    MZFlush, MZStatus,
    deflate::{core::CompressorOxide, stream::deflate},
};

/// Compresses a message without a context, at a level from 0 to 9. With an odd level, the message
/// ends with a block that has BFINAL.
pub fn message(payload: &[u8], level: u8) -> Vec<u8> {
    let mut compressor = CompressorOxide::default();
    compressor.set_format_and_level(miniz_oxide::DataFormat::Raw, level);
    let (flush, expected) = if level % 2 == 0 {
        (MZFlush::Sync, MZStatus::Ok)
    } else {
        (MZFlush::Finish, MZStatus::StreamEnd)
    };
    let mut compressed = vec![0; 2 * payload.len() + 100];
    let result = deflate(&mut compressor, payload, &mut compressed, flush);
    assert_eq!(result.status, Ok(expected));
    assert_eq!(result.bytes_consumed, payload.len());
    compressed.truncate(result.bytes_written);
    if level % 2 == 0 {
        assert_eq!(
            compressed.split_off(compressed.len() - 4),
            [0, 0, 0xFF, 0xFF]
        );
    }
    compressed
}
