//! The types a column may have, sets of them, and the pins that a person may set.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use parquet::basic::{LogicalType, TimeUnit, Type as Physical};
use parquet::schema::types::ColumnDescriptor;
use serde::{Deserialize, Serialize};

/// A column's type, in the order in which they are tried: the first that holds every value wins.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// `true`, `false`.
    Boolean,
    /// A whole number of 64 bits.
    Int64,
    /// A double.
    Float64,
    /// Days, without a time.
    Date,
    /// An instant: microseconds since 1970 in UTC.
    TimestampUtc,
    /// A wall clock's reading without an offset: microseconds.
    TimestampLocal,
    /// Text. It holds everything.
    Text,
}

impl Type {
    /// Every type, in the order in which they are tried.
    pub const ALL: [Self; 7] = [
        Self::Boolean,
        Self::Int64,
        Self::Float64,
        Self::Date,
        Self::TimestampUtc,
        Self::TimestampLocal,
        Self::Text,
    ];

    /// The type of a column of a Parquet file that this crate wrote; `None` for any other.
    pub(crate) fn of_parquet(column: &ColumnDescriptor) -> Option<Self> {
        // Nullable, and neither repeated nor within another.
        if (column.max_def_level(), column.max_rep_level(), column.path().parts().len()) != (1, 0, 1) {
            return None;
        }
        match (column.physical_type(), column.logical_type_ref()) {
            (Physical::BOOLEAN, None) => Some(Self::Boolean),
            (Physical::INT64, None) => Some(Self::Int64),
            (Physical::DOUBLE, None) => Some(Self::Float64),
            (Physical::INT32, Some(LogicalType::Date)) => Some(Self::Date),
            (Physical::INT64, Some(LogicalType::Timestamp(timestamp))) => {
                let kind =
                    if timestamp.is_adjusted_to_u_t_c { Self::TimestampUtc } else { Self::TimestampLocal };
                (timestamp.unit == TimeUnit::MICROS).then_some(kind)
            }
            (Physical::BYTE_ARRAY, Some(LogicalType::String)) => Some(Self::Text),
            _ => None,
        }
    }
}

/// A set of types that hold all the values of a column. [`Type::Text`] is always in it.
///
/// No value is held by all of them, so the full set says that no value was seen: such a column has no vote,
/// and an intersection leaves the other side as it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Vec<Type>", into = "Vec<Type>")]
pub struct TypeSet(u8);

impl TypeSet {
    /// Every type: no value was seen.
    pub const ALL: Self = Self(0b111_1111);
    /// Text alone.
    pub const TEXT: Self = Self::of(&[]);

    /// The set of these types, and of text.
    pub const fn of(types: &[Type]) -> Self {
        let mut bits = 1 << Type::Text as u8;
        let mut at = 0;
        while at < types.len() {
            bits |= 1 << types[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether the type is in it.
    pub const fn has(self, kind: Type) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set alone, and text.
    #[must_use]
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0 | Self::TEXT.0)
    }

    /// Whether a value has been seen.
    pub const fn votes(self) -> bool {
        self.0 != Self::ALL.0
    }

    /// The first type in it; text where no value was seen.
    pub fn first(self) -> Type {
        if !self.votes() {
            return Type::Text;
        }
        self.iter().next().unwrap_or(Type::Text)
    }

    /// The types in it, in their order.
    pub fn iter(self) -> impl Iterator<Item = Type> {
        Type::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl From<Vec<Type>> for TypeSet {
    fn from(types: Vec<Type>) -> Self {
        Self::of(&types)
    }
}

impl From<TypeSet> for Vec<Type> {
    fn from(set: TypeSet) -> Self {
        set.iter().collect()
    }
}

/// What a column can be pinned to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pin {
    /// `boolean`
    Boolean,
    /// `int64`
    Int64,
    /// `float64`: whole numbers that a double holds exactly, too.
    Float64,
    /// `date`
    Date,
    /// `timestamp`: with or without an offset, as long as the column is of one mind.
    Timestamp,
    /// `string`: everything, null words included, is text; only the empty string is null.
    String,
}

impl Pin {
    const NAMES: [(&'static str, Self); 6] = [
        ("boolean", Self::Boolean),
        ("int64", Self::Int64),
        ("float64", Self::Float64),
        ("date", Self::Date),
        ("timestamp", Self::Timestamp),
        ("string", Self::String),
    ];

    /// Its name in a setting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::String => "string",
        }
    }

    /// The types that satisfy it, and text.
    pub(crate) fn types(self) -> TypeSet {
        match self {
            Self::Boolean => TypeSet::of(&[Type::Boolean]),
            Self::Int64 => TypeSet::of(&[Type::Int64]),
            Self::Float64 => TypeSet::of(&[Type::Float64]),
            Self::Date => TypeSet::of(&[Type::Date]),
            Self::Timestamp => TypeSet::of(&[Type::TimestampUtc, Type::TimestampLocal]),
            Self::String => TypeSet::TEXT,
        }
    }

    /// The type of a pinned column in which no value says more.
    pub(crate) fn default_type(self) -> Type {
        self.types().first()
    }
}

/// Pinned types of columns, by name, case aside: `accountId=string,eventTime=timestamp`.
///
/// Its text form is canonical (names in lower case, sorted), so that equal settings give equal digests.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ColumnTypes(BTreeMap<String, Pin>);

impl ColumnTypes {
    /// What the column of this name is pinned to.
    pub fn get(&self, name: &str) -> Option<Pin> {
        self.0.get(&name.to_lowercase()).copied()
    }
}

impl FromStr for ColumnTypes {
    type Err = ColumnTypesError;

