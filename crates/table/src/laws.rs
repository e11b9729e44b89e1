//! Laws that hold for any table, written as CSV in any dialect and cut into files anywhere.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::testing::{ReadColumn, converted, fragment, merged, read, slow_value};
use crate::{Input, Type};

/// A CSV's file: which columns it has, in which order, and its rows.
#[derive(Clone, Debug)]
struct File {
    columns: Vec<usize>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Dialect {
    delimiter: char,
    line_end: &'static str,
    quote_all: bool,
    ends_with_line_end: bool,
    encoding: Encoding,
    compression: Compression,
}

#[derive(Clone, Copy, Debug)]
enum Encoding {
    Utf8,
    Marked,
    Utf16Le,
    Utf16Be,
}

#[derive(Clone, Copy, Debug)]
enum Compression {
    None,
    Gzip,
    GzipMembers,
    Zstd,
}

const PLAIN: Dialect = Dialect {
    delimiter: ',',
    line_end: "\n",
    quote_all: false,
    ends_with_line_end: true,
    encoding: Encoding::Utf8,
    compression: Compression::None,
};

const WORDS: [&str; 6] = ["NA", "N/A", "#N/A", "NULL", "null", "nan"];

fn dialect() -> impl Strategy<Value = Dialect> {
    use Compression::{Gzip, GzipMembers, None, Zstd};
    use Encoding::{Marked, Utf8, Utf16Be, Utf16Le};
    (
        prop_oneof![Just(','), Just(';'), Just('\t'), Just('|')],
        prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(Utf8), Just(Marked), Just(Utf16Le), Just(Utf16Be)],
        prop_oneof![Just(None), Just(Gzip), Just(GzipMembers), Just(Zstd)],
    )
        .prop_map(|(delimiter, line_end, quote_all, ends_with_line_end, encoding, compression)| {
            Dialect { delimiter, line_end, quote_all, ends_with_line_end, encoding, compression }
        })
}

/// Texts that tend to have one type.
fn cells(style: usize) -> BoxedStrategy<String> {
    let word = prop_oneof![Just(String::new()), prop::sample::select(&WORDS[..]).prop_map(str::to_owned)];
    let of_type = match style {
        0 => prop::sample::select(vec!["true", "false", "True", "FALSE"]).prop_map(str::to_owned).boxed(),
        1 => any::<i8>().prop_map(|value| value.to_string()).boxed(),
        2 => any::<i64>().prop_map(|value| value.to_string()).boxed(),
        3 => prop_oneof![
            (any::<i16>(), 0..4_usize).prop_map(|(value, places)| format!("{:.places$}", f64::from(value) / 100.0)),
            any::<f64>().prop_map(|value| format!("{value:e}")),
            prop::sample::select(vec!["-0", "NaN", "1e5", ".5", "1.50", "9007199254740992"]).prop_map(str::to_owned),
        ]
        .boxed(),
        4 => "(19|20)[0-9]{2}-0[1-9]-[012][1-8]".boxed(),
        5 => "2021-0[1-9]-[012][1-8][T ][01][0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,6})?)?(Z|[+-]0[0-9](:?[0-5][0-9])?)"
            .boxed(),
        6 => "2021-0[1-9]-[012][1-8][T ][01][0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,6})?)?".boxed(),
        7 => Just(String::new()).boxed(),
        8 => "[ a,;|\t\"\n\ré🌾0-9.-]{0,6}".boxed(),
        _ => "0[0-9]{2}|\\+1|5\\.|[0-9]{18,21}|9007199254740993|0?1\\.50".boxed(),
    };
    prop_oneof![8 => of_type, 1 => word].boxed()
}

/// Columns of cells, of which now and then one is of another style.
fn column(rows: usize) -> impl Strategy<Value = Vec<String>> {
    (0..10_usize, 0..10_usize, 0..4_usize).prop_flat_map(move |(style, other, odd)| {
        let odd = u32::from(odd == 0);
        let cell = prop_oneof![20 => cells(style), odd => cells(other)];
        prop::collection::vec(cell, rows)
    })
}

/// A table's columns.
fn columns() -> impl Strategy<Value = Vec<Vec<String>>> {
    (1..5_usize, 0..14_usize).prop_flat_map(|(columns, rows)| prop::collection::vec(column(rows), columns))
}

/// A table cut into files, each with the same columns.
fn cut() -> impl Strategy<Value = (Vec<Vec<String>>, Vec<usize>)> {
    columns().prop_flat_map(|columns| {
        let rows = columns[0].len();
        (Just(columns), prop::collection::vec(0..=rows, 0..4))
    })
}

