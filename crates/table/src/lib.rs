//! CSV to typed columns to Parquet, and the merging of what came out. Exact about values.
//!
//! [`convert()`] turns one CSV into a fragment; [`merge()`] turns fragments, and rows of a former output, into one
//! Parquet object. A value survives both by value, and, where its column turns out to be text in the end, to the
//! letter.
//!
//! ```
//! use std::io::Cursor;
//!
//! use table::{ColumnTypes, Input, convert, merge};
//!
//! let types: ColumnTypes = "zip=string".parse()?;
//! let csv = Cursor::new("zip,price\n00501,1.50\n00544,n/a,\n");
//! let (mut fragment, mut rejected) = (Vec::new(), Vec::new());
//! let summary = convert(csv, &types, |_| Vec::new(), &mut fragment, &mut rejected)?;
//! assert_eq!((summary.rows, summary.rejected_rows), (1, 1));
//! assert!(String::from_utf8(rejected)?.contains(r#""code":"TooManyFields""#));
//!
//! let inputs = [Input::fragment(bytes::Bytes::from(fragment))?];
//! let merged = merge(&inputs, &types, vec![("key".to_owned(), "value".to_owned())], Vec::new())?;
//! assert_eq!(merged.rows, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * `decode`: compression and encoding; `records`: records of a CSV text; `header`: names of columns;
//! * `value`, [`types`]: what a text is worth, and rendering it back;
//! * `sheet`: writing columns as Parquet; `fragment`: what a fragment says about itself;
//! * `notcsv`, `rejected`: what cannot be read, whole or in part;
//! * `slice`, `footer`: Parquet files that lie in another file, or of which only the end is at hand.
//!
//! Nothing here knows windows, lineage or AWS, or asks a clock.

mod batch;
mod chunks;
mod column;
mod convert;
mod decode;
mod digits;
mod encode;
mod file;
mod footer;
mod fragment;
mod header;
mod input;
mod join;
mod lanes;
#[cfg(test)]
mod laws;
mod merge;
mod notcsv;
mod pool;
mod records;
mod rejected;
mod scan;
mod slice;
mod style;
mod survey;
#[cfg(test)]
mod testing;
pub mod types;
mod value;

pub use convert::{Column, ConvertError, Output, Summary, convert};
pub use footer::Footer;
pub use fragment::COLUMNS_KEY;
pub use input::{Input, InputError};
pub use merge::{MergeError, Merged, merge};
pub use parquet::file::reader::ChunkReader;
pub use rejected::RejectedCode;
pub use slice::FileSlice;
pub use types::{ColumnTypes, ColumnTypesError, Type};
