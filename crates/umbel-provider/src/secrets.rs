//! Keeping secrets: what the host asks of whoever keeps them. A value comes in by hand, and goes out to those who refer to it.

use umbel_core::Problem;
use umbel_core::settings::SecretValue;
use zeroize::Zeroizing;

/// Whose a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Read by the components of that application.
    Application(String),
    /// Read by that component, which belongs to no application.
    Component(String),
    /// Read over every link that says so.
    Shared,
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose it is.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// How often it has been put since it was last not there.
    pub version: u64,
    /// When it was put, in ms since 1970; 0 where that was not noted.
    pub put_unix_ms: u64,
}

/// A secret with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value; not shown.
    pub value: SecretValue,
    /// As in [`Kept::version`].
    pub version: u64,
}

/// Something that keeps secrets. All of it may wait for the disk.
pub trait Keeper: Send + Sync {
    /// Keeps a value, in place of the one that has the name; durable when this returns. Returns its version. Text is revealed as text
    /// and bytes as bytes; what is not UTF-8 is bytes in any case.
    fn put(
        &self,
        owner: &Owner,
        name: &str,
        value: Zeroizing<Vec<u8>>,
        is_text: bool,
    ) -> Result<u64, Problem>;

    /// The secret of that name, if it is kept.
    fn get(&self, owner: &Owner, name: &str) -> Result<Option<Found>, Problem>;

    /// Deletes one.
    fn del(&self, owner: &Owner, name: &str) -> Result<(), Problem>;

    /// What there is.
    fn list(&self) -> Result<Vec<Kept>, Problem>;
}
