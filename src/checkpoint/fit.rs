//! Whether a file's tensors are a network's weights. All that is wrong is told at once, before memory is taken.

use super::{
    Checkpoint,
    problem::{Problem, at, malformed},
    tensors::{CARRIER, Tensors, is_finite},
};
use crate::{
    Result,
    config::Variant,
    error::{CheckpointProblem, Mismatch},
    net::layers::variables::Shapes,
};
use tch::{Kind, Tensor, nn::VarStore};

/// Missing names to which the nearest is looked for: as many as a message shows.
const LOOKED_FOR: usize = 5;
/// Names among which it is looked for, and their length: a file may have any number of any length.
const CANDIDATES: usize = 2000;
const LONGEST: usize = 128;
/// Names that are alike by less than this are unrelated.
const ALIKE: f64 = 0.7;

impl Checkpoint {
    /// Compares the tensors' names, shapes and types with those of the network that the config describes.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) with all that is missing, of another shape or of
    /// another type, and what the network has no use for.
    pub fn check_fits(&self, network: &Shapes) -> Result<()> {
        let mut found = Mismatch {
            network: self.network(),
            unused: unused(&self.tensors, |name| network.contains_key(name)),
            ..Mismatch::default()
        };
        for (name, shape) in network {
            let Some(tensor) = self.tensors.get(name) else {
                if !self.may_lack(name) {
                    found.missing.push((name.clone(), None));
                }
                continue;
            };
            if tensor.size() != *shape {
                let shapes = (name.clone(), tensor.size(), shape.clone());
                found.shapes.push(shapes);
            }
            if !is_floating(tensor) {
                let kind = format!("{:?}", tensor.kind());
                found.types.push((name.clone(), kind));
            }
        }
        if found.is_none() {
            return Ok(());
        }
        for (name, like) in found.missing.iter_mut().take(LOOKED_FOR) {
            *like = nearest(name, &found.unused);
        }
        let problem = CheckpointProblem::Mismatch(Box::new(found));
        Err(at(&self.path, problem))
    }

    /// Copies the weights to a network's variables, which were found to fit.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) with the names of all that are not finite.
    pub(crate) fn copy_to(&self, weights: &VarStore) -> Result<()> {
        let copy = || -> Problem<()> {
            let mut names = vec![];
            for (name, mut variable) in weights.variables() {
                let Some(tensor) = self.tensors.get(&name) else {
                    continue; // one that it may lack
                };
                let value = tensor.f_to_kind(Kind::Float).map_err(malformed)?;
                if !is_finite(&value)? {
                    names.push(name);
                    continue;
                }
                tch::no_grad(|| variable.f_copy_(&value)).map_err(malformed)?;
            }
            names.sort();
            match names.is_empty() {
                true => Ok(()),
                false => Err(CheckpointProblem::NotFinite { names }),
            }
        };
        copy().map_err(|problem| at(&self.path, problem))
    }

    /// Whether a tensor may be missing: BasicVSR's own file has nothing of a camera's fusion, and others
    /// carry no detail on. Such a part then stays as it starts, and adds nothing.
    pub fn may_lack(&self, name: &str) -> bool {
        let fusion = name.split_inclusive('.').next().unwrap_or(name);
        ["wide_fusion.", CARRIER, "tele_fusion."].contains(&fusion)
            && self.config.variant.registers()
            && !self.tensors.keys().any(|known| known.starts_with(fusion))
    }

    /// Names of tensors in the file that a network does not have. They do no harm, but tell of a file for something else.
    pub fn unused(&self, network: &crate::Network) -> Vec<String> {
        let known = network.weights().variables();
        unused(&self.tensors, |name| known.contains_key(name))
    }

    /// The network it describes, in words.
    fn network(&self) -> String {
        let family = match self.config.variant {
            Variant::RefVsr => "RefVSR",
            Variant::RefVsrIr => "RefVSR-IR",
            Variant::Registered => "a registered network",
            Variant::Live => "a live network",
        };
        let (channels, blocks) = (self.config.mid_channels, self.config.num_blocks);
        format!("{family} of {channels} channels and {blocks} blocks")
    }
}

fn unused(tensors: &Tensors, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    let names = tensors.keys();
    names.filter(|name| !is_known(name)).cloned().collect()
}

fn is_floating(tensor: &Tensor) -> bool {
    matches!(
        tensor.kind(),
        Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double
    )
}

/// Of some names the one that is most like this one, if any is.
fn nearest(name: &str, names: &[String]) -> Option<String> {
    let candidates = names.iter().take(CANDIDATES);
    candidates
        .filter(|other| other.len() <= LONGEST)
        .map(|other| (strsim::normalized_levenshtein(name, other), other))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other.clone())
}
