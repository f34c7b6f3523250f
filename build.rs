//! Generates one borrowed view per built-in event from `abi/*.json` and `abi/hub/*.json` into
//! `$OUT_DIR/events.rs`.
//!
//! Deterministic: the output depends on the files and on `PACKS` alone. It does not hash signatures;
//! that happens elsewhere.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// Which files make up which built-in pack, in the order that decides whose parameter names win.
const PACKS: [(&str, &str); 12] = [
    ("erc20.json", "Erc20"),
    ("erc721.json", "Erc721"),
    ("erc3643-token.json", "Erc3643"),
    ("erc3643-registry.json", "Erc3643"),
    ("erc3643-compliance.json", "Erc3643"),
    ("erc3643-factory.json", "Erc3643"),
    ("erc3643-onchainid.json", "Erc3643"),
    ("erc3643-settlement.json", "Erc3643"),
    ("erc3643-control.json", "Erc3643"),
    ("erc3643-safe.json", "Erc3643"),
    // Our suite's proxies and the Safe above its timelock.
    ("erc3643-control.json", "Rwahub"),
    ("erc3643-safe.json", "Rwahub"),
];

/// The pack of our own suite, which has the events of `abi/hub/`, which the build of `contracts/` writes.
const OURS: &str = "Rwahub";

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Event {
    variant: String,
    name: String,
    fields: Vec<Field>,
    /// The entry as the file has it, on one line.
    json: String,
    packs: BTreeSet<&'static str>,
}

struct Field {
    /// As the ABI spells it.
    name: String,
    /// Rust spelling of the accessor.
    accessor: String,
    /// Solidity type with tuples spelled out.
    solidity: String,
    indexed: bool,
    shape: Shape,
}

#[derive(Clone, PartialEq)]
enum Shape {
    Word(Kind),
    Bytes,
    Words(Kind),
    /// Only its hash is in the log.
    Hash,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Address,
    Bool,
    Uint(u16),
    Bytes(u16),
}

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let abi = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("abi");
    let mut events: Vec<Event> = Vec::new();
    for (file, pack) in PACKS {
        for item in items(&abi.join(file))? {
            add(&mut events, read(&item).map_err(|fault| format!("{file}: {fault}"))?, pack)?;
        }
    }
    for path in listing(&abi.join("hub"))? {
        let contract = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for item in items(&path)?.iter().filter(|item| item["type"] == "event") {
            let event = read(item).map_err(|fault| format!("{contract}: {fault}"))?;
            add_ours(&mut events, event, &contract)?;
        }
    }
    let mut out = String::new();
    emit_kind(&mut out, &events)?;
    emit_enum(&mut out, &events)?;
    for event in &events {
        emit_view(&mut out, event)?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("events.rs"), out)?;
    Ok(())
}

/// The entries of an ABI file.
fn items(path: &Path) -> Outcome<Vec<Value>> {
    println!("cargo::rerun-if-changed={}", path.display());
    let named = |fault: &dyn std::fmt::Display| format!("{}: {fault}", path.display());
    let text = fs::read_to_string(path).map_err(|fault| named(&fault))?;
    Ok(serde_json::from_str(&text).map_err(|fault| named(&fault))?)
}

/// The files of a folder, by name.
fn listing(folder: &Path) -> Outcome<Vec<PathBuf>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Joins an event of our own contracts into the list: a layout that a standard's file has is that one,
/// and a name that another layout has gets the contract's name in front.
fn add_ours(events: &mut Vec<Event>, mut event: Event, contract: &str) -> Outcome<()> {
    if let Some(twin) = events.iter_mut().find(|other| other.layout() == event.layout()) {
        twin.packs.insert(OURS);
        return Ok(());
    }
    if events.iter().any(|other| other.variant == event.variant) {
        event.variant = format!("{contract}{}", event.name);
    }
    add(events, event, OURS)
}

/// Joins an event into the list: the same layout in two files is one kind in two packs.
fn add(events: &mut Vec<Event>, mut event: Event, pack: &'static str) -> Outcome<()> {
    if let Some(same) = events.iter_mut().find(|other| other.variant == event.variant) {
        if same.declaration() != event.declaration() {
            return Err(format!(
                "two layouts are called {}; give one a \"variant\"",
                event.variant
            )
            .into());
        }
        same.packs.insert(pack);
        return Ok(());
    }
    if let Some(twin) = events.iter().find(|other| other.layout() == event.layout()) {
        return Err(format!("{} and {} are one layout", twin.variant, event.variant).into());
    }
    event.packs.insert(pack);
    events.push(event);
    Ok(())
}

