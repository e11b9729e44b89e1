//! The names of a file's columns.

use std::collections::{HashMap, HashSet};

/// Names columns after a header's fields.
///
/// Each is trimmed of white space (and of a byte order mark). An empty one is `column_N`, N being its place from
/// 1; a repeated one, case aside, gets `_2`, `_3`, … until no other column has that name.
///
/// The names that stand in the header come first: in `a,a,a_2` it is the second that has to give way (`a_3`).
pub(crate) fn names<'a>(fields: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<String> = fields
        .into_iter()
        .enumerate()
        .map(|(at, field)| {
            let name = field.trim_start_matches('\u{feff}').trim();
            if name.is_empty() { format!("column_{}", at + 1) } else { name.to_owned() }
        })
        .collect();
    let mut taken: HashSet<String> = wanted.iter().map(|name| name.to_lowercase()).collect();
    // Of each name seen, the last number given: a header of equal names must not cost its square.
    let mut seen: HashMap<String, u64> = HashMap::new();
    wanted
        .into_iter()
        .map(|name| {
            let Some(number) = seen.get_mut(&name.to_lowercase()) else {
                seen.insert(name.to_lowercase(), 1);
                return name;
            };
            loop {
                *number += 1;
                let numbered = format!("{name}_{number}");
                if taken.insert(numbered.to_lowercase()) {
                    return numbered;
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_names() {
        for (header, expected) in [
            (&["a", "b"][..], &["a", "b"][..]),
            (&["  a\t", "\u{a0}b\u{2003}"], &["a", "b"]),
            (&["\u{feff} a"], &["a"]),
            (&["", "x", " "], &["column_1", "x", "column_3"]),
            (&["a", "A", "a"], &["a", "A_2", "a_3"]),
            (&["a", "a", "a_2"], &["a", "a_3", "a_2"]),
            (&["a", "A_2", "a"], &["a", "A_2", "a_3"]),
            (&["column_2", ""], &["column_2", "column_2_2"]),
            (&["", "COLUMN_1"], &["column_1", "COLUMN_1_2"]),
            (&["É", "é"], &["É", "é_2"]),
            (&[], &[]),
        ] {
            assert_eq!(names(header.iter().copied()), expected, "{header:?}");
        }
    }

    #[test]
    fn many_equal_names_stay_quick() {
        let header = vec!["x"; 100_000];
        let names = names(header);
        let unique: HashSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), 100_000);
    }
}
