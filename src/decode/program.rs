//! Run-time ABIs: an event of any JSON ABI becomes a list of places to read, made once at start.
//!
//! Walking a log allocates nothing: a visitor gets each value where it lies. Strict about lengths,
//! offsets and padding, and bounded for hostile payloads. Making text of values is `render`'s work.

use alloy_dyn_abi::{DynSolType, Specifier};
use alloy_json_abi::{Event, Param};
use alloy_primitives::B256;

use super::error::DecodeError;
use super::word::{self, Word, WordKind};
use crate::types::log::LogView;

/// Arrays and tuples inside one another; Solidity's own stack ends before.
const MAX_DEPTH: usize = 16;
/// Words of one parameter's fixed part, so that sizes never overflow.
const MAX_WORDS: usize = 1 << 20;
/// How often a payload's bytes may be read on average. One is what compilers write; hand-made
/// encodings share tails.
const MAX_REREADS: usize = 4;

/// One event's layout, ready to read logs.
#[derive(Debug, Clone)]
pub struct Program {
    params: Box<[Step]>,
    topic_count: u8,
    head_bytes: usize,
    dynamic: bool,
}

/// One parameter: its name, where its value or offset lies, and its type.
#[derive(Debug, Clone)]
struct Step {
    name: Box<str>,
    place: Place,
    node: Node,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// The value itself, in this topic.
    Topic(usize),
    /// The hash of a value that does not fit a topic.
    Hash(usize),
    /// This byte of the payload.
    Head(usize),
}

#[derive(Debug, Clone)]
struct Node {
    shape: Shape,
    /// Words of the fixed part when written in place.
    words: usize,
    /// Written in the tail, with an offset in its place.
    dynamic: bool,
}

#[derive(Debug, Clone)]
enum Shape {
    Word(WordKind),
    Bytes,
    Text,
    Array(Box<Node>),
    Fixed(Box<Node>, usize),
    Tuple(Box<[(Box<str>, Node)]>),
}

/// What a walk meets, in the order of the ABI.
pub trait Visit<'a> {
    /// A parameter begins; its value follows.
    fn param(&mut self, name: &str);
    fn word(&mut self, kind: WordKind, word: &'a Word);
    fn bytes(&mut self, bytes: &'a [u8]);
    fn text(&mut self, text: &'a [u8]);
    /// Stands for an indexed value that does not fit a topic.
    fn hash(&mut self, hash: &'a B256);
    fn open(&mut self, group: Group);
    /// A tuple's component begins; its value follows.
    fn component(&mut self, name: &str);
    fn close(&mut self, group: Group);
}

/// What holds several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Array,
    /// Every component has a name.
    Struct,
    Tuple,
}

impl Program {
    /// Compiles an event, or says in words what is wrong with it.
    pub(super) fn compile(event: &Event) -> Result<Self, String> {
        let mut params: Vec<Step> = Vec::with_capacity(event.inputs.len());
        let mut topic = usize::from(!event.anonymous);
        let mut head = 0usize;
        for (index, input) in event.inputs.iter().enumerate() {
            let what = |fault: String| format!("parameter {index} ({}): {fault}", input.ty);
            if input.ty.matches('[').count() > MAX_DEPTH {
                return Err(what("arrays nested too deep".to_owned()));
            }
            let ty = input.resolve().map_err(|fault| what(fault.to_string()))?;
            let node = Node::compile(&ty, &input.components, 0).map_err(what)?;
            let place = if input.indexed {
                topic += 1;
                match node.shape {
                    Shape::Word(_) => Place::Topic(topic - 1),
                    _ => Place::Hash(topic - 1),
                }
            } else {
                let at = head;
                head += node.head_words() * 32;
                Place::Head(at)
            };
            params.push(Step { name: unique_name(&params, &input.name, index), place, node });
        }
        match u8::try_from(topic) {
            Ok(topic_count) if topic <= 4 => {
                let dynamic = params.iter().any(Step::has_tail);
                Ok(Self { params: params.into(), topic_count, head_bytes: head, dynamic })
            }
            _ => Err(format!("{topic} topics; a log has room for 4")),
        }
    }

    /// Whether topic count and payload length can be this event's.
    #[inline]
    pub(super) fn fits(&self, log: LogView<'_>) -> Result<(), DecodeError> {
        if log.head.topic_count != self.topic_count {
            return Err(DecodeError::TopicCount);
        }
        let len = log.data.len();
        let fits = if self.dynamic { len >= self.head_bytes } else { len == self.head_bytes };
        if fits { Ok(()) } else { Err(DecodeError::DataLength) }
    }

    /// Walks every value of the log once.
    #[inline]
    pub fn walk<'a>(
        &self,
        log: LogView<'a>,
        visit: &mut impl Visit<'a>,
    ) -> Result<(), DecodeError> {
        self.fits(log)?;
        let budget = (log.data.len() / 32).saturating_add(1).saturating_mul(MAX_REREADS);
        let mut reader = Reader { data: log.data, budget };
        for step in &self.params {
            visit.param(&step.name);
            match (step.place, &step.node.shape) {
                (Place::Topic(at), Shape::Word(kind)) => {
                    let word = log.head.topics.get(at).ok_or(DecodeError::TopicCount)?;
                    if !kind.accepts(&word.0) {
                        return Err(DecodeError::Padding);
                    }
                    visit.word(*kind, &word.0);
                }
                (Place::Topic(at) | Place::Hash(at), _) => {
                    visit.hash(log.head.topics.get(at).ok_or(DecodeError::TopicCount)?);
                }
                (Place::Head(at), _) => reader.value(&step.node, 0, at, visit)?,
            }
        }
        Ok(())
    }

    /// Checks everything that a walk would read.
    #[inline]
    pub fn check(&self, log: LogView<'_>) -> Result<(), DecodeError> {
        self.walk(log, &mut Ignore)
    }

    /// The address in the parameter called `name`, if it has one.
    pub(super) fn address(&self, name: &str) -> Option<AddressPlace> {
        let step = self.params.iter().find(|step| &*step.name == name)?;
        match (&step.node.shape, step.place) {
            (Shape::Word(WordKind::Address), Place::Topic(at)) => Some(AddressPlace::Topic(at)),
            (Shape::Word(WordKind::Address), Place::Head(at)) => Some(AddressPlace::Head(at)),
            _ => None,
        }
    }

    /// Every parameter that is an address.
    pub(super) fn address_names(&self) -> impl Iterator<Item = &str> {
        self.params.iter().map(|step| &*step.name).filter(|name| self.address(name).is_some())
    }

    /// Where participants lie: addresses, and arrays of addresses, at the top level.
    pub(super) fn address_places(&self) -> Vec<AddressPlace> {
        let places = self.params.iter().filter_map(|step| match (&step.node.shape, step.place) {
            (Shape::Word(WordKind::Address), Place::Topic(at)) => Some(AddressPlace::Topic(at)),
            (Shape::Word(WordKind::Address), Place::Head(at)) => Some(AddressPlace::Head(at)),
            (Shape::Array(item), Place::Head(at)) if item.is_address() => {
                Some(AddressPlace::Array(at))
            }
            (Shape::Fixed(item, len), Place::Head(at)) if item.is_address() => {
                Some(AddressPlace::Fixed(at, *len))
            }
            _ => None,
        });
        places.collect()
    }
}

/// Where an address, or several, lie in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressPlace {
    Topic(usize),
    /// Byte of the payload.
    Head(usize),
    /// Byte of the payload that holds the offset of an array.
    Array(usize),
    /// Byte of the payload where so many addresses begin.
    Fixed(usize, usize),
}

