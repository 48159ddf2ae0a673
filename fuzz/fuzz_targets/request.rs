//! Bodies that callers send.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| router::fuzzing::request(body));
