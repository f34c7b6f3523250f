//! Faults of a configuration: each one line with key path, value, place, what is wrong and what to do.
//!
//! A fault never holds a secret; whoever builds one passes the redacted value.

use std::fmt;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Key path such as `chain[0].provider[1].url`; empty for a fault of a whole source.
    pub key: String,
    /// The value as the user wrote it, redacted where it may hold a secret.
    pub value: Option<String>,
    /// Where the value came from: `config.toml:12`, an environment variable, a flag.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.value) {
            ("", _) => write!(f, "{}: {}", self.place, self.problem)?,
            (key, Some(value)) => write!(f, "{key} = {value} ({}): {}", self.place, self.problem)?,
            (key, None) => write!(f, "{key} ({}): {}", self.place, self.problem)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Every fault found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Fault> for ConfigErrors {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }
}
