//! What a Parquet file says of itself, read from its last bytes alone.

use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};

use crate::InputError;

/// A Parquet file's footer.
#[derive(Debug)]
pub struct Footer(ParquetMetaData);

impl Footer {
    /// How many bytes at the end of a file its footer has, by the file's last (at least eight) bytes.
    ///
    /// # Errors
    ///
    /// [`InputError`] when these are not the last bytes of a Parquet file.
    pub fn bytes(tail: &[u8]) -> Result<u64, InputError> {
        let last = tail.last_chunk::<FOOTER_SIZE>().ok_or_else(too_short)?;
        let length = FooterTail::try_from(*last)?.metadata_length();
        Ok(length as u64 + FOOTER_SIZE as u64)
    }

    /// Reads the footer from the file's last bytes; [`Footer::bytes`] says how many are needed.
    ///
    /// # Errors
    ///
    /// [`InputError`] when these are not the last bytes of a Parquet file, or too few.
    pub fn read(tail: &[u8]) -> Result<Self, InputError> {
        let needed = usize::try_from(Self::bytes(tail)?).map_err(|_| too_short())?;
        let start = tail.len().checked_sub(needed).ok_or_else(too_short)?;
        let end = tail.len().checked_sub(FOOTER_SIZE).ok_or_else(too_short)?;
        Ok(Self(ParquetMetaDataReader::decode_metadata(&tail[start..end])?))
    }

    /// The value of a key of the file's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let pairs = self.0.file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }
}

fn too_short() -> InputError {
    InputError::from(ParquetError::EOF("these are not the last bytes of a Parquet file".to_owned()))
}