fn read(item: &Value) -> Outcome<Event> {
    let text = |key: &str| item[key].as_str().map(str::to_owned);
    let name = text("name").ok_or("an event without name")?;
    let variant = text("variant").unwrap_or_else(|| name.clone());
    let inputs = item["inputs"].as_array().ok_or(format!("{name}: no inputs"))?;
    let fields = inputs.iter().map(field).collect::<Outcome<Vec<_>>>()?;
    if item["type"] != "event" || item["anonymous"] != false {
        return Err(format!("{name}: only events with a signature topic can be built in").into());
    }
    if fields.iter().filter(|field| field.indexed).count() > 3 {
        return Err(format!("{name}: more than three indexed fields").into());
    }
    Ok(Event { variant, name, fields, json: item.to_string(), packs: BTreeSet::new() })
}

fn field(input: &Value) -> Outcome<Field> {
    let name = input["name"].as_str().ok_or("a field without name")?.to_owned();
    let solidity = spell(input)?;
    let indexed = input["indexed"].as_bool().unwrap_or(false);
    let shape = match (word(&solidity), solidity.strip_suffix("[]").and_then(word)) {
        (Some(kind), _) => Shape::Word(kind),
        (None, _) if indexed => Shape::Hash,
        (None, Some(kind)) => Shape::Words(kind),
        (None, None) if solidity == "string" || solidity == "bytes" => Shape::Bytes,
        _ => return Err(format!("{name}: {solidity} has no view; teach build.rs").into()),
    };
    let mut accessor = snake(&name);
    if shape == Shape::Hash {
        accessor.push_str("_hash");
    }
    Ok(Field { name, accessor, solidity, indexed, shape })
}

fn spell(input: &Value) -> Outcome<String> {
    let ty = input["type"].as_str().ok_or("a field without type")?;
    let Some(rest) = ty.strip_prefix("tuple") else { return Ok(ty.to_owned()) };
    let parts = input["components"].as_array().ok_or("a tuple without components")?;
    let parts = parts
        .iter()
        .map(|part| Ok(format!("{} {}", spell(part)?, part["name"].as_str().unwrap_or_default())));
    Ok(format!("({}){rest}", parts.collect::<Outcome<Vec<_>>>()?.join(",")))
}

fn word(solidity: &str) -> Option<Kind> {
    let number = |prefix: &str| solidity.strip_prefix(prefix).and_then(|n| n.parse().ok());
    match solidity {
        "address" => Some(Kind::Address),
        "bool" => Some(Kind::Bool),
        _ => number("uint").map(Kind::Uint).or_else(|| number("bytes").map(Kind::Bytes)),
    }
}

/// `_investorOnchainID` → `investor_onchain_id`
fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut lower_before = false;
    for letter in name.trim_start_matches('_').chars() {
        if letter.is_ascii_uppercase() && lower_before {
            out.push('_');
        }
        lower_before = !letter.is_ascii_uppercase();
        out.push(letter.to_ascii_lowercase());
    }
    out
}

impl Event {
    /// `Transfer(address indexed from,address indexed to,uint256 value)`
    fn declaration(&self) -> String {
        let fields = self.fields.iter().map(|field| {
            let mark = if field.indexed { " indexed" } else { "" };
            format!("{}{mark} {}", field.solidity, field.name)
        });
        format!("{}({})", self.name, fields.collect::<Vec<_>>().join(","))
    }

    /// What tells it from other events on the wire.
    fn layout(&self) -> (String, Vec<(String, bool)>) {
        let fields = self.fields.iter().map(|field| (field.solidity.clone(), field.indexed));
        (self.name.clone(), fields.collect())
    }

    fn heads(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().filter(|field| !field.indexed).enumerate()
    }

    fn topics(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().filter(|field| field.indexed).enumerate().map(|(at, f)| (at + 1, f))
    }
}

