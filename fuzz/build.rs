//! Lets this package's own tests, examples and benches find libtorch at run time.
//!
//! tch's link arguments do not reach the packages that depend on it, so every package that links a binary sets the
//! search path itself. `DEP_TCH_LIBTORCH_LIB` comes from torch-sys.

fn main() {
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
