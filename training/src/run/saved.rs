//! Saved states: one safetensors file that is either the old one or the new one, whatever happens while it is written.

use crate::{config::Config, precision::LossScale};
use anyhow::{Context, Result, ensure};
use refvsr::checkpoint::{Tensors, read_tensors};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
};
use tch::{Device, Kind};

/// The metadata key that says how far the work is, and the version of its form.
const KEY: &str = "refvsr-train";
const FORMAT: u32 = 1;

/// What the metadata holds.
#[derive(Serialize, Deserialize)]
struct Versioned<P> {
    format: u32,
    #[serde(flatten)]
    progress: P,
}

/// How far a run has come: all its state besides tensors. There is no other randomness to keep: fresh weights and patches are functions of the
/// config's seed, and of `patches`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps made.
    pub steps: u64,
    /// Of these, the ones that moved the weights.
    pub updates: u64,
    /// Clip patches used up: where the data go on.
    pub patches: u64,
    /// The processes that shared them.
    #[serde(default = "one")]
    pub processes: u64,
    /// The scale of the loss, in fp16.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// The best validation so far, in dB.
    pub best_psnr: Option<f64>,
    /// Steps at the latest validation.
    pub validated_at: u64,
    /// What stands for the data set; another one is refused.
    pub data: u64,
    /// What stands for the contents of the files of `[start]`; others are refused. Older states lack it.
    #[serde(default)]
    pub start: Option<u64>,
    /// The config of the run.
    pub config: Config,
}

fn one() -> u64 {
    1
}

impl Progress {
    /// Nothing done yet, by so many processes.
    pub fn new(config: &Config, data: u64, start: u64, processes: u64) -> Self {
        Self {
            steps: 0,
            updates: 0,
            patches: 0,
            processes,
            loss_scale: None,
            best_psnr: None,
            validated_at: 0,
            data,
            start: Some(start),
            config: config.clone(),
        }
    }
}

/// Saves the state of a piece of work: tensors, and how far it is.
///
/// # Errors
/// Where the file cannot be written; the one that was there stays.
pub fn save(path: &Path, tensors: &Tensors, progress: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(&Versioned {
        format: FORMAT,
        progress,
    })?;
    write_tensors(path, tensors, &[(KEY, text)])
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// Where the file cannot be read or is none of ours; names it.
pub fn load<P: DeserializeOwned>(path: &Path) -> Result<(Tensors, P)> {
    let load = || -> Result<_> {
        let tensors = read_tensors(path)?;
        let bytes = fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let text = header
            .metadata()
            .as_ref()
            .and_then(|m| m.get(KEY))
            .context("it is a model, not a saved state")?;
        let Versioned { format, progress } = serde_json::from_str(text)?;
        ensure!(
            format == FORMAT,
            "its format is {format}, this version reads {FORMAT}"
        );
        Ok((tensors, progress))
    };
    load().with_context(|| format!("saved state {}", path.display()))
}

/// Writes tensors as fp32 safetensors with notes as metadata, by [`write_whole`].
///
/// # Errors
/// Where the file cannot be written; the one that was there stays.
pub fn write_tensors(path: &Path, tensors: &Tensors, notes: &[(&str, String)]) -> Result<()> {
    let mut data = vec![];
    for (name, tensor) in tensors {
        let tensor = tensor
            .f_to_device(Device::Cpu)?
            .f_to_kind(Kind::Float)?
            .f_contiguous()?;
        let mut bytes = vec![0; tensor.numel() * Kind::Float.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        let shape = tensor
            .size()
            .into_iter()
            .map(usize::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        data.push((name, shape, bytes));
    }
    let views = data
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>>>()?;
    let notes = notes
        .iter()
        .map(|(key, text)| ((*key).to_owned(), text.clone()))
        .collect::<HashMap<_, _>>();
    write_whole(path, &safetensors::serialize(views, Some(notes))?)
}

/// Writes a file that appears whole or not at all, even if the machine stops: under a temporary name, flushed to the disk, then renamed.
///
/// # Errors
/// Where it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let readable = Permissions::from_mode(0o666); // but for what the umask takes away
        let mut file = tempfile::Builder::new()
            .prefix(".part-")
            .permissions(readable)
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()?; // the new name, too
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}