    /// # Errors
    ///
    /// A pin without `=`, without a name, with an unknown type, or a second one for the same column. The empty
    /// string pins nothing.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pins = BTreeMap::new();
        for item in text.split(',').filter(|_| !text.trim().is_empty()) {
            let item = item.trim();
            // The last `=`: a column's name may have one, a type's has none.
            let Some((name, kind)) = item.rsplit_once('=') else {
                return Err(ColumnTypesError::NotAPin { item: item.to_owned() });
            };
            let name = name.trim().to_lowercase();
            if name.is_empty() {
                return Err(ColumnTypesError::NotAPin { item: item.to_owned() });
            }
            let kind = kind.trim();
            let Some((_, pin)) = Pin::NAMES.into_iter().find(|(known, _)| *known == kind) else {
                return Err(ColumnTypesError::UnknownType { name, kind: kind.to_owned() });
            };
            if pins.insert(name.clone(), pin).is_some() {
                return Err(ColumnTypesError::Twice { name });
            }
        }
        Ok(Self(pins))
    }
}

impl fmt::Display for ColumnTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, pin)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}={}", pin.name())?;
        }
        Ok(())
    }
}

/// Why a text does not pin columns.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum ColumnTypesError {
    /// An item that is not `name=type`.
    #[error("`{item}` is not a pin such as `accountId=string`")]
    NotAPin {
        /// The item.
        item: String,
    },
    /// A type that does not exist.
    #[error(
        "column `{name}` is pinned to `{kind}`, which is none of boolean, int64, float64, date, timestamp, string"
    )]
    UnknownType {
        /// The column, in lower case.
        name: String,
        /// What stands for a type.
        kind: String,
    },
    /// Two pins for one column.
    #[error("column `{name}` is pinned twice")]
    Twice {
        /// The column, in lower case.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_and_written_canonically() {
        for (text, canonical) in [
            ("", ""),
            ("  ", ""),
            ("accountId=string,eventTime=timestamp", "accountid=string,eventtime=timestamp"),
            (" b = int64 , A=date", "a=date,b=int64"),
            ("a=b=float64", "a=b=float64"),
            ("ÜBER=boolean", "über=boolean"),
        ] {
            let pins: ColumnTypes = text.parse().unwrap();
            assert_eq!(pins.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<ColumnTypes>().unwrap(), pins, "{text}");
        }
    }

    #[test]
    fn names_match_case_aside() {
        let pins: ColumnTypes = "accountId=string".parse().unwrap();
        assert_eq!(pins.get("ACCOUNTID"), Some(Pin::String));
        assert_eq!(pins.get("account"), None);
    }

    #[test]
    fn bad_pins_say_what_is_wrong() {
        for (text, message) in [
            ("a", "`a` is not a pin such as `accountId=string`"),
            ("a=int64,", "`` is not a pin such as `accountId=string`"),
            ("=int64", "`=int64` is not a pin such as `accountId=string`"),
            (
                "a=int",
                "column `a` is pinned to `int`, which is none of boolean, int64, float64, date, timestamp, string",
            ),
            ("a=int64,A=date", "column `a` is pinned twice"),
        ] {
            assert_eq!(text.parse::<ColumnTypes>().unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn the_full_set_has_no_vote_and_is_text() {
        assert_eq!(TypeSet::ALL.first(), Type::Text);
        assert!(!TypeSet::ALL.votes());
        let some = TypeSet::of(&[Type::Float64, Type::Int64]);
        assert_eq!(some.and(TypeSet::ALL), some);
        assert_eq!(some.first(), Type::Int64);
        assert_eq!(some.and(TypeSet::of(&[Type::Date])), TypeSet::TEXT);
    }
}
