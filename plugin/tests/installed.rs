//! The installed plugin works by itself.

mod common;
use common::*;
use std::{
    path::Path,
    process::{Command, Output},
};

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (Debian: meson)"));
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{all}");
    output
}

/// Installs with meson under a DESTDIR, takes the prefix elsewhere, and uses the plugin from there. The
/// libraries must be found there too, although those it was built with still exist.
#[test]
fn meson_installs_a_plugin_that_needs_nothing_of_the_checkout() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // target/debug/deps/installed-...: what was built for this test is used again.
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    run(Command::new("meson")
        .args([
            "setup",
            "--prefix=/usr",
            "--libdir=lib",
            "-Dcargo-profile=dev",
        ])
        .arg(format!("-Dtarget-dir={}", target.display()))
        .args([path("build").as_path(), checkout]));
    run(Command::new("meson")
        .arg("compile")
        .arg("-C")
        .arg(path("build")));
    run(Command::new("meson")
        .args(["install", "-C"])
        .arg(path("build"))
        .env("DESTDIR", path("destdir")));
    std::fs::rename(path("destdir").join("usr"), path("moved")).unwrap();

    let plugin = path("moved").join("lib/gstreamer-1.0/libgstrefvsr.so");
    let libraries = text(
        &run(Command::new("ldd")
            .arg(&plugin)
            .env_remove("LD_LIBRARY_PATH"))
        .stdout,
    );
    for name in ["libtorch_cpu.so", "libc10.so"] {
        let line = libraries
            .lines()
            .find(|line| line.contains(&format!("{name} =>")));
        let found = line.unwrap_or_else(|| panic!("no {name} in\n{libraries}"));
        assert!(
            found.contains("/moved/lib/gstreamer-1.0/../refvsr/"),
            "{found}"
        );
    }
    let inspected = run(Command::new("gst-inspect-1.0")
        .arg("refvsr")
        .env_remove("LD_LIBRARY_PATH")
        .env("GST_PLUGIN_PATH", plugin.parent().unwrap())
        .env("GST_REGISTRY", path("registry.bin")));
    assert!(text(&inspected.stdout).contains("lookahead"));
    assert!(path("moved/lib/pkgconfig/gstrefvsr.pc").exists());
    assert!(path("moved/share/gstreamer-1.0/presets/GstRefVsr.prs").exists());
    assert!(
        !path("moved/share/refvsr").exists(),
        "the model is part of the plugin"
    );
}
