//! Reads PyTorch state dicts, in zip format (`torch.save` since 1.6) and in the older one, with a pickle machine that knows tensors and nothing else.
//!
//! A pickle is a program; Python's, and with limits libtorch's, machine would run whatever it says. This one has the few instructions that a
//! dictionary of tensors needs, constructs nothing but such tensors, and refuses all else by name.

use super::{Problem, Tensors, malformed, tensor_of};
use crate::error::CheckpointProblem;
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    io::{Cursor, Read},
    rc::Rc,
};
use tch::{Kind, Tensor};
use zip::ZipArchive;

/// Tuples nest two deep in a state dict; a hostile file could nest them until the stack overflows.
const MAX_DEPTH: usize = 8;
/// The largest published model's pickle has 60 kB. Instructions of one byte can take 70 bytes of memory, so there must be a limit.
const MAX_CODE: usize = 4 << 20;
/// Dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;
/// What all tensors together may take, in file sizes: tensors may share a storage, but not to make a giant of a small file.
const MAX_SHARING: usize = 4;

/// All tensors of a state dict.
pub fn parse(bytes: &[u8]) -> Problem<Tensors> {
    let mut archive = Archive {
        zip: ZipArchive::new(Cursor::new(bytes)).map_err(malformed)?,
        left: bytes.len() as u64,
    };
    let pickle = archive
        .zip
        .file_names()
        .flatten()
        .find(|n| n == "data.pkl" || n.ends_with("/data.pkl"))
        .map(|n| n.into_owned());
    let Some(pickle) = pickle else {
        return Err(CheckpointProblem::UnknownFormat {
            found: "a zip archive without 'data.pkl'".into(),
        });
    };
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    let order = format!("{folder}byteorder");
    if archive.zip.index_for_name(&order).is_some() && archive.read(&order)? != b"little" {
        return Err(CheckpointProblem::Malformed(
            "its numbers are big-endian".into(),
        ));
    }
    let (views, _) = Machine::state_dict(&archive.read(&pickle)?)?;
    assemble(views, bytes.len(), |key, kind| {
        let bytes = archive.read(&format!("{folder}data/{key}"))?;
        let elements = i64::try_from(bytes.len() / kind.elt_size_in_bytes()).map_err(malformed)?;
        tensor_of(&bytes, &[elements], kind)
    })
}

/// How the older format starts: a pickled number of 80 bits, and the format's version, 1001.
pub const LEGACY: &[u8] = &[
    0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.', 0x80, 2,
    b'M', 0xe9, 3, b'.',
];

/// All tensors of a state dict that `torch.save` wrote before 1.6: five pickles (those of [`LEGACY`], facts about the machine, the dictionary, the list
/// of storages), then the storages themselves, each a count of elements and so many numbers.
pub fn parse_legacy(bytes: &[u8]) -> Problem<Tensors> {
    let code = bytes
        .strip_prefix(LEGACY)
        .ok_or_else(|| malformed("not PyTorch's older format"))?;
    let code = Machine::little_endian(code)?;
    let (views, code) = Machine::state_dict(code)?;
    let (keys, mut rest) = Machine::texts(code)?;
    let kinds: HashMap<&str, Kind> = views
        .iter()
        .map(|(_, view)| (view.storage.key.as_str(), view.storage.kind))
        .collect();
    let mut storages = HashMap::new();
    for key in keys {
        let kind = *kinds
            .get(&*key)
            .ok_or_else(|| malformed(format!("no tensor lies in storage '{key}'")))?;
        let early = || CheckpointProblem::Malformed(format!("it ends in storage '{key}'"));
        let (count, after) = rest.split_first_chunk::<8>().ok_or_else(early)?;
        let elements = i64::from_le_bytes(*count);
        let length = usize::try_from(elements)
            .ok()
            .and_then(|n| n.checked_mul(kind.elt_size_in_bytes()))
            .ok_or_else(early)?;
        let (data, after) = after.split_at_checked(length).ok_or_else(early)?;
        storages.insert(key.to_string(), tensor_of(data, &[elements], kind)?);
        rest = after;
    }
    assemble(views.clone(), bytes.len(), |key, _| {
        storages
            .remove(key)
            .ok_or_else(|| CheckpointProblem::Malformed(format!("storage '{key}' is not in it")))
    })
}

