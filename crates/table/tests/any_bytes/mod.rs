//! What must hold whatever the bytes are.

use std::io::Cursor;

use bytes::Bytes;
use table::{ColumnTypes, ConvertError, Input, convert, merge};

/// Converts bytes as they are and with columns pinned; what they become is merged, also with itself.
///
/// # Panics
///
/// Where something is not as it must be.
pub(crate) fn convert_and_merge(bytes: &[u8]) {
    for types in ["", "a=int64,b=timestamp,column_2=float64"] {
        let types: ColumnTypes = types.parse().expect("types are well-formed");
        let (mut fragment, mut rejected) = (Vec::new(), Vec::new());
        match convert(Cursor::new(bytes), &types, |_| Vec::new(), &mut fragment, &mut rejected) {
            Err(ConvertError::NotCsv { evidence }) => assert!(!evidence.is_empty()),
            Err(error) => panic!("{error:?}"),
            Ok(summary) => {
                let lines = String::from_utf8(rejected).expect("JSON is UTF-8").lines().count() as u64;
                assert_eq!(lines, summary.rejected_rows, "a line for each rejected row");
                let fragment = Bytes::from(fragment);
                let input = || Input::fragment(fragment.clone()).expect("a fragment can be read");
                assert_eq!(input().rows(), summary.rows);
                let mut output = Vec::new();
                let merged =
                    merge(&[input(), input()], &types, Vec::new(), &mut output).expect("it can be merged");
                assert_eq!(merged.rows, 2 * summary.rows);
                // Read whole, and judged value by value.
                let carried = Input::rows_of(Bytes::from(output), summary.rows..2 * summary.rows);
                assert_eq!(carried.expect("an output can be read").rows(), summary.rows);
            }
        }
    }
}
