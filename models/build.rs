//! Finds the bundled models: a checkout without their files builds, too.

use std::path::PathBuf;

const FILES: [(&str, &str); 3] = include!("files.rs");

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=files.rs");
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).unwrap_or_default());
    let contents = FILES.map(|(_, file)| {
        let file = variable("CARGO_MANIFEST_DIR").join(file);
        if file.exists() {
            println!("cargo::rerun-if-changed={}", file.display());
            format!("Some(include_bytes!({file:?}).as_slice())")
        } else {
            // Watched, a file that is not there would have this done at every build.
            "None".to_owned()
        }
    });
    std::fs::write(
        variable("OUT_DIR").join("contents.rs"),
        format!("[{}]", contents.join(", ")),
    )
    .expect("the build's own folder can be written to");
}