fn cut_rows(columns: &[Vec<String>], cuts: &[usize]) -> Vec<File> {
    let mut cuts = cuts.to_vec();
    cuts.extend([0, columns[0].len()]);
    cuts.sort_unstable();
    let file = |range: &[usize]| File {
        columns: (0..columns.len()).collect(),
        rows: (range[0]..range[1])
            .map(|row| columns.iter().map(|column| column[row].clone()).collect())
            .collect(),
    };
    cuts.windows(2).map(file).collect()
}

/// Files that have some of the columns each, in an order of their own.
fn files() -> impl Strategy<Value = Vec<File>> {
    columns().prop_flat_map(|columns| {
        let all: Vec<usize> = (0..columns.len()).collect();
        let rows = columns[0].len();
        let chosen = subsequence(all.clone(), 1..=all.len()).prop_shuffle();
        let file = (chosen, 0..=rows, 0..=rows).prop_map(move |(chosen, one, other)| {
            let row = |row: usize| chosen.iter().map(|column| columns[*column][row].clone()).collect();
            File { rows: (one.min(other)..one.max(other)).map(row).collect(), columns: chosen }
        });
        prop::collection::vec(file, 1..4)
    })
}

fn csv(file: &File, dialect: Dialect) -> Vec<u8> {
    let quoted = |field: &str| {
        let special = field.contains([',', ';', '\t', '|', '"', '\n', '\r']);
        // A lone empty field would be a blank line.
        let lone = field.is_empty() && file.columns.len() == 1;
        if dialect.quote_all || special || lone {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    let header = file.columns.iter().map(|column| format!("c{column}")).collect();
    let mut lines: Vec<String> = Vec::new();
    for row in std::iter::once(&header).chain(&file.rows) {
        let fields: Vec<String> = row.iter().map(|field: &String| quoted(field)).collect();
        lines.push(fields.join(&dialect.delimiter.to_string()));
    }
    let mut text = lines.join(dialect.line_end);
    if dialect.ends_with_line_end {
        text.push_str(dialect.line_end);
    }
    let marked = format!("\u{feff}{text}");
    let bytes: Vec<u8> = match dialect.encoding {
        Encoding::Utf8 => text.into_bytes(),
        Encoding::Marked => marked.into_bytes(),
        Encoding::Utf16Le => marked.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16Be => marked.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    match dialect.compression {
        Compression::None => bytes,
        Compression::Gzip => gzip(&bytes),
        Compression::GzipMembers => {
            let (one, other) = bytes.split_at(bytes.len() / 2);
            [gzip(one), gzip(other)].concat()
        }
        Compression::Zstd => zstd::encode_all(&bytes[..], 1).unwrap(),
    }
}

/// What the contract says of these files.
fn expected(files: &[File]) -> Vec<ReadColumn> {
    let mut order: Vec<usize> = Vec::new();
    for column in files.iter().flat_map(|file| &file.columns) {
        if !order.contains(column) {
            order.push(*column);
        }
    }
    let texts = |column: &usize| -> Vec<&str> {
        let place = |file: &File| file.columns.iter().position(|other| other == column);
        let of_file = |file| {
            let place = place(file);
            file.rows.iter().map(move |row: &Vec<String>| place.map_or("", |place| &row[place]))
        };
        files.iter().flat_map(of_file).collect()
    };
    order
        .iter()
        .map(|column| {
            let texts = texts(column);
            let values = || texts.iter().filter(|text| !text.is_empty() && !WORDS.contains(text));
            let holds_all = |kind: &Type| values().all(|text| slow_value(*kind, text).is_some());
            let kind = if values().next().is_none() {
                Type::Text
            } else {
                Type::ALL.into_iter().find(holds_all).unwrap()
            };
            let cell = |text: &&str| {
                let null = text.is_empty() || (kind != Type::Text && WORDS.contains(text));
                if null { None } else { slow_value(kind, text) }
            };
            (format!("c{column}"), kind, texts.iter().map(cell).collect())
        })
        .collect()
}

fn inputs(files: &[File], dialect: Dialect) -> Vec<Input<Bytes>> {
    files.iter().map(|file| fragment(csv(file, dialect), "")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_files_in_any_dialect_come_back_equal(files in files(), dialect in dialect()) {
        let (output, merged) = merged(&inputs(&files, dialect), "");
        let found = read(&output);
        prop_assert_eq!(&found, &expected(&files));
        prop_assert_eq!(merged.rows, files.iter().map(|file| file.rows.len() as u64).sum::<u64>());
        let columns: Vec<(String, Type)> = merged.columns.into_iter().map(|column| (column.name, column.kind)).collect();
        prop_assert_eq!(columns, found.into_iter().map(|(name, kind, _)| (name, kind)).collect::<Vec<_>>());
    }

    #[test]
    fn the_bytes_of_a_merge_do_not_depend_on_where_a_table_is_cut((columns, cuts) in cut()) {
        let whole = merged(&inputs(&cut_rows(&columns, &[]), PLAIN), "").0;
        let in_parts = merged(&inputs(&cut_rows(&columns, &cuts), PLAIN), "").0;
        prop_assert_eq!(read(&whole), expected(&cut_rows(&columns, &[])));
        prop_assert!(whole == in_parts, "{:?}", read(&in_parts));
    }

    #[test]
    fn rows_carried_from_the_former_output_are_worth_what_they_were(files in files(), carried: [bool; 4]) {
        let fragments = inputs(&files, PLAIN);
        let (former, _) = merged(&fragments, "");
        let mut first = 0;
        let mut inputs = Vec::new();
        for (fragment, carried) in fragments.into_iter().zip(carried) {
            let range = first..first + fragment.rows();
            first = range.end;
            inputs.push(if carried { Input::rows_of(former.clone(), range).unwrap() } else { fragment });
        }
        let mut found = read(&merged(&inputs, "").0);
        let mut expected = read(&former);
        // A carried input has all columns, so their order may change.
        found.sort_by(|one, other| one.0.cmp(&other.0));
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn equal_files_give_equal_fragments(files in files(), dialect in dialect()) {
        for file in &files {
            let csv = csv(file, dialect);
            prop_assert_eq!(converted(&csv, "").unwrap(), converted(&csv, "").unwrap());
        }
    }

    #[test]
    fn a_pin_rejects_what_its_type_does_not_hold(cells in column(12), pin in 0..4_usize) {
        let (name, kind) = [
            ("boolean", Type::Boolean),
            ("int64", Type::Int64),
            ("float64", Type::Float64),
            ("date", Type::Date),
        ][pin];
        let file = File { columns: vec![0], rows: cells.iter().map(|cell| vec![cell.clone()]).collect() };
        let types = format!("C0={name}");
        let (fragment, rejected, _) = converted(csv(&file, PLAIN), &types).unwrap();
        let is_null = |cell: &&String| cell.is_empty() || WORDS.contains(&cell.as_str());
        let good = |cell: &&String| is_null(cell) || slow_value(kind, cell).is_some();
        let (kept, bad): (Vec<&String>, Vec<&String>) = cells.iter().partition(good);
        let kept = kept.iter().map(|cell| if is_null(cell) { None } else { slow_value(kind, cell) }).collect();
        let output = merged(&[Input::fragment(fragment).unwrap()], &types).0;
        prop_assert_eq!(read(&output), vec![("c0".to_owned(), kind, kept)]);
        prop_assert_eq!(rejected.matches("TypeMismatch").count(), bad.len());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b",\"\n\r;ab10-"[..])], 0..200)) {
        if let Ok((fragment, ..)) = converted(&bytes, "a=int64") {
            merged(&[Input::fragment(fragment).unwrap()], "a=int64");
        }
    }
}

/// More rows than a batch and a page have, and more text than a batch may have; and a column that turns to text.
#[test]
fn large_tables_come_back() {
    let last = 60_000;
    let narrow = (0..=last).map(|row| {
        let turning = if row == last { "x".to_owned() } else { format!("{:.2}", f64::from(row) / 7.0) };
        vec![row.to_string(), turning]
    });
    let wide = (0..12_000).map(|row| vec![row.to_string(), format!("{row:02000}")]);
    for rows in [narrow.collect::<Vec<_>>(), wide.collect()] {
        let columns: Vec<Vec<String>> =
            (0..2).map(|at| rows.iter().map(|row| row[at].clone()).collect()).collect();
        let whole = cut_rows(&columns, &[]);
        let in_parts = cut_rows(&columns, &[1, 700, 900, 901, rows.len() / 2]);
        for files in [&whole, &in_parts] {
            let output = merged(&inputs(files, PLAIN), "").0;
            assert!(output == merged(&inputs(files, PLAIN), "").0);
            assert!(read(&output) == expected(&whole));
        }
    }
}
