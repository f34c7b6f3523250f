//! What logs are called: layouts of this process by the short key under which events name them.
//!
//! A process numbers its layouts afresh at every start; an event keeps the first eight bytes of the
//! Keccak hash of the full signature, which needs nobody to hand out numbers.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::keccak256;
use mongodb::bson::{RawDocumentBuf, rawdoc};

use super::error::corrupt;
use super::rows;
use super::wire::Wire;
use crate::pipeline::error::StoreError;
use crate::pipeline::store::ContractTag;
use crate::types::event::{ArgReader, LayoutId, LayoutInfo};

pub(super) const LAYOUTS: &str = "layouts";

/// A layout of this process.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) key: String,
    pub(super) info: LayoutInfo,
}

/// All of them, and the names of contracts.
#[derive(Debug)]
pub(super) struct Dictionary {
    names: Vec<String>,
    by_id: HashMap<LayoutId, Arc<Layout>>,
    by_key: HashMap<String, Arc<Layout>>,
    args: Arc<dyn ArgReader>,
}

impl Dictionary {
    pub(super) fn new(contracts: &[String], args: Arc<dyn ArgReader>) -> Self {
        let mut by_id = HashMap::new();
        let mut by_key = HashMap::new();
        for info in args.layouts() {
            let hash = keccak256(info.signature.as_bytes());
            let key = faster_hex::hex_string(&hash[..8]);
            let layout = Arc::new(Layout { key: key.clone(), info });
            by_id.insert(layout.info.id, Arc::clone(&layout));
            by_key.insert(key, layout);
        }
        Self { names: contracts.to_vec(), by_id, by_key, args }
    }

    /// Tells other tools what the keys mean.
    pub(super) async fn publish(&self, wire: &Wire) -> Result<(), StoreError> {
        let documents: Vec<RawDocumentBuf> = self
            .by_key
            .values()
            .map(|layout| {
                let topic0 = layout.info.topic0.map(|hash| rows::hex(&hash[..]));
                let mut document = rawdoc! {
                    "_id": &*layout.key,
                    "event": &*layout.info.event,
                    "signature": &*layout.info.signature,
                };
                if let Some(topic0) = topic0 {
                    document.append(mongodb::bson::raw::cstr!("topic0"), topic0);
                }
                document
            })
            .collect();
        wire.insert(LAYOUTS, documents).await
    }

    pub(super) fn layout(&self, id: LayoutId) -> Result<&Layout, StoreError> {
        self.by_id.get(&id).map(|layout| &**layout).ok_or_else(|| {
            corrupt(format_args!("layout {} is none that the store was opened with", id.0))
        })
    }

    /// `None` for a layout that no ABI of this process describes.
    pub(super) fn known(&self, key: &str) -> Option<&Layout> {
        self.by_key.get(key).map(|layout| &**layout)
    }

    pub(super) fn name(&self, tag: ContractTag) -> Result<&str, StoreError> {
        self.names.get(usize::from(tag.0)).map(String::as_str).ok_or_else(|| {
            corrupt(format_args!("contract {} is none that the store was opened with", tag.0))
        })
    }

    /// Reads arguments.
    pub(super) fn args(&self) -> &dyn ArgReader {
        &*self.args
    }
}
