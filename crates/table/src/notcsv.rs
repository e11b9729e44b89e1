//! Signs that a text is no CSV at all.

use memchr::{memchr, memchr_iter};

/// Bytes of decoded text at which [`evidence`] looks.
pub(crate) const START_BYTES: usize = 64 * 1024;

const FORMATS: [(&[u8], &str); 4] = [
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PAR1", "a Parquet file"),
    (b"BZh", "bzip2 data"),
];

const TAGS: [&[u8]; 7] = [b"<!doctype", b"<!--", b"<?xml", b"<html", b"<head", b"<body", b"<error"];

/// The first evidence in a text's start that it is binary or markup, in words.
///
/// A NUL is evidence, and so are control characters in more than one of a hundred bytes; a few may stand in a CSV's
/// text. Of markup and JSON only those beginnings are, with which no header is likely to begin.
pub(crate) fn evidence(start: &[u8]) -> Option<String> {
    // `BZh` and the like could begin a column's name: only what is not text as well.
    if let Some((_, name)) = FORMATS.iter().find(|(magic, _)| start.starts_with(magic))
        && start.iter().any(|byte| is_control(*byte) || *byte >= 0x80)
    {
        return Some(format!("binary: it begins like {name}"));
    }
    if let Some(at) = memchr(0, start) {
        return Some(format!("binary: a NUL at byte offset {at}, line {}", line_of(start, at)));
    }
    // Counted in small numbers, which is done many bytes at a time.
    let in_part = |part: &[u8]| usize::from(part.iter().map(|byte| u8::from(is_control(*byte))).sum::<u8>());
    let controls: usize = start.chunks(usize::from(u8::MAX)).map(in_part).sum();
    if controls * 100 > start.len()
        && let Some(at) = start.iter().position(|byte| is_control(*byte))
    {
        let line = line_of(start, at);
        return Some(format!(
            "binary: {controls} control characters, the first at byte offset {at}, line {line}"
        ));
    }
    let trimmed = start.trim_ascii_start();
    let offset = start.len() - trimmed.len();
    let line = line_of(start, offset);
    let begins = |tag: &&[u8]| trimmed.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    if let Some(tag) = TAGS.iter().find(|tag| begins(tag)) {
        let tag = String::from_utf8_lossy(tag);
        return Some(format!("markup: it begins with `{tag}` at byte offset {offset}, line {line}"));
    }
    is_json(trimmed).then(|| format!("JSON: it begins like an object at byte offset {offset}, line {line}"))
}

#[expect(clippy::needless_bitwise_bool, reason = "without jumps it is done many bytes at a time")]
fn is_control(byte: u8) -> bool {
    (byte < 0x20) & (byte != b'\t') & (byte != b'\n') & (byte != b'\r') & (byte != 0x0c)
}

fn line_of(text: &[u8], at: usize) -> usize {
    memchr_iter(b'\n', &text[..at]).count() + 1
}

/// `{"`, `{}`, `[{`, white space aside.
fn is_json(text: &[u8]) -> bool {
    match text {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'"' | b'}')),
        [b'[', rest @ ..] => rest.trim_ascii_start().first() == Some(&b'{'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_named() {
        for (start, expected) in [
            (&b"a,b\n1,\0\n"[..], "binary: a NUL at byte offset 6, line 2"),
            (b"PK\x03\x04abc", "binary: it begins like a ZIP archive"),
            (b"\x01\x02\x03", "binary: 3 control characters, the first at byte offset 0, line 1"),
            (b"\n <!DOCTYPE html><html>", "markup: it begins with `<!doctype` at byte offset 2, line 2"),
            (b"<Error><Code>AccessDenied</Code>", "markup: it begins with `<error` at byte offset 0, line 1"),
            (b"{\n  \"a\": 1}", "JSON: it begins like an object at byte offset 0, line 1"),
            (b"[ {\"a\": 1}]", "JSON: it begins like an object at byte offset 0, line 1"),
        ] {
            assert_eq!(evidence(start).as_deref(), Some(expected), "{start:?}");
        }
    }

    #[test]
    fn what_may_be_csv_is_let_through() {
        for start in [
            &b""[..],
            b"a,b\n1,2\n",
            b"<5,>5\n1,2\n",
            b"[id],[name]\n",
            b"{id},{name}\n",
            b"PART,PAR1\n",
            b"PAR1,b\n1,2\n",
            "größe,b\n".as_bytes(),
        ] {
            assert_eq!(evidence(start), None, "{start:?}");
        }
        let mut colours = b"log,b\n".to_vec();
        colours.extend(b"some words and \x1b[0m more words, that are long enough to be text, for a hundred bytes and more, so that one in a hundred it is not\n");
        assert_eq!(evidence(&colours), None);
    }
}
