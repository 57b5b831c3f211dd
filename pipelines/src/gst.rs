//! Running `gst-launch-1.0`, and saying in one message what is missing or what went wrong.

use crate::output::scratch;
use crate::stop::Stop;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const LAUNCH: &str = "gst-launch-1.0";
const INSPECT: &str = "gst-inspect-1.0";

/// A GStreamer element and the Debian package that holds it.
pub type Needed = (&'static str, &'static str);

/// Fails where the GStreamer tools or one of the elements is missing, naming the packages to install.
pub fn check(needed: &[Needed]) -> Result<()> {
    let mut packages = Vec::new();
    let mut missing = Vec::new();
    for (element, package) in needed {
        if !exists(element, None)? {
            missing.push(*element);
            if !packages.contains(package) {
                packages.push(*package);
            }
        }
    }
    ensure!(
        missing.is_empty(),
        "GStreamer lacks the element{} {}; on Debian: apt-get install {}",
        if missing.len() == 1 { "" } else { "s" },
        missing.join(", "),
        packages.join(" ")
    );
    Ok(())
}

/// The value of `GST_PLUGIN_PATH` with which GStreamer finds the element `refvsr`: the one set now, else the folder of this very command,
/// where cargo puts the plugin; nothing where the element is installed.
pub fn find_refvsr() -> Result<Option<OsString>> {
    let set = std::env::var_os("GST_PLUGIN_PATH").filter(|value| !value.is_empty());
    if exists("refvsr", None)? {
        return Ok(set.map(|value| shortened(&value)));
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.to_owned()));
    let Some(folder) = beside.filter(|folder| folder.join("libgstrefvsr.so").is_file()) else {
        bail!(crate::element::NOT_FOUND)
    };
    let mut value = folder.clone().into_os_string();
    if let Some(set) = set {
        value.push(":");
        value.push(set);
    }
    let value = shortened(&value);
    ensure!(
        exists("refvsr", Some(&value))?,
        "GStreamer cannot load {}; GST_DEBUG=GST_PLUGIN_LOADING:4 GST_PLUGIN_PATH={} {INSPECT} refvsr says why",
        folder.join("libgstrefvsr.so").display(),
        quoted(&value.to_string_lossy())
    );
    Ok(Some(value))
}

/// The folders of a search path, each relative to the current folder where it lies in it.
fn shortened(path: &OsStr) -> OsString {
    let here = std::env::current_dir().unwrap_or_default();
    let short = |folder: PathBuf| match folder.strip_prefix(&here) {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.to_owned(),
        _ => folder,
    };
    std::env::join_paths(std::env::split_paths(path).map(short)).unwrap_or_else(|_| path.to_owned())
}

fn exists(element: &str, plugin_path: Option<&OsStr>) -> Result<bool> {
    let status = with_plugin_path(INSPECT, plugin_path)
        // Without a version it would ask for one not below GStreamer's own, which only GStreamer's own plugins have.
        .args(["--exists", "--atleast-version=0.0", element])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| {
            format!("cannot run {INSPECT}; on Debian: apt-get install gstreamer1.0-tools")
        })?;
    Ok(status.success())
}

fn with_plugin_path(program: &str, plugin_path: Option<&OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some(value) = plugin_path {
        command.env("GST_PLUGIN_PATH", value);
    }
    command
}

/// How pipelines are run.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The file that the command and all that it says go to.
    pub log: &'a Path,
    /// Ends it early.
    pub stop: &'a Stop,
}

/// A pipeline for `gst-launch-1.0`: lines of words.
#[derive(Debug, Default)]
pub struct Pipeline {
    lines: Vec<Vec<String>>,
    plugin_path: Option<OsString>,
}

impl Pipeline {
    /// An empty pipeline, run with `plugin_path` as `GST_PLUGIN_PATH`.
    pub fn new(plugin_path: Option<OsString>) -> Self {
        Self {
            lines: Vec::new(),
            plugin_path,
        }
    }

