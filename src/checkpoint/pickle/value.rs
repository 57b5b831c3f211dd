//! What a pickle machine makes: tensors, what describes them, and little else.

use crate::{
    checkpoint::{limits::MAX_DIMENSIONS, problem::Problem},
    error::CheckpointProblem,
};
use std::rc::Rc;
use tch::{Kind, Tensor};

/// A run of numbers in the file.
pub(super) struct Storage {
    pub key: Rc<str>,
    pub kind: Kind,
}

/// A tensor as a state dict describes it.
pub(super) struct View {
    pub storage: Rc<Storage>,
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// Tensors by name, as described.
pub(super) type Views = Vec<(Rc<str>, Rc<View>)>;

impl View {
    pub fn elements(&self) -> i64 {
        self.size.iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// The tensor within its storage; `None` if it reaches beyond it or repeats its elements (so a
    /// small file could claim a huge tensor).
    pub fn of(&self, storage: &Tensor) -> Option<Tensor> {
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
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

impl Global {
    pub fn named(module: &str, name: &str) -> Problem<Self> {
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

/// A value on the machine's stack. Dictionaries and lists are numbers into [`Machine::dicts`] and
/// [`Machine::lists`], so that no cycle of references can arise.
#[derive(Clone)]
pub(super) enum Value {
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
    pub fn what(&self) -> &'static str {
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

    pub fn numbers(&self) -> Option<Vec<i64>> {
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

/// A dictionary, as far as it is of use: its tensors, dictionaries in it, and the first item that
/// is neither.
#[derive(Default)]
pub(super) struct Dict {
    pub tensors: Views,
    pub dicts: Vec<(Rc<str>, usize)>,
    /// The item's name, if it has one, and what it is.
    pub other: Option<(Option<Rc<str>>, &'static str)>,
}

/// A storage from its persistent id, `("storage", class, key, device, elements)`; in the older
/// format `None` follows (or, in files of the first PyTorch versions, a view of another storage,
/// which is not read).
pub(super) fn storage(id: &Value) -> Option<Storage> {
    let Value::Tuple(id, _) = id else { return None };
    match id.as_slice() {
        [_, _, _, _, _, view] if !matches!(view, Value::Nothing) => None,
        [
            Value::Text(tag),
            Value::Global(Global::Storage(kind)),
            Value::Text(key),
            ..,
        ] if &**tag == "storage" => Some(Storage {
            key: key.clone(),
            kind: *kind,
        }),
        _ => None,
    }
}

pub fn refuse(what: impl Into<String>) -> CheckpointProblem {
    CheckpointProblem::NotOnlyTensors(what.into())
}
