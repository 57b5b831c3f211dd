//! The plugin's version and date, and where libtorch is found at run time: beside the installed
//! plugin, in `../refvsr`; else in the folder that `REFVSR_LIBTORCH` names at build time; else, where
//! that is not set, where the build found it.

fn main() {
    gst_plugin_version_helper::info();
    println!("cargo::rerun-if-env-changed=REFVSR_LIBTORCH");
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../refvsr");
    let named = std::env::var("REFVSR_LIBTORCH");
    if let Ok(lib) = named.or_else(|_| std::env::var("DEP_TCH_LIBTORCH_LIB"))
        && !lib.is_empty()
    {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