impl Step {
    fn has_tail(&self) -> bool {
        matches!(self.place, Place::Head(_)) && self.node.dynamic
    }
}

impl Node {
    fn compile(ty: &DynSolType, components: &[Param], depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} arrays or tuples inside one another"));
        }
        let leaf = |shape, dynamic| Ok(Self { shape, words: 1, dynamic });
        match ty {
            DynSolType::Bool => leaf(Shape::Word(WordKind::Bool), false),
            DynSolType::Address => leaf(Shape::Word(WordKind::Address), false),
            DynSolType::Uint(bits) => leaf(Shape::Word(WordKind::Uint(narrow(*bits)?)), false),
            DynSolType::Int(bits) => leaf(Shape::Word(WordKind::Int(narrow(*bits)?)), false),
            DynSolType::FixedBytes(len) => leaf(Shape::Word(WordKind::Bytes(narrow(*len)?)), false),
            DynSolType::Function => leaf(Shape::Word(WordKind::Bytes(24)), false),
            DynSolType::Bytes => leaf(Shape::Bytes, true),
            DynSolType::String => leaf(Shape::Text, true),
            DynSolType::Array(item) => {
                let item = Self::compile(item, components, depth + 1)?;
                leaf(Shape::Array(Box::new(item)), true)
            }
            DynSolType::FixedArray(item, len) => {
                let item = Self::compile(item, components, depth + 1)?;
                let words = bounded(item.head_words().checked_mul(*len))?;
                let dynamic = item.dynamic;
                Ok(Self { shape: Shape::Fixed(Box::new(item), *len), words, dynamic })
            }
            DynSolType::Tuple(types) => {
                let mut parts = Vec::with_capacity(types.len());
                let mut words = Some(0usize);
                for (index, ty) in types.iter().enumerate() {
                    let part = components.get(index);
                    let inner = part.map_or(&[][..], |part| &part.components);
                    let node = Self::compile(ty, inner, depth + 1)?;
                    words = words.and_then(|sum| sum.checked_add(node.head_words()));
                    let name: Box<str> = part.map_or("", |part| &part.name).into();
                    parts.push((name, node));
                }
                let dynamic = parts.iter().any(|(_, node)| node.dynamic);
                Ok(Self { shape: Shape::Tuple(parts.into()), words: bounded(words)?, dynamic })
            }
        }
    }

    fn head_words(&self) -> usize {
        if self.dynamic { 1 } else { self.words }
    }

    fn is_address(&self) -> bool {
        matches!(self.shape, Shape::Word(WordKind::Address))
    }
}