/// Cuts tensors out of their storages, each of which is fetched once. `size` is the file's.
fn assemble(
    views: Views,
    size: usize,
    mut fetch: impl FnMut(&str, Kind) -> Problem<Tensor>,
) -> Problem<Tensors> {
    let mut left = size.saturating_mul(MAX_SHARING);
    let mut storages = HashMap::new();
    let mut tensors = Tensors::new();
    for (name, view) in views {
        let Storage { key, kind } = &*view.storage;
        let storage = match storages.entry(key.clone()) {
            Entry::Occupied(storage) => storage.into_mut(),
            Entry::Vacant(place) => place.insert(fetch(key, *kind)?),
        };
        let beyond =
            || CheckpointProblem::Malformed(format!("tensor '{name}' reaches beyond its storage"));
        let tensor = view.of(storage).ok_or_else(beyond)?;
        let bytes = usize::try_from(view.elements())
            .ok()
            .and_then(|n| n.checked_mul(kind.elt_size_in_bytes()));
        left = bytes
            .and_then(|n| left.checked_sub(n))
            .ok_or_else(|| malformed("its tensors claim far more data than it holds"))?;
        let tensor = tensor.f_contiguous().map_err(malformed)?;
        if tensors.insert(name.to_string(), tensor).is_some() {
            return Err(CheckpointProblem::Malformed(format!(
                "two tensors are named '{name}'"
            )));
        }
    }
    Ok(tensors)
}

struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Bytes that may still be read: as many as the file has. `torch.save` never compresses, but entries can overlap.
    left: u64,
}

impl Archive<'_> {
    fn read(&mut self, name: &str) -> Problem<Vec<u8>> {
        let entry = self
            .zip
            .by_name(name)
            .map_err(|e| CheckpointProblem::Malformed(format!("'{name}' in the archive: {e}")))?;
        let mut bytes = Vec::new();
        let more = entry.take(self.left + 1).read_to_end(&mut bytes)? as u64;
        self.left = self.left.checked_sub(more).ok_or_else(|| {
            CheckpointProblem::Malformed("its archive holds more than the file".into())
        })?;
        Ok(bytes)
    }
}

/// A run of numbers in the archive.
struct Storage {
    key: String,
    kind: Kind,
}

/// A tensor as a state dict describes it.
struct View {
    storage: Rc<Storage>,
    offset: i64,
    size: Vec<i64>,
    stride: Vec<i64>,
}

/// Tensors by name, as described.
type Views = Vec<(Rc<str>, Rc<View>)>;

impl View {
    fn elements(&self) -> i64 {
        self.size.iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// The tensor within its storage; `None` if it reaches beyond it or repeats its elements (so a small file could claim a huge tensor).
    fn of(&self, storage: &Tensor) -> Option<Tensor> {
        let available = storage.size().first().copied()?;
        let numel = self.elements();
        let last = self
            .size
            .iter()
            .zip(&self.stride)
            .try_fold(self.offset, |at, (&d, &s)| {
                at.checked_add((d.max(1) - 1).checked_mul(s)?)
            })?;
        let fits = self.storage.kind == storage.kind()
            && self.offset >= 0
            && self.size.len() == self.stride.len()
            && self.size.iter().chain(&self.stride).all(|&n| n >= 0)
            && numel <= available
            && (numel == 0 || last < available);
        fits.then(|| {
            storage
                .f_as_strided(&self.size, &self.stride, self.offset)
                .ok()
        })
        .flatten()
    }
}

/// The functions and classes a state dict names.
#[derive(Clone, Copy, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

impl Global {
    fn named(module: &str, name: &str) -> Problem<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "HalfStorage") => Self::Storage(Kind::Half),
            ("torch", "BFloat16Storage") => Self::Storage(Kind::BFloat16),
            ("torch", "FloatStorage") => Self::Storage(Kind::Float),
            ("torch", "DoubleStorage") => Self::Storage(Kind::Double),
            ("torch", "LongStorage") => Self::Storage(Kind::Int64),
            ("torch", "IntStorage") => Self::Storage(Kind::Int),
            ("torch", "ShortStorage") => Self::Storage(Kind::Int16),
            ("torch", "CharStorage") => Self::Storage(Kind::Int8),
            ("torch", "ByteStorage") => Self::Storage(Kind::Uint8),
            _ => return Err(refuse(format!("{module}.{name}"))),
        })
    }
}

