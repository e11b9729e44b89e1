//! Columns being encoded: values to pages to column chunks.
//!
//! The Parquet crate keeps the file's structure, its headers and its footer. What happens to each single value is
//! here: it is encoded once, straight from where it lies, and memory is bounded over all columns together.

mod bits;
mod chunk;
mod delta;
mod dictionary;
mod statistics;
mod values;

pub(crate) use chunk::{Chunk, ChunkEncoder, Limits, Pages, PagesReader, Tools};
