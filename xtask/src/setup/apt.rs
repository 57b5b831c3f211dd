//! The Debian packages: asked for by name, installed when they are missing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::{Result, bail};

use super::wants::Wants;
use crate::run::{ask, command, run, shown};

/// What building needs. C++ builds torch-sys.
const BUILD_PACKAGES: [&str; 4] = [
    "g++",
    "pkg-config",
    "libgstreamer1.0-dev",
    "libgstreamer-plugins-base1.0-dev",
];

/// What runs that was built: elements that read, decode, scale, encode and write video. libav decodes what cameras
/// record, x264enc is in ugly, x265enc and the parsers are in bad.
const USE_PACKAGES: [&str; 6] = [
    "gstreamer1.0-tools",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "gstreamer1.0-libav",
];

/// pip fetches libtorch's wheel; a python of the user's own that has it does as well.
const PIP_PACKAGES: [&str; 2] = ["python3", "python3-pip"];

/// Training in several processes; its bindings are made from the MPI library's headers by libclang.
const MPI_PACKAGES: [&str; 3] = ["libopenmpi-dev", "openmpi-bin", "libclang-dev"];

/// What the tests use besides: meson, which installs the plugin, the browser in which they open the page that
/// `refvsr evaluate --report` writes, GStreamer's bindings for the Python app of docs/embedding.md, an RTSP server and
/// what sends to it, and the photos of the training script's short form.
const TEST_PACKAGES: [&str; 7] = [
    "meson",
    "chromium",
    "python3-gi",
    "gir1.2-gstreamer-1.0",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-rtsp",
    "lomiri-wallpapers-20.04",
];

/// The footage that `refvsr demo` takes its clip from.
const DEMO_PACKAGES: [&str; 1] = ["forensics-samples-files"];

/// What packaging/deb.sh uses.
const PACKAGE_PACKAGES: [&str; 2] = ["debhelper", "patchelf"];

/// What packaging/image.sh and packaging/test.sh use.
const IMAGE_PACKAGES: [&str; 3] = ["mmdebstrap", "umoci", "skopeo"];

/// The oldest GStreamer with the interfaces that the plugin uses.
const GSTREAMER_VERSION: &str = "1.22";

/// What pkg-config must know for building, on machines without dpkg.
const LIBRARIES: [&str; 4] = [
    "gstreamer-1.0",
    "gstreamer-base-1.0",
    "gstreamer-video-1.0",
    "gstreamer-app-1.0",
];

/// What it must know for the tests besides.
const TEST_LIBRARIES: [&str; 1] = ["gstreamer-check-1.0"];

/// The packages for what is wanted.
#[derive(Debug, PartialEq)]
struct Packages {
    /// Without these it cannot be done.
    needed: Vec<&'static str>,
    /// Without these it can be built, but not used.
    useful: Vec<&'static str>,
}

impl Packages {
    /// `pip`: whether that is lacking, and needed.
    fn of(wants: &Wants, pip: bool) -> Self {
        let mut needed = BUILD_PACKAGES.to_vec();
        let mut useful = Vec::new();
        match wants.demo || wants.tests {
            true => needed.extend(USE_PACKAGES),
            false => useful.extend(USE_PACKAGES),
        }
        for (wanted, packages) in [
            (pip, &PIP_PACKAGES[..]),
            (wants.demo, &DEMO_PACKAGES),
            (wants.mpi, &MPI_PACKAGES),
            (wants.tests, &TEST_PACKAGES),
            (wants.package, &PACKAGE_PACKAGES),
            (wants.image, &IMAGE_PACKAGES),
        ] {
            if wanted {
                needed.extend(packages);
            }
        }
        Self { needed, useful }
    }
}

/// Installs what is missing of the packages, with apt. Where that cannot be done, only needed ones are an error.
/// `fetches`: libtorch will be fetched with pip.
pub fn install(wants: &Wants, fetches: bool) -> Result<()> {
    let pip = fetches && ask(&mut command(&["python3", "-m", "pip", "--version"]))?.is_none();
    let Packages { needed, useful } = Packages::of(wants, pip);
    let Some(installed) = ask(&mut command(&[
        "dpkg-query",
        "--show",
        "--showformat",
        "${db:Status-Status} ${Package}\\n",
    ]))?
    else {
        return check_without_dpkg(wants, pip, &needed);
    };
    let lacking = missing(&needed, &installed);
    if lacking.is_empty() {
        eprintln!("packages: all {} already there", needed.len());
    } else {
        eprintln!(
            "packages: {} of {} missing: {}",
            lacking.len(),
            needed.len(),
            lacking.join(" ")
        );
        install_missing(&lacking)?;
    }
    let lacking = missing(&useful, &installed);
    if !lacking.is_empty() {
        eprintln!("packages: for using what is built: {}", lacking.join(" "));
        if let Err(error) = install_missing(&lacking) {
            eprintln!("packages: building goes on without them: {error:#}");
        }
    }
    check_gstreamer()
}

