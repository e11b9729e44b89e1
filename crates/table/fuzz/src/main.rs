//! Arbitrary bytes for the reader of CSVs: no panic, no hang, no memory beyond the bound, and what was converted can be
//! merged. `tests/corpus.rs` does the same with the inputs that are kept.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/any_bytes/mod.rs"]
mod any_bytes;

fuzz_target!(|bytes: &[u8]| any_bytes::convert_and_merge(bytes));
