//! libtorch in `.deps/libtorch`, from the wheels of PyTorch and of NVIDIA's libraries.
//!
//! Everything is unpacked into `.deps/libtorch.part`, which takes its final name as the very last step: a folder of
//! that name is always whole. Its `build-version` (a file that libtorch's own archives have and torch-sys checks) says
//! what it is: `2.11.0+cpu` or `2.11.0+cuda`.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::wheel::Wheel;
use super::{pins, pip, wants::Flavour};
use crate::project::{Libtorch, Project, TORCH_VERSION, python_torch};

/// What libtorch_cpu.so of the CUDA build links against beside libtorch itself: the wheel, and its library.
const CPU_NEEDS: [(&str, &str); 2] = [
    ("nvidia-cuda-runtime", "libcudart.so"),
    ("nvidia-cuda-cupti", "libcupti.so"),
];

/// The libraries of the torch wheel that the CPU needs, by the start of their names.
const CPU_LIBRARIES: [&str; 6] = [
    "libc10.so",
    "libgomp",
    "libshm.so",
    "libtorch.so",
    "libtorch_cpu.so",
    "libtorch_global_deps.so",
];

/// The python module, and links to a python that is not there.
const NOT_OURS: [&str; 1] = ["libtorch_python.so"];

pub fn install(project: &Project, wanted: Option<Flavour>) -> Result<()> {
    match project.libtorch() {
        Libtorch::Named(folder) => check_named(&folder),
        Libtorch::Python => check_python(),
        Libtorch::Project(folder) => install_own(project, &folder, wanted),
    }
}

/// True when [`install`] would fetch libtorch, for which pip is needed.
pub fn is_fetched(project: &Project, wanted: Option<Flavour>) -> bool {
    match project.libtorch() {
        Libtorch::Named(_) | Libtorch::Python => false,
        Libtorch::Project(folder) => !serves(&folder, wanted),
    }
}

/// True when the folder holds the right version, and no smaller one than asked for.
fn serves(folder: &Path, wanted: Option<Flavour>) -> bool {
    build_version(folder).is_some_and(|version| {
        is_right(&version) && !(wanted == Some(Flavour::Cuda) && version == stamp(Flavour::Cpu))
    })
}

/// The user's own folder is only looked at.
fn check_named(folder: &Path) -> Result<()> {
    let library = folder.join("lib/libtorch_cpu.so");
    if !library.is_file() {
        bail!(
            "LIBTORCH is set to {}, but there is no {}; expected a libtorch {TORCH_VERSION}. Correct it, or unset it to have one fetched",
            folder.display(),
            library.display()
        );
    }
    let version = build_version(folder);
    if let Some(version) = version.as_deref().filter(|version| !is_right(version)) {
        bail!(
            "LIBTORCH is set to {}, which is libtorch {version}; expected {TORCH_VERSION}. Correct it, or unset it to have one fetched",
            folder.display()
        );
    }
    eprintln!(
        "libtorch: your own is used, LIBTORCH={} ({})",
        folder.display(),
        version.as_deref().unwrap_or("it does not say its version")
    );
    Ok(())
}

fn check_python() -> Result<()> {
    let (version, lib) = python_torch()?;
    if !is_right(&version) {
        bail!(
            "LIBTORCH_USE_PYTORCH is set, and python's torch is {version}; expected {TORCH_VERSION}. Install that, or unset the variable"
        );
    }
    eprintln!(
        "libtorch: python's own is used (LIBTORCH_USE_PYTORCH), {version} in {}",
        lib.display()
    );
    Ok(())
}

fn install_own(project: &Project, folder: &Path, wanted: Option<Flavour>) -> Result<()> {
    if already_there(folder, wanted)? {
        return Ok(());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "setup fetches libtorch for x86-64 Linux only, and this is {} {}; set LIBTORCH to a libtorch {TORCH_VERSION} of your own",
            std::env::consts::ARCH,
            std::env::consts::OS
        );
    }
    let deps = project.deps();
    fs::create_dir_all(&deps).with_context(|| format!("cannot make {}", deps.display()))?;
    let _lock = lock(&deps.join("lock"))?;
    if already_there(folder, wanted)? {
        return Ok(()); // by the run that was waited for
    }
    let flavour = wanted.unwrap_or(if has_driver() {
        Flavour::Cuda
    } else {
        Flavour::Cpu
    });
    match flavour {
        Flavour::Cpu => eprintln!(
            "libtorch: fetching the CPU part of {TORCH_VERSION}: 0.5 GB over the network, 0.5 GB on disk"
        ),
        Flavour::Cuda => {
            eprintln!(
                "libtorch: fetching {TORCH_VERSION} with NVIDIA's libraries: 2.5 GB over the network, 3.8 GB on disk"
            )
        }
    }
    let downloads = deps.join("download");
    let part = deps.join("libtorch.part");
    for remains in [&downloads, &part] {
        remove(remains)?;
    }
    fetch(flavour, &downloads, &part)?;
    remove(&downloads)?;
    put_in_place(&part, folder)?;
    eprintln!("libtorch: {} is in {}", stamp(flavour), folder.display());
    Ok(())
}

