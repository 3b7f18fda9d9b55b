#![no_main]

#[path = "../src/json.rs"]
mod json;
#[path = "../src/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::import_document(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    json::mutate_in_place(data, size, most, seed, 0).unwrap_or_else(|| libfuzzer_sys::fuzzer_mutate(data, size, most))
});
