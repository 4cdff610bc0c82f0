//! The fuzz target `measure`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lapwing_fuzz::measure::check(input));