/// A value on the machine's stack. Dictionaries and lists are numbers into [`Machine::dicts`] and [`Machine::lists`], so that no cycle of references can arise.
#[derive(Clone)]
enum Value {
    Nothing,
    Int(i64),
    Text(Rc<str>),
    Tuple(Rc<Vec<Value>>, usize),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
    Dict(usize),
    List(usize),
}

impl Value {
    fn what(&self) -> &'static str {
        match self {
            Self::Nothing => "None or a truth value",
            Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::Tuple(..) => "a tuple",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a bare storage",
            Self::Tensor(_) => "a tensor",
            Self::Dict(_) => "a dictionary",
            Self::List(_) => "a list",
        }
    }

    fn numbers(&self) -> Option<Vec<i64>> {
        let Self::Tuple(items, _) = self else {
            return None;
        };
        if items.len() > MAX_DIMENSIONS {
            return None;
        }
        items
            .iter()
            .map(|item| {
                if let Self::Int(n) = item {
                    Some(*n)
                } else {
                    None
                }
            })
            .collect()
    }
}

/// A dictionary, as far as it is of use: its tensors, dictionaries in it, and the first item that is neither.
#[derive(Default)]
struct Dict {
    tensors: Views,
    dicts: Vec<(Rc<str>, usize)>,
    other: Option<String>,
}

fn refuse(what: impl Into<String>) -> CheckpointProblem {
    CheckpointProblem::NotOnlyTensors(what.into())
}

fn underflow() -> CheckpointProblem {
    CheckpointProblem::Malformed("the pickle takes more values than it made".into())
}

#[derive(Default)]
struct Machine<'a> {
    code: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: BTreeMap<u64, Value>,
    dicts: Vec<Dict>,
    /// Lists of texts; no others are of use.
    lists: Vec<Vec<Rc<str>>>,
}

impl<'a> Machine<'a> {
    /// Runs a pickle; what it makes, and the machine it made it on.
    fn run(code: &'a [u8]) -> Problem<(Value, Self)> {
        let mut machine = Self {
            code,
            ..Self::default()
        };
        while !machine.step()? {
            if code.len() - machine.code.len() > MAX_CODE {
                return Err(malformed("its pickle is far larger than a state dict's"));
            }
        }
        Ok((machine.pop()?, machine))
    }

    /// Runs a pickle whose result must be a dictionary of tensors, or one that holds nothing but such a dictionary (`{"params": {...}}`). Also what
    /// follows the pickle.
    fn state_dict(code: &'a [u8]) -> Problem<(Views, &'a [u8])> {
        let (result, mut machine) = Self::run(code)?;
        let Value::Dict(dict) = result else {
            return Err(refuse(format!(
                "{} in place of a dictionary of tensors",
                result.what()
            )));
        };
        let mut dict = std::mem::take(&mut machine.dicts[dict]);
        if let (true, None, &[(_, only)]) =
            (dict.tensors.is_empty(), &dict.other, dict.dicts.as_slice())
        {
            dict = std::mem::take(&mut machine.dicts[only]);
        }
        match (dict.other, dict.dicts.first()) {
            (Some(other), _) => Err(refuse(other)),
            (None, Some((name, _))) => Err(refuse(format!("{name}: a dictionary"))),
            (None, None) => Ok((dict.tensors, machine.code)),
        }
    }

    /// Runs a pickle whose result must be a list of texts. Also what follows it.
    fn texts(code: &'a [u8]) -> Problem<(Vec<Rc<str>>, &'a [u8])> {
        let (result, mut machine) = Self::run(code)?;
        let Value::List(list) = result else {
            return Err(refuse(format!(
                "{} in place of a list of storages",
                result.what()
            )));
        };
        Ok((std::mem::take(&mut machine.lists[list]), machine.code))
    }