fn emit_kind(out: &mut String, events: &[Event]) -> Outcome<()> {
    let each = |line: &dyn Fn(&Event) -> String| events.iter().map(line).collect::<String>();
    let variants = each(&|e| format!("    /// `{}`\n    {},\n", e.declaration(), e.variant));
    let all = each(&|e| format!("        Self::{},\n", e.variant));
    let names = each(&|e| format!("            Self::{} => {:?},\n", e.variant, e.name));
    let texts = each(&|e| format!("            Self::{} => {:?},\n", e.variant, e.declaration()));
    let jsons = each(&|e| format!("            Self::{} => {:?},\n", e.variant, e.json));
    let packs = each(&|e| {
        let packs: Vec<_> = e.packs.iter().map(|pack| format!("Pack::{pack}")).collect();
        format!("            Self::{} => &[{}],\n", e.variant, packs.join(", "))
    });
    let count = events.len();
    write!(
        out,
        "/// Which built-in event a log is, or `Other` for events of run-time ABIs.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]\n\
         #[repr(u16)]\npub enum EventKind {{\n{variants}    /// An event of a run-time ABI.\n    Other,\n}}\n\n\
         impl EventKind {{\n    /// Every built-in kind, packs in their order.\n    \
         pub const ALL: [Self; {count}] = [\n{all}    ];\n\n    \
         /// The event's name in the ABI.\n    pub fn name(self) -> &'static str {{\n        match self {{\n\
         {names}            Self::Other => \"\",\n        }}\n    }}\n\n    \
         /// The full signature with indexed marks.\n    pub fn declaration(self) -> &'static str {{\n        match self {{\n\
         {texts}            Self::Other => \"\",\n        }}\n    }}\n\n    \
         /// The event's entry of a JSON ABI.\n    pub(crate) fn json(self) -> &'static str {{\n        match self {{\n\
         {jsons}            Self::Other => \"\",\n        }}\n    }}\n\n    \
         /// The built-in packs that hold it.\n    pub(crate) fn packs(self) -> &'static [Pack] {{\n        match self {{\n\
         {packs}            Self::Other => &[],\n        }}\n    }}\n}}\n\n"
    )?;
    Ok(())
}

fn emit_enum(out: &mut String, events: &[Event]) -> Outcome<()> {
    let each = |line: &dyn Fn(&Event) -> String| events.iter().map(line).collect::<String>();
    let variants = each(&|e| format!("    {0}({0}<'a>),\n", e.variant));
    let reads = each(&|e| {
        format!("            EventKind::{0} => {0}::read(log).map(Self::{0}),\n", e.variant)
    });
    let kinds = each(&|e| format!("            Self::{0}(_) => EventKind::{0},\n", e.variant));
    write!(
        out,
        "/// A typed event whose fields are read in place, one variant per built-in layout.\n\
         #[derive(Debug, Clone, Copy)]\npub enum RwaEvent<'a> {{\n{variants}    \
         /// An event of a run-time ABI, already checked against its layout.\n    Other(LogView<'a>),\n}}\n\n\
         impl<'a> RwaEvent<'a> {{\n    \
         /// Checks topics, length, padding and offsets; reads nothing else and allocates nothing.\n    \
         #[inline]\n    pub fn read(kind: EventKind, log: LogView<'a>) -> Result<Self, DecodeError> {{\n        match kind {{\n\
         {reads}            EventKind::Other => Ok(Self::Other(log)),\n        }}\n    }}\n\n    \
         /// Which built-in event this is.\n    pub fn kind(&self) -> EventKind {{\n        match self {{\n\
         {kinds}            Self::Other(_) => EventKind::Other,\n        }}\n    }}\n}}\n\n"
    )?;
    Ok(())
}

