//! Compiles the C++ kernels (src/native), finds the bundled models (models/) and lets this package's own tests, examples and benches find
//! libtorch at run time.
//!
//! tch's link arguments do not reach the packages that depend on it, so every package that links a
//! binary sets the search path itself. `DEP_TCH_LIBTORCH_LIB` comes from torch-sys.

use std::path::{Path, PathBuf};

const MODELS: [(&str, &str); 2] = include!("src/bundled/files.rs");

fn main() {
    bundle();
    println!("cargo::rerun-if-changed=src/native");
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").ok();
    if let Some(lib) = &lib {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
    // One build a set of instructions; the processor's best is chosen at run time.
    let x86 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    kernel("baseline", &[]);
    kernel("avx2", if x86 { &["-mavx2", "-mfma"] } else { &[] });
    let avx512 = ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mfma", "-DWIDE"];
    kernel("avx512", if x86 { &avx512 } else { &[] });
    let bf16 = [&avx512[..], &["-mavx512bf16"]].concat();
    kernel("avx512_bf16", if x86 { &bf16 } else { &[] });
    let mut shared = native();
    shared.file("src/native/parallel.cpp").flag("-fopenmp");
    // For tests: the code for registers of sixteen floats, compiled to AVX2, where the compiler makes each
    // of two.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        kernel(
            "wide",
            if x86 {
                &["-mavx2", "-mfma", "-DWIDE"]
            } else {
                &["-DWIDE"]
            },
        );
        shared.define("HAS_WIDE", None);
    }
    shared.compile("refvsr_native");
    let mut torch = native();
    // Where libtorch's headers lie beside its libraries, as in the wheel, or where the user says.
    let beside = lib.as_deref().and_then(|lib| Path::new(lib).parent());
    let named = std::env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    for root in named.iter().map(PathBuf::as_path).chain(beside) {
        torch.include(root.join("include"));
    }
    torch
        .file("src/native/allocator.cpp")
        .file("src/native/cuda.cpp")
        .file("src/native/trace.cpp")
        .compile("refvsr_torch");
    // The OpenMP library that libtorch brings: both then share one pool of threads.
    println!("cargo::rustc-link-lib=gomp");
}

/// Writes which of the bundled models are there, for src/bundled.
fn bundle() {
    println!("cargo::rerun-if-changed=src/bundled/files.rs");
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).unwrap_or_default());
    let folder = variable("CARGO_MANIFEST_DIR").join("models");
    let contents = MODELS.map(|(_, file)| {
        let file = folder.join(file);
        if file.exists() {
            println!("cargo::rerun-if-changed={}", file.display());
            format!("Some(include_bytes!({file:?}).as_slice())")
        } else {
            // Watched, a file that is not there would have all of this done at every build.
            "None".to_owned()
        }
    });
    let list = format!("[{}]", contents.join(", "));
    std::fs::write(variable("OUT_DIR").join("bundled.rs"), list)
        .expect("the build's own folder can be written to");
}

fn native() -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("gnu++17")
        .opt_level(3)
        .warnings(false)
        .flag_if_supported("-Wno-psabi");
    build
}

fn kernel(name: &str, flags: &[&str]) {
    let mut build = native();
    build.file("src/native/kernels.cpp");
    build.define("SET", &*format!("kernels_{name}"));
    for flag in flags {
        build.flag(flag);
    }
    build.compile(&format!("refvsr_kernels_{name}"));
}