    /// Runs the older format's pickle of facts about the machine that wrote it. What follows it.
    fn little_endian(code: &'a [u8]) -> Problem<&'a [u8]> {
        let (_, machine) = Self::run(code)?;
        let facts = &code[..code.len() - machine.code.len()];
        let key = b"little_endian";
        let value = facts
            .windows(key.len())
            .position(|w| w == key)
            .and_then(|at| facts.get(at + key.len()..));
        // True (0x88) after the key, which may be remembered first.
        match value {
            Some([0x88, ..] | [b'q', _, 0x88, ..] | [0x94, 0x88, ..]) => Ok(machine.code),
            _ => Err(CheckpointProblem::Malformed(
                "its numbers are big-endian".into(),
            )),
        }
    }

    /// Executes one instruction; true at the end. See "pickletools" in Python's standard library for what each is.
    fn step(&mut self) -> Problem<bool> {
        let op = self.take::<1>()?[0];
        match op {
            0x80 => _ = self.take::<1>()?, // PROTO
            0x95 => _ = self.take::<8>()?, // FRAME
            b'.' => return Ok(true),
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Nothing), // NONE, NEWTRUE, NEWFALSE
            b'J' => {
                let n = i32::from_le_bytes(self.take()?);
                self.stack.push(Value::Int(n.into()));
            }
            b'K' => {
                let n = u8::from_le_bytes(self.take()?);
                self.stack.push(Value::Int(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.take()?);
                self.stack.push(Value::Int(n.into()));
            }
            0x8a => self.long1()?,
            b'X' => {
                let len = u32::from_le_bytes(self.take()?);
                self.text(len as usize)?;
            }
            0x8c => {
                let len = u8::from_le_bytes(self.take()?);
                self.text(len.into())?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(Global::named(module, name)?));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(malformed("a name that is no text"));
                };
                self.stack
                    .push(Value::Global(Global::named(&module, &name)?));
            }
            b'q' => {
                let slot = u8::from_le_bytes(self.take()?);
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.remember(slot.into())?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let slot = u8::from_le_bytes(self.take()?);
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.recall(slot.into())?;
            }
            b')' => self.tuple(vec![])?,
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(op - 0x84))?;
                self.tuple(items)?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.tuple(items)?;
            }
            b'}' => self.new_dict(),
            b']' => {
                self.stack.push(Value::List(self.lists.len()));
                self.lists.push(vec![]);
            }
            b'a' => {
                let item = self.pop_many(1)?;
                self.append(item)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let pair = self.pop_many(2)?;
                self.set_items(pair)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.stack
                    .push(Value::Storage(Rc::new(storage(&id).ok_or_else(|| {
                        malformed("a storage is not described as PyTorch does")
                    })?)));
            }
            b'R' => self.reduce()?,
            b'b' => {
                // BUILD: state_dict() hangs version numbers on its dictionary. They are of no use.
                self.pop()?;
                let Some(Value::Dict(_)) = self.stack.last() else {
                    return Err(refuse("an object with state"));
                };
            }
            other => return Err(refuse(format!("pickle instruction 0x{other:02x}"))),
        }
        Ok(false)
    }

    fn take<const N: usize>(&mut self) -> Problem<[u8; N]> {
        let (head, rest) = self
            .code
            .split_first_chunk::<N>()
            .ok_or_else(|| malformed("the pickle ends early"))?;
        self.code = rest;
        Ok(*head)
    }

    fn text(&mut self, len: usize) -> Problem<()> {
        let (head, rest) = self
            .code
            .split_at_checked(len)
            .ok_or_else(|| malformed("the pickle ends early"))?;
        self.code = rest;
        self.stack.push(Value::Text(
            std::str::from_utf8(head).map_err(malformed)?.into(),
        ));
        Ok(())
    }

    fn line(&mut self) -> Problem<&'a str> {
        let end = self
            .code
            .iter()
            .position(|&b| b == b'\n')
            .ok_or_else(|| malformed("the pickle ends early"))?;
        let line = std::str::from_utf8(&self.code[..end]).map_err(malformed)?;
        self.code = &self.code[end + 1..];
        Ok(line)
    }

    fn long1(&mut self) -> Problem<()> {
        let len = usize::from(self.take::<1>()?[0]);
        let (head, rest) = self
            .code
            .split_at_checked(len)
            .ok_or_else(|| malformed("the pickle ends early"))?;
        self.code = rest;
        let negative = head.last().is_some_and(|b| b & 0x80 != 0);
        let mut bytes = [if negative { 0xff } else { 0 }; 8];
        bytes
            .get_mut(..len)
            .ok_or_else(|| malformed("a number of more than 64 bits"))?
            .copy_from_slice(head);
        self.stack.push(Value::Int(i64::from_le_bytes(bytes)));
        Ok(())
    }

    fn pop(&mut self) -> Problem<Value> {
        self.stack.pop().ok_or_else(underflow)
    }

    fn pop_many(&mut self, n: usize) -> Problem<Vec<Value>> {
        let start = self.stack.len().checked_sub(n).ok_or_else(underflow)?;
        Ok(self.stack.split_off(start))
    }

    fn pop_to_mark(&mut self) -> Problem<Vec<Value>> {
        let mark = self
            .marks
            .pop()
            .filter(|&mark| mark <= self.stack.len())
            .ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, items: Vec<Value>) -> Problem<()> {
        let depth = 1 + items
            .iter()
            .map(|item| {
                if let Value::Tuple(_, depth) = item {
                    *depth
                } else {
                    0
                }
            })
            .max()
            .unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(refuse("tuples nested deeply"));
        }
        self.stack.push(Value::Tuple(Rc::new(items), depth));
        Ok(())
    }

    fn new_dict(&mut self) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(Dict::default());
    }

    fn set_items(&mut self, items: Vec<Value>) -> Problem<()> {
        let Some(&Value::Dict(dict)) = self.stack.last() else {
            return Err(malformed("items for something that is no dictionary"));
        };
        let dict = &mut self.dicts[dict];
        for pair in items.chunks(2) {
            match pair {
                [Value::Text(name), Value::Tensor(view)] => {
                    dict.tensors.push((name.clone(), view.clone()))
                }
                [Value::Text(name), Value::Dict(inner)] => dict.dicts.push((name.clone(), *inner)),
                [Value::Text(name), other] => {
                    _ = dict
                        .other
                        .get_or_insert_with(|| format!("{name}: {}", other.what()))
                }
                _ => {
                    _ = dict
                        .other
                        .get_or_insert_with(|| "an item without a name".into())
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Problem<()> {
        let Some(&Value::List(list)) = self.stack.last() else {
            return Err(malformed("items for something that is no list"));
        };
        for item in items {
            let Value::Text(text) = item else {
                return Err(refuse(format!("a list with {} in it", item.what())));
            };
            self.lists[list].push(text);
        }
        Ok(())
    }

    fn remember(&mut self, slot: u64) -> Problem<()> {
        let value = self.stack.last().ok_or_else(underflow)?.clone();
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u64) -> Problem<()> {
        let value = self
            .memo
            .get(&slot)
            .ok_or_else(|| malformed("the pickle recalls what it never stored"))?
            .clone();
        self.stack.push(value);
        Ok(())
    }

    /// REDUCE: calls a function with a tuple of arguments.
    fn reduce(&mut self) -> Problem<()> {
        let (args, function) = (self.pop()?, self.pop()?);
        let Value::Tuple(args, _) = args else {
            return Err(malformed("arguments that are no tuple"));
        };
        match (function, args.as_slice()) {
            (Value::Global(Global::OrderedDict), []) => self.new_dict(),
            (
                Value::Global(Global::RebuildTensor),
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    size,
                    stride,
                    ..,
                ],
            ) => {
                let (Some(size), Some(stride)) = (size.numbers(), stride.numbers()) else {
                    return Err(malformed("a tensor's shape is not a few numbers"));
                };
                self.stack.push(Value::Tensor(Rc::new(View {
                    storage: storage.clone(),
                    offset: *offset,
                    size,
                    stride,
                })));
            }
            (Value::Global(Global::RebuildParameter), [tensor @ Value::Tensor(_), ..]) => {
                self.stack.push(tensor.clone())
            }
            _ => return Err(refuse("a function call")),
        }
        Ok(())
    }
}

/// A storage from its persistent id, `("storage", class, key, device, elements)`; in the older format `None` follows (or, in files of the first
/// PyTorch versions, a view of another storage, which is not read).
fn storage(id: &Value) -> Option<Storage> {
    let Value::Tuple(id, _) = id else { return None };
    match id.as_slice() {
        [_, _, _, _, _, view] if !matches!(view, Value::Nothing) => None,
        [
            Value::Text(tag),
            Value::Global(Global::Storage(kind)),
            Value::Text(key),
            ..,
        ] if &**tag == "storage" => Some(Storage {
            key: key.to_string(),
            kind: *kind,
        }),
        _ => None,
    }
}