/// True when the folder serves; says so. False when there is none of this version, or a smaller one than asked for.
fn already_there(folder: &Path, wanted: Option<Flavour>) -> Result<bool> {
    let Some(version) = build_version(folder) else {
        if folder.join("lib/libtorch_cpu.so").exists() {
            bail!(
                "{} holds a libtorch that does not say its version. If it is {TORCH_VERSION}, write that into its file `build-version`; \
                 if not, remove the folder to have the right one fetched",
                folder.display()
            );
        }
        return Ok(false);
    };
    if !is_right(&version) {
        eprintln!("libtorch: {version} is there, {TORCH_VERSION} is needed now");
        return Ok(false);
    }
    if !serves(folder, wanted) {
        return Ok(false);
    }
    eprintln!("libtorch: {version} already there");
    if version == stamp(Flavour::Cpu) && wanted.is_none() && has_driver() {
        eprintln!(
            "libtorch: this machine has an NVIDIA driver; `cargo xtask setup --libtorch cuda` fetches what uses it"
        );
    }
    Ok(true)
}

fn build_version(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("build-version"))
        .ok()
        .map(|text| text.trim().to_owned())
}

/// `2.11.0`, `2.11.0+cpu`, `2.11.0+cu130`.
fn is_right(version: &str) -> bool {
    version.split('+').next() == Some(TORCH_VERSION)
}

fn stamp(flavour: Flavour) -> String {
    let flavour = match flavour {
        Flavour::Cpu => "cpu",
        Flavour::Cuda => "cuda",
    };
    format!("{TORCH_VERSION}+{flavour}")
}

fn has_driver() -> bool {
    ["/dev/nvidiactl", "/proc/driver/nvidia/version"]
        .iter()
        .any(|path| Path::new(path).exists())
}

/// One setup at a time: two terminals, or an editor beside one.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("libtorch: another setup is at work; waiting for it");
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    Ok(file)
}

/// Fetches everything, then unpacks it: what the network refuses is known before the long part.
fn fetch(flavour: Flavour, downloads: &Path, part: &Path) -> Result<()> {
    let torch = pins::of("torch").context("no wheel of torch is pinned")?;
    let torch = pip::download(&[torch], &downloads.join("torch"))?;
    let [torch] = &torch[..] else {
        bail!("expected one wheel of torch, found {}", torch.len())
    };
    let mut wheel = Wheel::open(torch)?;
    let required = nvidia_wheels(flavour, &wheel)?;
    let nvidia = match required.is_empty() {
        true => Vec::new(),
        false => pip::download(&required, &downloads.join("nvidia"))?,
    };

    let count = wheel.unpack(part, |name| torch_place(name, flavour))?;
    if !part.join("lib/libtorch_cpu.so").is_file() || !part.join("include/torch").is_dir() {
        bail!(
            "unpacked {count} files of {}, but libtorch_cpu.so or the headers are not among them",
            torch.display()
        );
    }
    drop(wheel);
    // Each wheel goes as soon as it is unpacked, to save disk.
    remove(torch)?;
    for wheel in nvidia {
        if Wheel::open(&wheel)?.unpack(part, |name| nvidia_place(name, flavour))? == 0 {
            bail!(
                "{} holds none of the libraries expected of it",
                wheel.display()
            );
        }
        remove(&wheel)?;
    }
    let path = part.join("build-version");
    fs::write(&path, stamp(flavour) + "\n")
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The NVIDIA wheels to fetch for a torch wheel. One for processors alone, which an index of the user's may offer
/// (`2.11.0+cpu`), links none of their libraries.
fn nvidia_wheels(flavour: Flavour, torch: &Wheel) -> Result<Vec<&'static str>> {
    let with_cuda = torch.holds("torch/lib/libtorch_cuda.so");
    match flavour {
        Flavour::Cuda if with_cuda => Ok(pins::nvidia()),
        Flavour::Cuda => bail!(
            "{} holds no CUDA part (libtorch_cuda.so), as PyPI's wheel does; is pip's index one of CPU wheels (PIP_INDEX_URL, \
             PIP_EXTRA_INDEX_URL, `python3 -m pip config list`)? Unset it, or take the CPU part: `cargo xtask setup --libtorch cpu`",
            torch.name()
        ),
        Flavour::Cpu if with_cuda => CPU_NEEDS
            .iter()
            .map(|(name, _)| {
                pins::of(name)
                    .with_context(|| format!("{name}, which libtorch_cpu.so links, is not pinned"))
            })
            .collect(),
        Flavour::Cpu => Ok(Vec::new()),
    }
}

