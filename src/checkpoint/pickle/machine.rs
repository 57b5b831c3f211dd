//! The pickle machine.

use super::value::{Dict, Global, Storage, Value, View, refuse, storage};
use crate::{
    checkpoint::{
        limits::MAX_DESCRIPTION,
        problem::{Problem, malformed},
    },
    error::CheckpointProblem,
};
use std::{collections::BTreeMap, rc::Rc};

/// Tuples nest two deep in a state dict. A hostile file could nest them until the stack overflows.
const MAX_DEPTH: usize = 8;
/// A remembered value, with its share of the map's nodes.
const MEMO: usize = 80;
/// The two counts before a shared value.
const COUNTS: usize = 16;

fn underflow() -> CheckpointProblem {
    CheckpointProblem::Malformed("the pickle takes more values than it made".into())
}

#[derive(Default)]
pub(super) struct Machine<'a> {
    code: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: BTreeMap<u64, Value>,
    dicts: Vec<Dict>,
    /// Lists of texts; no others are of use.
    lists: Vec<Vec<Rc<str>>>,
    /// Bytes of texts, tuples, storages, tensors, and items of dictionaries and lists.
    made: usize,
}

impl<'a> Machine<'a> {
    /// Runs a pickle and returns its result and the machine it ran on. `memory` is what its values
    /// may take, in bytes.
    pub fn run(code: &'a [u8], memory: usize) -> Problem<(Value, Self)> {
        let mut machine = Self {
            code,
            ..Self::default()
        };
        while !machine.step()? {
            if code.len() - machine.code.len() > MAX_DESCRIPTION {
                return Err(malformed("its pickle is far larger than a state dict's"));
            }
            if machine.held() > memory {
                return Err(malformed(
                    "its pickle makes far more values than the file can hold tensors",
                ));
            }
        }
        Ok((machine.pop()?, machine))
    }

    /// What follows the instructions that were run.
    pub fn rest(&self) -> &'a [u8] {
        self.code
    }

    /// A dictionary, taken out of the machine.
    pub fn take_dict(&mut self, number: usize) -> Dict {
        std::mem::take(&mut self.dicts[number])
    }

    /// A list, taken out of the machine.
    pub fn take_list(&mut self, number: usize) -> Vec<Rc<str>> {
        std::mem::take(&mut self.lists[number])
    }

    /// Bytes taken so far: by what is held now, and by all values that were ever made elsewhere.
    fn held(&self) -> usize {
        self.stack.len() * size_of::<Value>()
            + self.marks.len() * size_of::<usize>()
            + self.memo.len() * MEMO
            + self.dicts.len() * size_of::<Dict>()
            + self.lists.len() * size_of::<Vec<Rc<str>>>()
            + self.made
    }

    /// Executes one instruction; true at the end. See "pickletools" in Python's standard library
    /// for what each is.
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
                self.made += COUNTS + size_of::<Storage>();
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
        self.made += COUNTS + len;
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
        self.made += COUNTS + size_of::<Vec<Value>>() + items.len() * size_of::<Value>();
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
        self.made += items.len().div_ceil(2) * size_of::<(Rc<str>, usize)>();
        let dict = &mut self.dicts[dict];
        for pair in items.chunks(2) {
            match pair {
                [Value::Text(name), Value::Tensor(view)] => {
                    dict.tensors.push((name.clone(), view.clone()))
                }
                [Value::Text(name), Value::Dict(inner)] => dict.dicts.push((name.clone(), *inner)),
                [Value::Text(name), other] => {
                    _ = dict.other.get_or_insert((Some(name.clone()), other.what()))
                }
                _ => _ = dict.other.get_or_insert((None, "an item without a name")),
            }
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Problem<()> {
        let Some(&Value::List(list)) = self.stack.last() else {
            return Err(malformed("items for something that is no list"));
        };
        self.made += items.len() * size_of::<Rc<str>>();
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
                self.made +=
                    COUNTS + size_of::<View>() + (size.len() + stride.len()) * size_of::<i64>();
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