struct Reader<'a> {
    data: &'a [u8],
    /// Words that may still be read.
    budget: usize,
}

impl<'a> Reader<'a> {
    /// Reads the value whose place in its group's head is `at`; offsets count from `base`.
    fn value(
        &mut self,
        node: &Node,
        base: usize,
        at: usize,
        visit: &mut impl Visit<'a>,
    ) -> Result<(), DecodeError> {
        let start = if node.dynamic { self.offset(base, at)? } else { at };
        match &node.shape {
            Shape::Word(kind) => {
                let word = self.take(start)?;
                if !kind.accepts(word) {
                    return Err(DecodeError::Padding);
                }
                visit.word(*kind, word);
                Ok(())
            }
            Shape::Bytes => self.tail(start).map(|bytes| visit.bytes(bytes)),
            Shape::Text => self.tail(start).map(|bytes| visit.text(bytes)),
            Shape::Array(item) => {
                let len = word::size(self.take(start)?)?;
                let first = start.checked_add(32).ok_or(DecodeError::Offset)?;
                self.items(item, len, first, visit)
            }
            Shape::Fixed(item, len) => self.items(item, *len, start, visit),
            Shape::Tuple(parts) => self.tuple(parts, start, visit),
        }
    }

    fn items(
        &mut self,
        item: &Node,
        len: usize,
        first: usize,
        visit: &mut impl Visit<'a>,
    ) -> Result<(), DecodeError> {
        let stride = item.head_words() * 32;
        let room = self.data.len().saturating_sub(first);
        if len.checked_mul(stride).is_none_or(|bytes| bytes > room) {
            return Err(DecodeError::Offset);
        }
        visit.open(Group::Array);
        for index in 0..len {
            self.value(item, first, first + index * stride, visit)?;
        }
        visit.close(Group::Array);
        Ok(())
    }

    fn tuple(
        &mut self,
        parts: &[(Box<str>, Node)],
        start: usize,
        visit: &mut impl Visit<'a>,
    ) -> Result<(), DecodeError> {
        let named = parts.iter().all(|(name, _)| !name.is_empty());
        let group = if named { Group::Struct } else { Group::Tuple };
        visit.open(group);
        let mut at = start;
        for (name, node) in parts {
            visit.component(name);
            self.value(node, start, at, visit)?;
            at = at.checked_add(node.head_words() * 32).ok_or(DecodeError::Offset)?;
        }
        visit.close(group);
        Ok(())
    }

    fn offset(&mut self, base: usize, at: usize) -> Result<usize, DecodeError> {
        let offset = word::size(self.take(at)?)?;
        base.checked_add(offset).filter(|at| *at <= self.data.len()).ok_or(DecodeError::Offset)
    }

    fn tail(&mut self, start: usize) -> Result<&'a [u8], DecodeError> {
        let len = word::size(self.take(start)?)?;
        self.spend(len / 32)?;
        let body = self.data.get(start..).and_then(|rest| rest.get(32..));
        body.and_then(|body| body.get(..len)).ok_or(DecodeError::Offset)
    }

    #[inline]
    fn take(&mut self, at: usize) -> Result<&'a Word, DecodeError> {
        self.spend(1)?;
        word::at(self.data, at)
    }

    #[inline]
    fn spend(&mut self, words: usize) -> Result<(), DecodeError> {
        self.budget = self.budget.checked_sub(words).ok_or(DecodeError::Bomb)?;
        Ok(())
    }
}

struct Ignore;

impl<'a> Visit<'a> for Ignore {
    fn param(&mut self, _: &str) {}
    fn word(&mut self, _: WordKind, _: &'a Word) {}
    fn bytes(&mut self, _: &'a [u8]) {}
    fn text(&mut self, _: &'a [u8]) {}
    fn hash(&mut self, _: &'a B256) {}
    fn open(&mut self, _: Group) {}
    fn component(&mut self, _: &str) {}
    fn close(&mut self, _: Group) {}
}

fn narrow<T: TryFrom<usize>>(size: usize) -> Result<T, String> {
    T::try_from(size).map_err(|_| format!("size {size} is not a type"))
}

fn bounded(words: Option<usize>) -> Result<usize, String> {
    match words {
        Some(0) => Err("an empty array or tuple holds nothing to read".to_owned()),
        Some(words) if words <= MAX_WORDS => Ok(words),
        _ => Err(format!("more than {MAX_WORDS} words")),
    }
}

/// Solidity lets a parameter go without a name, and a hand-written ABI may repeat one.
fn unique_name(before: &[Step], name: &str, index: usize) -> Box<str> {
    let name = if name.is_empty() { format!("arg{index}") } else { name.to_owned() };
    if before.iter().any(|step| *step.name == *name) {
        return format!("{name}_{index}").into();
    }
    name.into()
}
