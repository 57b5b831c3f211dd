//! Reads PyTorch state dicts, in zip format (`torch.save` since 1.6) and in the older one, with a
//! pickle machine that knows tensors and nothing else.
//!
//! A pickle is a program. Python's machine runs whatever it says, and so does libtorch's, with
//! limits. This one has the few instructions that a dictionary of tensors needs, makes nothing but
//! such tensors, refuses all else by name, and stops where its values outgrow the file.

mod machine;
mod value;

use super::{
    limits::{MAX_SHARING, check_count, memory, too_much},
    problem::{Problem, malformed},
    tensors::{Tensors, tensor_of},
};
use crate::error::CheckpointProblem;
use machine::Machine;
use std::{
    collections::{HashMap, hash_map::Entry},
    io::{Cursor, Read},
    rc::Rc,
};
use tch::{Kind, Tensor};
use value::{Storage, Value, Views, refuse};
use zip::ZipArchive;

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
    let (views, _) = state_dict(&archive.read(&pickle)?, memory(bytes.len()))?;
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

/// All tensors of a state dict that `torch.save` wrote before 1.6: five pickles (those of
/// [`LEGACY`], facts about the machine, the dictionary, the list of storages), then the storages
/// themselves, each a count of elements and so many numbers.
pub fn parse_legacy(bytes: &[u8]) -> Problem<Tensors> {
    let code = bytes
        .strip_prefix(LEGACY)
        .ok_or_else(|| malformed("not PyTorch's older format"))?;
    let memory = memory(bytes.len());
    let code = little_endian(code, memory)?;
    let (views, code) = state_dict(code, memory)?;
    let (keys, mut rest) = texts(code, memory)?;
    let kinds: HashMap<&str, Kind> = views
        .iter()
        .map(|(_, view)| (&*view.storage.key, view.storage.kind))
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
        storages.insert(key, tensor_of(data, &[elements], kind)?);
        rest = after;
    }
    assemble(views.clone(), bytes.len(), |key, _| {
        storages
            .remove(key)
            .ok_or_else(|| CheckpointProblem::Malformed(format!("storage '{key}' is not in it")))
    })
}

/// Runs a pickle whose result must be a dictionary of tensors, or one that holds nothing but such a
/// dictionary (`{"params": {...}}`). Returns also what follows the pickle.
fn state_dict(code: &[u8], memory: usize) -> Problem<(Views, &[u8])> {
    let (result, mut machine) = Machine::run(code, memory)?;
    let Value::Dict(dict) = result else {
        return Err(refuse(format!(
            "{} in place of a dictionary of tensors",
            result.what()
        )));
    };
    let mut dict = machine.take_dict(dict);
    if let (true, None, &[(_, only)]) =
        (dict.tensors.is_empty(), &dict.other, dict.dicts.as_slice())
    {
        dict = machine.take_dict(only);
    }
    match (dict.other, dict.dicts.first()) {
        (Some((Some(name), what)), _) => Err(refuse(format!("{name}: {what}"))),
        (Some((None, what)), _) => Err(refuse(what)),
        (None, Some((name, _))) => Err(refuse(format!("{name}: a dictionary"))),
        (None, None) => Ok((dict.tensors, machine.rest())),
    }
}

/// Runs a pickle whose result must be a list of texts. Returns also what follows it.
fn texts(code: &[u8], memory: usize) -> Problem<(Vec<Rc<str>>, &[u8])> {
    let (result, mut machine) = Machine::run(code, memory)?;
    let Value::List(list) = result else {
        return Err(refuse(format!(
            "{} in place of a list of storages",
            result.what()
        )));
    };
    Ok((machine.take_list(list), machine.rest()))
}

/// Runs the older format's pickle of facts about the machine that wrote it. Returns what follows
/// it.
fn little_endian(code: &[u8], memory: usize) -> Problem<&[u8]> {
    let (_, machine) = Machine::run(code, memory)?;
    let rest = machine.rest();
    let facts = &code[..code.len() - rest.len()];
    let key = b"little_endian";
    let value = facts
        .windows(key.len())
        .position(|w| w == key)
        .and_then(|at| facts.get(at + key.len()..));
    // True (0x88) after the key, which may be remembered first.
    match value {
        Some([0x88, ..] | [b'q', _, 0x88, ..] | [0x94, 0x88, ..]) => Ok(rest),
        _ => Err(malformed("its numbers are big-endian")),
    }
}

/// Cuts tensors out of their storages, each of which is fetched once. `size` is the file's.
fn assemble(
    views: Views,
    size: usize,
    mut fetch: impl FnMut(&str, Kind) -> Problem<Tensor>,
) -> Problem<Tensors> {
    let mut left = size.saturating_mul(MAX_SHARING);
    check_count(views.len(), size)?;
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
            .ok_or_else(too_much)?;
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
    /// Bytes that may still be read: as many as the file has. `torch.save` never compresses, but
    /// entries can overlap.
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
