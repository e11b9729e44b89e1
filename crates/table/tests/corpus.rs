//! What fuzzing has found worth keeping: `just fuzz` adds to it.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod any_bytes;

#[test]
fn the_corpus_is_converted_and_merged() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 50, "{} inputs in {folder}", files.len());
    for file in files {
        println!("{}", file.display());
        any_bytes::convert_and_merge(&std::fs::read(&file).unwrap());
    }
}
