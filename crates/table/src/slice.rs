//! A part of a file, read as if it were a file.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// A part of a file, read as if it were a file: many Parquet files can lie in one, behind one file descriptor.
#[derive(Debug, Clone)]
pub struct FileSlice {
    file: Arc<File>,
    bytes: Range<u64>,
}

impl FileSlice {
    /// `bytes` of `file`.
    pub fn new(file: Arc<File>, bytes: Range<u64>) -> Self {
        Self { file, bytes }
    }

    /// From `start` on, counted from the slice's own start, to its end.
    fn from(&self, start: u64) -> Result<Self, ParquetError> {
        let from = self.bytes.start.saturating_add(start);
        if from > self.bytes.end {
            return Err(ParquetError::EOF(format!("{start} lies behind the end, {}", self.len())));
        }
        Ok(Self { file: Arc::clone(&self.file), bytes: from..self.bytes.end })
    }
}

impl Read for FileSlice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len()).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.bytes.start)?;
        self.bytes.start += read as u64;
        Ok(read)
    }
}

impl Length for FileSlice {
    fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

impl ChunkReader for FileSlice {
    // Page headers are read a few bytes at a time.
    type T = io::BufReader<Self>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(io::BufReader::new(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.from(start)?;
        // Before anything is allocated: the length may come from a damaged footer.
        if length as u64 > rest.len() {
            return Err(ParquetError::EOF(format!(
                "{length} bytes from {start} on lie behind the end, {}",
                self.len()
            )));
        }
        let mut bytes = Vec::with_capacity(length);
        let read = rest.take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(ParquetError::EOF(format!("the file ends {} bytes too early", length - read)));
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_slice_ends_where_it_ends_and_not_where_its_file_does() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before-inside-behind").unwrap();
        let slice = FileSlice::new(Arc::new(file), 7..13);
        assert_eq!(slice.len(), 6);
        assert_eq!(slice.get_bytes(2, 4).unwrap(), "side");
        let mut text = String::new();
        slice.get_read(1).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "nside");
        assert!(slice.get_bytes(2, 5).is_err(), "into what is behind");
        assert!(slice.get_read(7).is_err());
    }
}