fn emit_view(out: &mut String, event: &Event) -> Outcome<()> {
    let variant = &event.variant;
    let tail = |f: &Field| matches!(f.shape, Shape::Bytes | Shape::Words(_));
    let has_topics = event.topics().next().is_some();
    let has_head = event.heads().next().is_some();
    let words = event.heads().count();
    let dynamic = event.heads().any(|(_, f)| tail(f));
    let mut members = Vec::new();
    let mut inits = vec![];
    if has_topics {
        members.push("topics: &'a [B256; 4]".to_owned());
        inits.push("topics".to_owned());
    }
    if has_head {
        members.push(format!("head: &'a [Word; {words}]"));
        inits.push("head".to_owned());
    }
    if dynamic {
        members.push("data: &'a [u8]".to_owned());
        inits.push("data: log.data".to_owned());
    }
    if members.is_empty() {
        members.push("log: PhantomData<&'a ()>".to_owned());
        inits.push("log: PhantomData".to_owned());
    }
    let topics = event.topics().count() + 1;
    let frame = if dynamic { "at_least" } else { "exact" };
    let (use_topics, use_head) =
        (if has_topics { "topics" } else { "_" }, if words > 0 { "head" } else { "_" });
    write!(
        out,
        "/// `{}`\n#[derive(Debug, Clone, Copy)]\npub struct {variant}<'a> {{\n    {},\n}}\n\n\
         impl<'a> {variant}<'a> {{\n    #[inline]\n    \
         fn read(log: LogView<'a>) -> Result<Self, DecodeError> {{\n        \
         let ({use_topics}, {use_head}) = word::{frame}::<{words}>(log, {topics})?;\n",
        event.declaration(),
        members.join(",\n    "),
    )?;
    let checks = event
        .topics()
        .filter_map(|(at, f)| check(f, &format!("&topics[{at}].0")))
        .chain(event.heads().filter_map(|(at, f)| check(f, &format!("&head[{at}]"))))
        .collect::<Vec<_>>();
    if !checks.is_empty() {
        let all = checks.join("\n            && ");
        write!(
            out,
            "        if !({all}) {{\n            return Err(DecodeError::Padding);\n        }}\n"
        )?;
    }
    for (at, field) in event.heads().filter(|(_, f)| tail(f)) {
        writeln!(out, "        {}?;", field.tail(&format!("log.data, &head[{at}]")))?;
    }
    write!(out, "        Ok(Self {{ {} }})\n    }}\n", inits.join(", "))?;
    for (at, field) in event.topics() {
        emit_accessor(out, field, &format!("&self.topics[{at}].0"))?;
    }
    for (at, field) in event.heads() {
        emit_accessor(out, field, &format!("&self.head[{at}]"))?;
    }
    out.push_str("}\n\n");
    Ok(())
}

fn check(field: &Field, word: &str) -> Option<String> {
    match field.shape {
        Shape::Word(Kind::Address) => Some(format!("word::is_address({word})")),
        Shape::Word(Kind::Bool) => Some(format!("word::is_bool({word})")),
        Shape::Word(Kind::Uint(bits)) if bits < 256 => {
            Some(format!("word::is_uint({word}, {bits})"))
        }
        Shape::Word(Kind::Bytes(len)) if len < 32 => Some(format!("word::is_bytes({word}, {len})")),
        _ => None,
    }
}

fn emit_accessor(out: &mut String, field: &Field, word: &str) -> Outcome<()> {
    let accessor = &field.accessor;
    let (ty, body) = match field.shape {
        Shape::Word(Kind::Address) => ("Address", format!("word::address({word})")),
        Shape::Word(Kind::Bool) => ("bool", format!("word::boolean({word})")),
        Shape::Word(Kind::Uint(bits)) if bits <= 64 => ("u64", format!("word::uint64({word})")),
        Shape::Word(Kind::Uint(_)) => ("U256", format!("word::uint({word})")),
        Shape::Word(Kind::Bytes(_)) => ("&'a Word", word.to_owned()),
        Shape::Hash => ("&'a Word", word.to_owned()),
        Shape::Words(_) | Shape::Bytes => {
            let ty = if field.shape == Shape::Bytes { "&'a [u8]" } else { "&'a [Word]" };
            // `read` has been there and found it well-formed.
            (ty, format!("{}.unwrap_or_default()", field.tail(&format!("self.data, {word}"))))
        }
    };
    let mark = if field.indexed { " indexed" } else { "" };
    write!(
        out,
        "\n    /// `{}{mark} {}`\n    #[inline]\n    pub fn {accessor}(&self) -> {ty} {{\n        {body}\n    }}\n",
        field.solidity, field.name
    )?;
    Ok(())
}

impl Field {
    /// The call that reads a dynamic value.
    fn tail(&self, place: &str) -> String {
        match self.shape {
            Shape::Words(kind) => format!("word::tail_words({place}, {})", kind.path()),
            _ => format!("word::tail_bytes({place})"),
        }
    }
}

impl Kind {
    fn path(self) -> String {
        match self {
            Self::Address => "WordKind::Address".to_owned(),
            Self::Bool => "WordKind::Bool".to_owned(),
            Self::Uint(bits) => format!("WordKind::Uint({bits})"),
            Self::Bytes(len) => format!("WordKind::Bytes({len})"),
        }
    }
}
