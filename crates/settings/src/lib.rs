//! What a function is told by its environment: read once, when it starts, with errors that name the variable.

use std::fmt::Display;
use std::str::FromStr;

/// Why a function cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A variable that must be there is not, or is empty.
    #[error("environment variable `{0}` is missing")]
    Missing(&'static str),
    /// A variable's value is not what it should be.
    #[error("environment variable `{name}`: {reason}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What its own type says of it.
        reason: String,
    },
}

/// Where variables are looked up: the process's environment, or a table in tests.
pub struct Settings<F>(F);

/// The process's environment.
pub fn environment() -> Settings<impl Fn(&str) -> Option<String>> {
    Settings(|name: &str| std::env::var(name).ok())
}

impl<F: Fn(&str) -> Option<String>> Settings<F> {
    /// Looks variables up with `lookup`.
    pub fn from_lookup(lookup: F) -> Self {
        Self(lookup)
    }

    /// A variable that must be there.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when it is absent, empty, or not a `T`.
    pub fn required<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, SettingError> {
        self.required_as(name, T::from_str)
    }

    /// A variable that must be there, read by `parse`.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when it is absent, empty, or refused by `parse`.
    pub fn required_as<T, E: Display>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, SettingError> {
        self.optional_as(name, parse)?.ok_or(SettingError::Missing(name))
    }

    /// A variable that may be absent. Empty means absent: that is how CloudFormation passes an optional parameter on.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when it is there and not a `T`.
    pub fn optional<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<Option<T>, SettingError> {
        self.optional_as(name, T::from_str)
    }

    fn optional_as<T, E: Display>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingError> {
        let text = (self.0)(name).filter(|text| !text.is_empty());
        let value = text.map(|text| parse(&text)).transpose();
        value.map_err(|error| SettingError::Invalid { name, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let settings = Settings::from_lookup(|name: &str| match name {
            "EMPTY" => Some(String::new()),
            "WORD" => Some("five".to_owned()),
            "NUMBER" => Some("5".to_owned()),
            _ => None,
        });
        assert_eq!(settings.required::<u8>("NUMBER"), Ok(5));
        assert_eq!(settings.optional::<u8>("EMPTY"), Ok(None));
        assert_eq!(settings.required::<u8>("EMPTY"), Err(SettingError::Missing("EMPTY")));
        assert_eq!(settings.required::<u8>("ABSENT"), Err(SettingError::Missing("ABSENT")));
        let wrong = settings.optional::<u8>("WORD").unwrap_err().to_string();
        assert_eq!(wrong, "environment variable `WORD`: invalid digit found in string");
    }
}