    /// Adds a line of it. Words are split at spaces; each `{}` stands for the next of `values`, which may hold spaces.
    pub fn line(mut self, words: &str, values: &[&str]) -> Self {
        let mut values = values.iter();
        let fill = |word: &str| {
            let mut parts = word.split("{}");
            let mut filled = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                filled += values.next().unwrap_or(&"");
                filled += part;
            }
            filled
        };
        self.lines
            .push(words.split_whitespace().map(fill).collect());
        self
    }

    /// The command line to copy to a shell, as many lines as it was made of.
    pub fn command_line(&self) -> String {
        let plugin_path = self
            .plugin_path
            .as_ref()
            .map(|p| format!("GST_PLUGIN_PATH={} ", quoted(&p.to_string_lossy())));
        let mut line = format!("{}{LAUNCH} -e", plugin_path.unwrap_or_default());
        for words in &self.lines {
            line += " \\\n  ";
            line += &words
                .iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" ");
        }
        line
    }

    /// Runs it to its end; `poll` is called several times a second meanwhile.
    pub fn run(&self, Launch { log, stop }: Launch, mut poll: impl FnMut()) -> Result<()> {
        let mut out = scratch(log)?;
        writeln!(out, "{}", self.command_line())
            .with_context(|| format!("cannot write {}", log.display()))?;
        let err = out
            .try_clone()
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = with_plugin_path(LAUNCH, self.plugin_path.as_deref())
            .arg("-e")
            .args(self.lines.iter().flatten())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| {
                format!("cannot run {LAUNCH}; on Debian: apt-get install gstreamer1.0-tools")
            })?;
        let status = loop {
            if let Some(status) = child
                .try_wait()
                .with_context(|| format!("cannot wait for {LAUNCH}"))?
            {
                break status;
            }
            if stop.asked() {
                _ = child.kill();
                _ = child.wait();
                stop.check()?;
            }
            poll();
            std::thread::sleep(Duration::from_millis(50));
        };
        stop.check()?;
        poll();
        if !status.success() {
            let said = std::fs::read(log)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default();
            bail!(
                "{LAUNCH} failed ({status}):\n{}\nIt ran:\n{}\nAll it said is in {}",
                complaint(&said),
                self.command_line(),
                log.display()
            );
        }
        Ok(())
    }
}

/// What went wrong, out of all that `gst-launch-1.0` said: its errors and what follows each, else its last lines.
fn complaint(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let mut kept = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        if line.starts_with("ERROR:") || line.contains("erroneous pipeline") {
            kept.push(*line);
            if lines
                .get(n + 1)
                .is_some_and(|next| next.starts_with("Additional debug info"))
            {
                kept.extend(lines.get(n + 2));
            }
        }
    }
    if kept.is_empty() {
        kept = lines[lines.len().saturating_sub(8)..].to_vec();
    }
    kept.dedup();
    kept.iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!_-./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_can_be_pasted() {
        let pipeline = Pipeline::new(Some("a b".into()))
            .line("filesrc location={} ! caps,w={},h={}", &["it's", "1", "2"])
            .line("tee name=t", &[]);
        assert_eq!(
            pipeline.command_line(),
            "GST_PLUGIN_PATH='a b' gst-launch-1.0 -e \\\n  filesrc 'location=it'\\''s' ! caps,w=1,h=2 \\\n  tee name=t"
        );
    }

    #[test]
    fn search_paths_are_short_where_they_can_be() {
        let here = std::env::current_dir().unwrap();
        let path =
            std::env::join_paths([here.join("target/debug"), "/elsewhere".into(), here]).unwrap();
        let short = shortened(&path).into_string().unwrap();
        assert!(short.starts_with("target/debug:/elsewhere:/"), "{short}");
    }

    #[test]
    fn errors_are_picked_out() {
        let said = "Setting pipeline to PAUSED ...\nERROR: from element /x: No such file.\nAdditional debug info:\n../x.c(1): open:\n\
                    ERROR: pipeline doesn't want to preroll.\nFreeing pipeline ...\n";
        assert_eq!(
            complaint(said),
            "  ERROR: from element /x: No such file.\n  ../x.c(1): open:\n  ERROR: pipeline doesn't want to preroll."
        );
        assert_eq!(complaint("a\nb\n"), "  a\n  b");
    }

    #[test]
    fn missing_elements_name_their_package() {
        if Command::new(INSPECT).arg("--version").output().is_err() {
            return;
        }
        let message = check(&[("nosuchelement", "gstreamer1.0-nowhere")])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("nosuchelement")
                && message.contains("apt-get install gstreamer1.0-nowhere"),
            "{message}"
        );
    }
}
