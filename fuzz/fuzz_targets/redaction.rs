//! Bodies on their way to a cloud.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| router::fuzzing::redaction(body));
