//! From an object's bytes to UTF-8 text: compression and encoding, both by content.

use std::io::{self, BufReader, Cursor, Read, Seek};

use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};
use flate2::bufread::MultiGzDecoder;

const CHUNK_BYTES: usize = 64 * 1024;

/// How a text is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    Windows1252,
}

impl Encoding {
    /// Its name in the lineage.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Windows1252 => "windows-1252",
        }
    }
}

/// Why a text could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The input itself failed.
    #[error(transparent)]
    Input(io::Error),
    /// What seemed to be UTF-8 is not: read it again as Windows-1252.
    #[error("not UTF-8")]
    NotUtf8,
    /// The bytes are neither.
    #[error("{0}")]
    Damaged(String),
}

impl From<io::Error> for DecodeError {
    /// Finds out which of the layers an error came from. What has no mark comes from a decompressor.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(marked) => marked,
            Err(error) => Self::Damaged(format!("damaged or incomplete compression: {error}")),
        }
    }
}

/// A text, being read: UTF-8, without a byte order mark.
pub(crate) struct Text<'a> {
    pub(crate) encoding: Encoding,
    reader: Box<dyn Read + 'a>,
}

impl Read for Text<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Starts to read a text from its first byte.
///
/// Gzip (of any number of members) and zstd are unpacked. UTF-16 is known by its byte order mark; all else is UTF-8
/// and reading fails with [`DecodeError::NotUtf8`] where it is not, unless `legacy` says to take it as Windows-1252.
pub(crate) fn open<'a, I: Read + Seek>(input: &'a mut I, legacy: bool) -> io::Result<Text<'a>> {
    input.rewind().map_err(mark)?;
    let (magic, raw) = split_head(Marked(input), 4)?;
    let unpacked: Box<dyn Read + 'a> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, raw))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(raw)?),
        _ => Box::new(raw),
    };
    let (head, mut unpacked) = split_head(unpacked, 3)?;
    let (encoding, mark_bytes) = match head.as_slice() {
        [0xef, 0xbb, 0xbf] => (None, 3),
        [0xff, 0xfe, ..] => (Some(Encoding::Utf16Le), 2),
        [0xfe, 0xff, ..] => (Some(Encoding::Utf16Be), 2),
        _ => (None, 0),
    };
    io::copy(&mut unpacked.by_ref().take(mark_bytes), &mut io::sink())?;
    let encoding = encoding.unwrap_or(if legacy { Encoding::Windows1252 } else { Encoding::Utf8 });
    let decoder = match encoding {
        Encoding::Utf8 => None,
        Encoding::Utf16Le => Some(UTF_16LE),
        Encoding::Utf16Be => Some(UTF_16BE),
        Encoding::Windows1252 => Some(WINDOWS_1252),
    };
    let reader: Box<dyn Read + 'a> = match decoder {
        None => Box::new(Checked { input: unpacked, open: Vec::new() }),
        Some(from) => Box::new(Transcoded {
            input: unpacked,
            decoder: from.new_decoder_without_bom_handling(),
            bytes: vec![0; CHUNK_BYTES],
            unread: 0..0,
            ended: false,
            // A byte of Windows-1252 or a unit of UTF-16 makes at most three of UTF-8.
            text: vec![0; 3 * CHUNK_BYTES],
            ready: 0..0,
        }),
    };
    Ok(Text { encoding, reader })
}

/// The first bytes, and a reader that starts with them again.
fn split_head<'a>(mut input: impl Read + 'a, bytes: usize) -> io::Result<(Vec<u8>, impl Read + 'a)> {
    let mut head = Vec::with_capacity(bytes);
    input.by_ref().take(bytes as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(input)))
}

fn mark(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), DecodeError::Input(error))
}

/// Marks errors of the input, so that a failed read is not taken for a damaged file.
struct Marked<R>(R);

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(mark),
            }
        }
    }
}

/// Lets UTF-8 through, and nothing else.
struct Checked<R> {
    input: R,
    /// Bytes already let through of a character that is not complete.
    open: Vec<u8>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, DecodeError::NotUtf8);
        if read == 0 && !buffer.is_empty() && !self.open.is_empty() {
            return Err(invalid());
        }
        let mut rest = &buffer[..read];
        while let (false, [first, tail @ ..]) = (self.open.is_empty(), rest) {
            self.open.push(*first);
            rest = tail;
            match std::str::from_utf8(&self.open) {
                Ok(_) => self.open.clear(),
                Err(error) if error.error_len().is_some() => return Err(invalid()),
                Err(_) => {}
            }
        }
        if let Err(error) = std::str::from_utf8(rest) {
            if error.error_len().is_some() {
                return Err(invalid());
            }
            self.open.extend_from_slice(&rest[error.valid_up_to()..]);
        }
        Ok(read)
    }
}