/// Where a file of the torch wheel goes; None leaves it out.
fn torch_place(name: &str, flavour: Flavour) -> Option<PathBuf> {
    let inner = name.strip_prefix("torch/")?;
    if inner.starts_with("include/") {
        return Some(PathBuf::from(inner));
    }
    let file = inner.strip_prefix("lib/")?;
    let wanted = match flavour {
        Flavour::Cpu => CPU_LIBRARIES.iter().any(|start| file.starts_with(start)),
        Flavour::Cuda => file.contains(".so") && !NOT_OURS.contains(&file),
    };
    wanted.then(|| PathBuf::from(inner))
}

/// Every library of an NVIDIA wheel goes beside libtorch's: these look for each other in their own folder ($ORIGIN).
fn nvidia_place(name: &str, flavour: Flavour) -> Option<PathBuf> {
    let inner = name.strip_prefix("nvidia/")?;
    let file = inner.rsplit('/').next()?;
    let wanted = match flavour {
        Flavour::Cpu => CPU_NEEDS.iter().any(|(_, start)| file.starts_with(start)),
        Flavour::Cuda => inner.contains("/lib/") && file.contains(".so"),
    };
    wanted.then(|| Path::new("lib").join(file))
}

/// Gives the finished folder its name; what had it before goes.
fn put_in_place(part: &Path, folder: &Path) -> Result<()> {
    let old = folder.with_extension("old");
    remove(&old)?;
    if folder.symlink_metadata().is_ok() {
        fs::rename(folder, &old)
            .with_context(|| format!("cannot move {} away", folder.display()))?;
    }
    fs::rename(part, folder)
        .with_context(|| format!("cannot rename {} to {}", part.display(), folder.display()))?;
    remove(&old)
}

/// Removes a folder or a file, if there is any.
fn remove(path: &Path) -> Result<()> {
    let result = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    result.with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wheel that holds nothing but empty files of these names.
    fn wheel(names: &[&str]) -> Wheel {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
        }
        let file = tempfile::Builder::new().suffix(".whl").tempfile().unwrap();
        fs::write(file.path(), zip.finish().unwrap().into_inner()).unwrap();
        Wheel::open(file.path()).unwrap()
    }

    #[test]
    fn a_wheel_for_processors_needs_nothing_of_nvidias() {
        let both = wheel(&["torch/lib/libtorch_cpu.so", "torch/lib/libtorch_cuda.so"]);
        let cpu = wheel(&["torch/lib/libtorch_cpu.so"]);
        let needs = nvidia_wheels(Flavour::Cpu, &both).unwrap();
        assert!(needs.len() == 2 && needs[0].starts_with("nvidia-cuda-runtime==13.0.96 --hash="));
        assert!(nvidia_wheels(Flavour::Cpu, &cpu).unwrap().is_empty());
        let all = nvidia_wheels(Flavour::Cuda, &both).unwrap();
        assert!(needs.iter().all(|wheel| all.contains(wheel)) && all.len() > needs.len());
        let message = nvidia_wheels(Flavour::Cuda, &cpu).unwrap_err().to_string();
        assert!(message.contains("--libtorch cpu"), "{message}");
    }

    #[test]
    fn the_cpu_part_leaves_cuda_and_python_out() {
        let cpu = |name| torch_place(name, Flavour::Cpu).is_some();
        assert!(
            cpu("torch/lib/libtorch_cpu.so")
                && cpu("torch/lib/libgomp.so.1")
                && cpu("torch/include/ATen/Tensor.h")
        );
        assert!(
            !cpu("torch/lib/libtorch_cuda.so")
                && !cpu("torch/lib/libc10_cuda.so")
                && !cpu("torch/lib/libtorch_python.so")
        );
        assert!(!cpu("torch/nn/modules/conv.py") && !cpu("torchgen/lib/libc10.so"));
        let cuda = |name| torch_place(name, Flavour::Cuda).is_some();
        assert!(
            cuda("torch/lib/libtorch_cuda.so")
                && cuda("torch/lib/libtorch_cpu.so")
                && !cuda("torch/lib/libtorch_python.so")
        );
    }

    #[test]
    fn nvidias_libraries_lie_beside_libtorch() {
        let place =
            |name, flavour| nvidia_place(name, flavour).map(|path| path.display().to_string());
        assert_eq!(
            place("nvidia/cu13/lib/libcudart.so.13", Flavour::Cpu).as_deref(),
            Some("lib/libcudart.so.13")
        );
        assert_eq!(
            place("nvidia/cu13/lib/libcudart_static.a", Flavour::Cpu),
            None
        );
        assert_eq!(
            place("nvidia/cudnn/lib/libcudnn.so.9", Flavour::Cuda).as_deref(),
            Some("lib/libcudnn.so.9")
        );
        assert_eq!(place("nvidia/cu13/include/cuda.h", Flavour::Cuda), None);
    }

    #[test]
    fn versions_of_either_build_are_right() {
        assert!(is_right("2.11.0") && is_right("2.11.0+cpu") && is_right("2.11.0+cu130"));
        assert!(!is_right("2.11.1") && !is_right("2.1.0+cpu") && !is_right(""));
    }
}