/// Those of `wanted` that dpkg's list, lines like `installed g++`, does not hold.
fn missing<'a>(wanted: &[&'a str], list: &str) -> Vec<&'a str> {
    let installed: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .collect();
    wanted
        .iter()
        .copied()
        .filter(|package| !installed.contains(package))
        .collect()
}

fn install_missing(missing: &[&str]) -> Result<()> {
    let install = [
        &["apt-get", "install", "--yes", "--no-install-recommends"],
        missing,
    ]
    .concat();
    let Some(prefix) = root_prefix()? else {
        bail!(
            "installing packages needs root, which this user is not and `sudo` does not give without a password. Missing: {}. \
             Have them installed, then run this again:\n    apt-get update && {}",
            missing.join(" "),
            shown(&command(&install))
        );
    };
    // apt says itself how much it fetches and how much disk it takes.
    run(&mut as_root(prefix, &["apt-get", "update"]))?;
    run(&mut as_root(prefix, &install))
}

/// The words that make a command run as root: none for root itself, sudo where it asks for no password, else None.
fn root_prefix() -> Result<Option<&'static [&'static str]>> {
    // The owner of /proc/self is the user this process acts as.
    if fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
        return Ok(Some(&["env"]));
    }
    Ok(ask(&mut command(&["sudo", "-n", "true"]))?.map(|_| &["sudo", "-n", "env"][..]))
}

/// The command without any questions in its way.
fn as_root(prefix: &[&str], words: &[&str]) -> Command {
    command(&[prefix, &["DEBIAN_FRONTEND=noninteractive"], words].concat())
}

/// No dpkg: nothing can be installed here, but what is needed can be looked for.
fn check_without_dpkg(wants: &Wants, pip: bool, needed: &[&str]) -> Result<()> {
    let mut absent = Vec::new();
    let uses = wants.demo || wants.tests;
    for (wanted, tool) in [
        (true, "g++"),
        (true, "pkg-config"),
        (uses, "gst-launch-1.0"),
        (wants.tests, "meson"),
    ] {
        if wanted && ask(&mut command(&[tool, "--version"]))?.is_none() {
            absent.push(tool.to_owned());
        }
    }
    if pip {
        absent.push("python3 -m pip".to_owned());
    }
    let tests: &[&str] = if wants.tests { &TEST_LIBRARIES } else { &[] };
    for library in LIBRARIES.iter().chain(tests) {
        if ask(&mut command(&["pkg-config", "--exists", library]))?.is_none() {
            absent.push(format!("{library} (development files)"));
        }
    }
    if !absent.is_empty() {
        bail!(
            "this is no Debian (dpkg-query was not found), so packages are not installed for you. Missing: {}. On Debian these come from: {}. \
             Install your system's counterparts, then run this again",
            absent.join(", "),
            needed.join(" ")
        );
    }
    eprintln!(
        "packages: this is no Debian; its own compiler and GStreamer are used (Debian's names: {})",
        needed.join(" ")
    );
    check_gstreamer()
}

fn check_gstreamer() -> Result<()> {
    if ask(&mut command(&[
        "pkg-config",
        "--atleast-version",
        GSTREAMER_VERSION,
        "gstreamer-1.0",
    ]))?
    .is_some()
    {
        return Ok(());
    }
    match ask(&mut command(&[
        "pkg-config",
        "--modversion",
        "gstreamer-1.0",
    ]))? {
        Some(version) => bail!(
            "found GStreamer {}, expected {GSTREAMER_VERSION} or newer (Debian 12 has it)",
            version.trim()
        ),
        None => bail!(
            "pkg-config does not find gstreamer-1.0; is PKG_CONFIG_PATH or PKG_CONFIG_LIBDIR set to folders without it?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn building_needs_no_package_of_the_tests() {
        let build = Packages::of(&Wants::default(), false);
        assert_eq!(build.needed, BUILD_PACKAGES);
        assert_eq!(build.useful, USE_PACKAGES);
        let test = Wants {
            tests: true,
            mpi: true,
            ..Wants::default()
        };
        let test = Packages::of(&test, true);
        assert!(test.useful.is_empty());
        for package in ["g++", "meson", "gstreamer1.0-libav", "python3-pip"] {
            assert!(test.needed.contains(&package), "{package}");
        }
    }

    #[test]
    fn only_installed_packages_count() {
        let list = "installed g++\nconfig-files pkg-config\nnot-installed python3\ninstalled libgstreamer1.0-dev\ninstalled g++-12\n";
        assert_eq!(
            missing(
                &[
                    "g++",
                    "pkg-config",
                    "python3",
                    "libgstreamer1.0-dev",
                    "g++-1"
                ],
                list
            ),
            ["pkg-config", "python3", "g++-1"]
        );
    }
}
