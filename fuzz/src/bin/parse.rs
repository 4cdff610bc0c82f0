//! The fuzz target `parse`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lapwing_fuzz::parse::check(input));
