//! Compares fastwebsockets' unmasking with a simple loop over the bytes. The payload begins at any
//! alignment. It is unmasked whole, and in two pieces with a rotated key, as the validator does it.
//! This function of fastwebsockets is the only unsafe code that a message passes through.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, [u8; 4], &[u8])| {
    let (offset, cut, key, payload) = input;
    let expected: Vec<u8> = payload
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    // The bytes 0xEE around the payload must not change.
    let offset = usize::from(offset % 64);
    let mut buffer = vec![0xEE; offset];
    buffer.extend(payload);
    buffer.extend([0xEE; 16]);
    let end = offset + payload.len();
    let mut pieces = buffer.clone();

    fastwebsockets::unmask(&mut buffer[offset..end], key);
    assert_eq!(buffer[offset..end], expected);

    let cut = usize::from(cut) % (payload.len() + 1);
    let (first, second) = pieces[offset..end].split_at_mut(cut);
    fastwebsockets::unmask(first, key);
    let mut rotated = key;
    rotated.rotate_left(cut % 4);
    fastwebsockets::unmask(second, rotated);
    assert_eq!(pieces, buffer, "bytes around the payload have changed");
});
