//! Bindings of the C++ kernels beside this file: what libtorch has no fast form of on a CPU.

pub mod blur;
pub mod cuda;
pub mod direct;
mod joined;
pub mod matching;
pub mod memory;
pub mod sample;
pub mod trace;
pub mod winograd;

use crate::{Error, Result};
use std::ffi::{CStr, c_char, c_int};

/// Where the numbers of a tensor lie that is fp32 and on the CPU.
fn data(x: &tch::Tensor) -> *const f32 {
    x.data_ptr().cast::<f32>().cast_const()
}

/// The variable that names a lesser set of instructions than the processor's best.
const SET: &str = "REFVSR_CPU";

unsafe extern "C" {
    fn refvsr_cpu_sets() -> *const c_char;
    fn refvsr_cpu_is_known() -> c_int;
}

/// Looks whether `REFVSR_CPU`, where it is set, names a set of instructions that there are kernels for.
///
/// # Errors
/// [`Error::Parse`] with its value and the names there are.
pub fn check_set() -> Result<()> {
    // SAFETY: it takes nothing and reads a variable of the environment.
    if unsafe { refvsr_cpu_is_known() } != 0 {
        return Ok(());
    }
    // SAFETY: it takes nothing and gives a text that is part of the program.
    let sets = unsafe { CStr::from_ptr(refvsr_cpu_sets()) };
    let value = std::env::var_os(SET).unwrap_or_default();
    Err(Error::Parse {
        what: SET,
        value: value.to_string_lossy().into_owned(),
        allowed: sets.to_str().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::SET;
    use crate::{ModelConfig, Network};
    use std::{path::Path, process::Command};

    #[test]
    fn an_unknown_set_of_instructions_is_refused_by_name() {
        const INNER: &str = "native::tests::an_unknown_set_of_instructions_is_refused_by_name";
        let small = ModelConfig {
            mid_channels: 4,
            num_blocks: 1,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let made = Network::new(small, tch::Device::Cpu);
        match std::env::var(SET).as_deref() {
            Ok("avx521") => {
                let text = made.unwrap_err().to_string();
                assert!(
                    text.starts_with("REFVSR_CPU 'avx521' is not one of baseline, avx2, avx512"),
                    "{text}"
                );
            }
            Ok(_) => drop(made.unwrap()),
            Err(_) => {
                made.unwrap();
                for set in ["avx521", ""] {
                    let test = Command::new(std::env::current_exe().unwrap())
                        .args(["--exact", INNER])
                        .env(SET, set)
                        .output()
                        .unwrap();
                    let text = String::from_utf8_lossy(&test.stdout);
                    let passed = test.status.success() && text.contains("1 passed");
                    assert!(passed, "'{set}': {text}");
                }
            }
        }
    }

    /// Compilers believe that a number is read as what it was written as. GCC tells where that may be untrue.
    #[test]
    fn no_kernel_reads_numbers_through_pointers_of_another_type() {
        if std::env::var_os(SET).is_some() {
            return; // its sources are the same for all sets
        }
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/native");
        let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
        let x86: &[&str] = &["-DWIDE", "-mavx512f", "-mavx512vl", "-mavx512dq", "-mfma"];
        let bf16 = [x86, &["-mavx512bf16"]].concat();
        let sets: &[&[&str]] = if cfg!(target_arch = "x86_64") {
            &[&[], x86, &bf16]
        } else {
            &[&[]]
        };
        for (file, flags) in sets
            .iter()
            .map(|flags| ("kernels.cpp", *flags))
            .chain([("parallel.cpp", &["-fopenmp"][..])])
        {
            let told = Command::new(&compiler)
                .args(["-std=gnu++17", "-O3", "-fsyntax-only", "-Wno-psabi"])
                .args(["-Wstrict-aliasing=1", "-Werror", "-DSET=kernels_checked"])
                .args(flags)
                .arg(sources.join(file))
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&told.stderr);
            assert!(told.status.success(), "{file} {flags:?}: {text}");
        }
    }

    /// An exception that leaves C++ for Rust ends the process.
    #[test]
    fn every_entry_to_cpp_says_that_nothing_is_thrown_out_of_it() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/native");
        let mut entries = 0;
        for file in std::fs::read_dir(sources).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "cpp") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for entry in text.split("extern \"C\" ").skip(1) {
                let head = entry.split('{').next().unwrap();
                assert!(head.contains("noexcept"), "{}: {head}", path.display());
                entries += 1;
            }
        }
        assert!(entries >= 17, "{entries}");
    }

    #[test]
    fn every_set_of_instructions_passes_the_kernels_tests() {
        if std::env::var_os(SET).is_some() {
            return; // one of those started below
        }
        // A set that the processor lacks is replaced by the best that it has.
        for set in ["baseline", "avx2", "wide", "avx512"] {
            let tests = Command::new(std::env::current_exe().unwrap())
                .args(["native::", "net::conv::", "net::matching::"])
                .env(SET, set)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&tests.stdout);
            assert!(tests.status.success(), "{set}: {text}");
            assert!(text.contains("native::winograd"), "{text}");
        }
    }
}