/// Turns another encoding into UTF-8.
struct Transcoded<R> {
    input: R,
    decoder: Decoder,
    bytes: Vec<u8>,
    unread: std::ops::Range<usize>,
    ended: bool,
    text: Vec<u8>,
    ready: std::ops::Range<usize>,
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() {
            if self.unread.is_empty() {
                if self.ended {
                    return Ok(0);
                }
                let read = self.input.read(&mut self.bytes)?;
                self.unread = 0..read;
                self.ended = read == 0;
            }
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
                &self.bytes[self.unread.clone()],
                &mut self.text,
                self.ended,
            );
            self.unread.start += read;
            self.ready = 0..written;
            if let DecoderResult::Malformed(..) = result {
                let name = self.decoder.encoding().name();
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    DecodeError::Damaged(format!("damaged {name}: a character that does not exist")),
                ));
            }
        }
        let length = self.ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.text[self.ready.start..self.ready.start + length]);
        self.ready.start += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn text_of(bytes: &[u8], legacy: bool) -> Result<(String, &'static str), DecodeError> {
        let mut input = Cursor::new(bytes);
        let mut text = open(&mut input, legacy)?;
        let mut read = String::new();
        text.read_to_string(&mut read)?;
        Ok((read, text.encoding.name()))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn encodings() {
        for (bytes, legacy, text, encoding) in [
            (b"".to_vec(), false, "", "utf-8"),
            ("größe 🌾".into(), false, "größe 🌾", "utf-8"),
            ("\u{feff}größe".into(), false, "größe", "utf-8"),
            (utf16("\u{feff}größe 🌾", u16::to_le_bytes), false, "größe 🌾", "utf-16le"),
            (utf16("\u{feff}größe 🌾", u16::to_be_bytes), false, "größe 🌾", "utf-16be"),
            (b"gr\xf6\xdfe \x80".to_vec(), true, "größe €", "windows-1252"),
        ] {
            assert_eq!(text_of(&bytes, legacy).unwrap(), (text.to_owned(), encoding), "{text}");
        }
    }

    #[test]
    fn compressions() {
        let members = [gzip("a,b\n".as_bytes()), gzip("é,ü\n".as_bytes())].concat();
        assert_eq!(text_of(&members, false).unwrap().0, "a,b\né,ü\n");
        let frames =
            [zstd::encode_all(&b"a,b\n"[..], 3).unwrap(), zstd::encode_all(&b"1,2\n"[..], 3).unwrap()]
                .concat();
        assert_eq!(text_of(&frames, false).unwrap().0, "a,b\n1,2\n");
        let both = gzip(&utf16("\u{feff}a,b\n", u16::to_le_bytes));
        assert_eq!(text_of(&both, false).unwrap(), ("a,b\n".to_owned(), "utf-16le"));
    }

    #[test]
    fn what_is_not_utf_8_is_seen_wherever_it_stands() {
        for at in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES] {
            let mut bytes = "é".repeat(at / 2).into_bytes();
            bytes.push(0xe9);
            assert!(matches!(text_of(&bytes, false), Err(DecodeError::NotUtf8)), "{at}");
            bytes.push(b'\n');
            assert!(matches!(text_of(&bytes, false), Err(DecodeError::NotUtf8)), "{at}");
        }
    }

    #[test]
    fn characters_may_lie_across_reads() {
        struct One<'a>(&'a [u8]);
        impl Read for One<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = self.0.len().min(buffer.len()).min(1);
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let mut text = String::new();
        Checked { input: One("aé€🌾".as_bytes()), open: Vec::new() }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "aé€🌾");
    }

    /// Fails where others end.
    struct Fails(Cursor<Vec<u8>>);
    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed")),
                read => Ok(read),
            }
        }
    }
    impl Seek for Fails {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn damage_is_told_from_a_failing_input() {
        let whole = gzip(&b"a,b\n".repeat(1_000));
        assert!(matches!(text_of(&whole[..whole.len() - 9], false), Err(DecodeError::Damaged(_))));
        let whole = zstd::encode_all(&b"a,b\n".repeat(1_000)[..], 3).unwrap();
        assert!(matches!(text_of(&whole[..whole.len() - 1], false), Err(DecodeError::Damaged(_))));
        let mut lone = utf16("\u{feff}a", u16::to_le_bytes);
        lone.extend(0xd800_u16.to_le_bytes());
        assert!(matches!(text_of(&lone, false), Err(DecodeError::Damaged(_))));
        for start in [b"a,b\n".to_vec(), gzip(b"a,b\n")[..12].to_vec(), whole[..12].to_vec()] {
            let mut input = Fails(Cursor::new(start));
            let error =
                open(&mut input, false).and_then(|mut text| text.read_to_end(&mut Vec::new())).unwrap_err();
            assert!(matches!(DecodeError::from(error), DecodeError::Input(_)));
        }
    }
}
