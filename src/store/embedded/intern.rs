//! Addresses as small integers: each is stored once, and every row names it by number.
//!
//! Keeps the recently used ones in memory. Ids handed out in a transaction that fails are forgotten
//! with [`Interner::forget`].

use alloy_primitives::Address;
use alloy_primitives::map::{AddressMap, HashMap};
use rusqlite::{Connection, OptionalExtension};

use super::rows;
use crate::pipeline::error::StoreError;

/// Addresses per generation; two generations are held, about 40 MiB at the limit. A miss costs two
/// microseconds of index lookup.
const GENERATION_MAX: usize = 400_000;
/// Tokens remembered; far more than one deployment shows, about 3 MiB.
const ASSETS_MAX: usize = 100_000;

/// The writer's memory of ids.
#[derive(Debug, Default)]
pub(super) struct Interner {
    young: AddressMap<i64>,
    old: AddressMap<i64>,
    assets: HashMap<(u8, i64), i64>,
}

impl Interner {
    /// Makes room before a unit. Whatever a unit resolves stays known until the next call.
    pub(super) fn begin(&mut self) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        if self.assets.len() >= ASSETS_MAX {
            self.assets.clear();
        }
    }

    /// Forgets everything: what the failed transaction added is no longer in the file.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// True when the address is in memory.
    pub(super) fn knows(&self, address: &Address) -> bool {
        self.young.contains_key(address) || self.old.contains_key(address)
    }

    /// Gives every address of the list an id. Sorted, so that new ones go into the index page by page.
    pub(super) fn resolve(
        &mut self,
        connection: &Connection,
        addresses: &mut Vec<Address>,
    ) -> Result<(), StoreError> {
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses.iter() {
            self.id(connection, address)?;
        }
        Ok(())
    }

    /// The id of an address, new if need be.
    pub(super) fn id(
        &mut self,
        connection: &Connection,
        address: &Address,
    ) -> Result<i64, StoreError> {
        if let Some(id) = self.young.get(address) {
            return Ok(*id);
        }
        let id = match self.old.get(address) {
            Some(id) => *id,
            None => match find(connection, address)? {
                Some(id) => id,
                None => add(connection, address)?,
            },
        };
        self.young.insert(*address, id);
        Ok(id)
    }

    /// The id of a token, new if need be.
    pub(super) fn asset(
        &mut self,
        connection: &Connection,
        chain: u8,
        token: &Address,
    ) -> Result<i64, StoreError> {
        let address = self.id(connection, token)?;
        if let Some(id) = self.assets.get(&(chain, address)) {
            return Ok(*id);
        }
        let id = match asset(connection, chain, address)? {
            Some(id) => id,
            None => connection
                .prepare_cached("INSERT INTO asset(chain, addr) VALUES(?1, ?2)")?
                .insert((i64::from(chain), address))?,
        };
        self.assets.insert((chain, address), id);
        Ok(id)
    }
}

/// The id of an address that may never have been seen.
pub(super) fn find(connection: &Connection, address: &Address) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM address WHERE addr = ?1")?
        .query_row([&address[..]], |row| row.get(0))
        .optional()?)
}

fn add(connection: &Connection, address: &Address) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("INSERT INTO address(addr) VALUES(?1)")?.insert([&address[..]])?)
}

/// The address behind an id.
pub(super) fn address(connection: &Connection, id: i64) -> Result<Address, StoreError> {
    let mut select = connection.prepare_cached("SELECT addr FROM address WHERE id = ?1")?;
    let mut found = select.query([id])?;
    match found.next()? {
        Some(row) => rows::address(row.get_ref(0)?.as_blob().map_err(super::error::corrupt)?),
        None => Err(super::error::corrupt(format_args!("address id {id} is not listed"))),
    }
}

/// The id of a token by its address id.
pub(super) fn asset(
    connection: &Connection,
    chain: u8,
    address: i64,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM asset WHERE chain = ?1 AND addr = ?2")?
        .query_row((i64::from(chain), address), |row| row.get(0))
        .optional()?)
}
