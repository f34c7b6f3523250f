//! The table of layouts: every way to read an event that this process knows, numbered once.
//!
//! Shared by the registries of all chains and by whoever shows stored events. Which layout a log has
//! is the registry's question, not this table's.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_json_abi::{Event, Param};
use alloy_primitives::{Address, B256, keccak256};

use super::error::{AbiError, DecodeError};
use super::event::EventKind;
use super::program::{AddressPlace, Program};
use super::render::Args;
use super::word;
use crate::types::event::{Arg, ArgReader, LayoutId, LayoutInfo};
use crate::types::log::LogView;

/// Addresses of one log that a participant index takes; the rest of an array is left out.
pub const MAX_PARTICIPANTS: usize = 64;

/// One way to read one event.
#[derive(Debug)]
pub struct Layout {
    pub info: LayoutInfo,
    pub kind: EventKind,
    pub program: Program,
    participants: Box<[AddressPlace]>,
}

/// Every layout of the process, built-in ones first.
#[derive(Debug, Clone)]
pub struct Layouts {
    list: Vec<Arc<Layout>>,
    by_signature: HashMap<String, usize>,
    kinds: HashMap<(B256, u32), EventKind>,
}

impl Layouts {
    /// The built-in layouts. Fails only when the program was built from a wrong `abi/`.
    pub fn new() -> Result<Self, AbiError> {
        let mut layouts =
            Self { list: Vec::new(), by_signature: HashMap::new(), kinds: HashMap::new() };
        for kind in EventKind::ALL {
            let broken = |detail: String| AbiError::Event {
                contract: "built-in".to_owned(),
                file: "abi".to_owned(),
                event: kind.declaration().to_owned(),
                detail,
            };
            let event = super::source::event(kind.json()).map_err(broken)?;
            let topic0 = keccak256(event.signature());
            layouts.kinds.insert((topic0, indexed_mask(&event)), kind);
            layouts.intern(&event).map_err(broken)?;
        }
        Ok(layouts)
    }

    /// The layout of a built-in kind.
    pub fn built_in(&self, kind: EventKind) -> Option<&Arc<Layout>> {
        self.by_signature.get(kind.declaration()).and_then(|at| self.list.get(*at))
    }

    /// The layout with this number.
    pub fn get(&self, id: LayoutId) -> Option<&Arc<Layout>> {
        self.list.get(usize::try_from(id.0).ok()?)
    }

    /// Adds an event's layout unless it is there already.
    pub(super) fn intern(&mut self, event: &Event) -> Result<Arc<Layout>, String> {
        let signature = declaration(event);
        if let Some(known) = self.by_signature.get(&signature).and_then(|at| self.list.get(*at)) {
            return Ok(Arc::clone(known));
        }
        let program = Program::compile(event)?;
        let topic0 = (!event.anonymous).then(|| keccak256(event.signature()));
        let kind = topic0
            .and_then(|topic0| self.kinds.get(&(topic0, indexed_mask(event))).copied())
            .unwrap_or(EventKind::Other);
        let id = u32::try_from(self.list.len()).map_err(|_| "too many events".to_owned())?;
        let info = LayoutInfo {
            id: LayoutId(id),
            event: event.name.clone(),
            signature: signature.clone(),
            topic0,
        };
        let participants = program.address_places().into();
        let layout = Arc::new(Layout { info, kind, program, participants });
        self.by_signature.insert(signature, self.list.len());
        self.list.push(Arc::clone(&layout));
        Ok(layout)
    }
}

impl Layout {
    /// The addresses that the log's arguments name, each once, appended to `out`.
    pub fn participants(&self, log: LogView<'_>, out: &mut Vec<Address>) {
        let start = out.len();
        let mut add = |word: &word::Word| {
            let address = word::address(word);
            let seen = out.get(start..).is_some_and(|new| new.contains(&address));
            if word::is_address(word) && !seen && out.len() - start < MAX_PARTICIPANTS {
                out.push(address);
            }
        };
        for place in &self.participants {
            match *place {
                AddressPlace::Topic(at) => {
                    if let Some(topic) = log.topics().get(at) {
                        add(&topic.0);
                    }
                }
                AddressPlace::Head(at) => {
                    if let Ok(word) = word::at(log.data, at) {
                        add(word);
                    }
                }
                AddressPlace::Array(at) => {
                    let words = word::at(log.data, at).and_then(|offset| {
                        word::tail_words(log.data, offset, word::WordKind::Address)
                    });
                    words.unwrap_or_default().iter().take(MAX_PARTICIPANTS).for_each(&mut add);
                }
                AddressPlace::Fixed(at, len) => {
                    let words = log.data.get(at..).unwrap_or_default().as_chunks::<32>().0;
                    words.iter().take(len.min(MAX_PARTICIPANTS)).for_each(&mut add);
                }
            }
        }
    }

    /// The log's arguments as text.
    pub fn args(&self, log: LogView<'_>) -> Result<Vec<Arg>, DecodeError> {
        let mut args = Args::default();
        self.program.walk(log, &mut args)?;
        Ok(args.list)
    }
}

impl ArgReader for Layouts {
    fn args(&self, layout: LayoutId, log: LogView<'_>) -> Result<Vec<Arg>, String> {
        let layout = self.get(layout).ok_or(DecodeError::UnknownLayout);
        layout.and_then(|layout| layout.args(log)).map_err(|fault| fault.to_string())
    }

    fn participants(&self, layout: LayoutId, log: LogView<'_>, out: &mut Vec<Address>) {
        if let Some(layout) = self.get(layout) {
            layout.participants(log, out);
        }
    }

    fn layouts(&self) -> Vec<LayoutInfo> {
        self.list.iter().map(|layout| layout.info.clone()).collect()
    }
}

/// `Transfer(address indexed from,address indexed to,uint256 value)`; anonymous events say so.
fn declaration(event: &Event) -> String {
    let mut out = format!("{}(", event.name);
    for (index, input) in event.inputs.iter().enumerate() {
        separate(&mut out, index);
        spell(&mut out, &input.ty, &input.components);
        if input.indexed {
            out.push_str(" indexed");
        }
        out.push(' ');
        out.push_str(&input.name);
    }
    out.push(')');
    if event.anonymous {
        out.push_str(" anonymous");
    }
    out
}

fn spell(out: &mut String, ty: &str, components: &[Param]) {
    let Some(sizes) = ty.strip_prefix("tuple") else { return out.push_str(ty) };
    out.push('(');
    for (index, part) in components.iter().enumerate() {
        separate(out, index);
        spell(out, &part.ty, &part.components);
        out.push(' ');
        out.push_str(&part.name);
    }
    out.push(')');
    out.push_str(sizes);
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

/// Which parameters are indexed, one bit each. Parameters beyond the 32nd share no built-in event.
fn indexed_mask(event: &Event) -> u32 {
    let bits = event.inputs.iter().enumerate().filter(|(_, input)| input.indexed);
    bits.fold(0, |mask, (index, _)| mask | 1u32.checked_shl(narrow(index)).unwrap_or(0))
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
