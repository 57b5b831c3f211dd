//! Compiles the C++ kernels (src/native) and lets this package's own tests, examples and benches find
//! libtorch at run time.
//!
//! tch's link arguments do not reach the packages that depend on it, so every package that links a
//! binary sets the search path itself. `DEP_TCH_LIBTORCH_LIB` comes from torch-sys.

use std::path::{Path, PathBuf};

fn main() {
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
