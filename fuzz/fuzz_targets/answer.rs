//! Streams that providers send.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| router::fuzzing::answer(usize::from(input.0), input.1));
