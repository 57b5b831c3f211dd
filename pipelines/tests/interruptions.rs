//! Kills and full disks at random moments: every output is the old one or the new one, whole, and one more run finishes the work.
//!
//! `REFVSR_TEST_KILLS` and `REFVSR_TEST_FULL_DISKS` say how many (a few by default; `tests/nightly.sh` takes 500 and 100).
//! `REFVSR_TEST_SEED` repeats a run.
#![allow(clippy::print_stdout, reason = "a run that failed has to be repeated")]

mod common;

use common::belongings::Snapshot;
use common::{Place, Said, command, frames, said};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Frames of each clip.
const FRAMES: usize = 3;

/// What is enlarged, and into what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Video,
    Pictures,
    /// Into a folder that the user made.
    UsersFolder,
    Videos,
    Folders,
}

const KINDS: [Kind; 5] = [
    Kind::Video,
    Kind::Pictures,
    Kind::UsersFolder,
    Kind::Videos,
    Kind::Folders,
];

impl Kind {
    fn single(self) -> bool {
        matches!(self, Self::Video | Self::Pictures | Self::UsersFolder)
    }

    /// How many of [`STEPS`] the work takes, at most.
    fn steps(self) -> u64 {
        match self {
            Self::Video => 5,
            Self::Pictures => 17,
            Self::UsersFolder => 20,
            Self::Videos => 26,
            Self::Folders => 40,
        }
    }

    fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::Video => &["a.mkv"],
            Self::Pictures | Self::UsersFolder => &["a"],
            Self::Videos => &["a.mkv", "b.mkv"],
            Self::Folders => &["a", "b"],
        }
    }
}

/// A file's bytes, or a folder's files with theirs.
type Content = BTreeMap<String, Vec<u8>>;

fn content(path: &Path) -> Option<Content> {
    if path.is_file() {
        return Some([(String::new(), std::fs::read(path).unwrap())].into());
    }
    let files = std::fs::read_dir(path).ok()?.map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(&path).unwrap_or_default())
    });
    Some(files.filter(|(name, _)| !name.starts_with('.')).collect())
}

/// Recordings, and what two models make of them.
struct Scene {
    place: Place,
    random: Random,
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        std::fs::create_dir(place.path("recs")).unwrap();
        for name in ["a_UW", "a_W", "b_UW", "b_W"] {
            place.film(&format!("recs/{name}.mkv"), FRAMES as u32);
        }
        Self {
            place,
            random: Random::from_environment(),
        }
    }

    /// Makes what there is to compare with, once. How long the work takes.
    fn prepare(&self, kind: Kind) -> Duration {
        let mut took = Duration::ZERO;
        for model in ["old", "new"] {
            let folder = format!("{model}-{kind:?}");
            if !self.place.path(&folder).exists() {
                self.users_folder(kind, &folder);
                let start = Instant::now();
                let done = said(self.command(kind, model, &folder).output().unwrap());
                assert_eq!(done.code, Some(0), "{done:?}");
                took = start.elapsed();
            }
        }
        took
    }

    fn users_folder(&self, kind: Kind, folder: &str) {
        if kind == Kind::UsersFolder {
            std::fs::create_dir_all(self.place.path(folder).join("a")).unwrap();
        }
    }

    /// The command that makes the outputs of a kind in a folder.
    fn command(&self, kind: Kind, model: &str, folder: &str) -> Command {
        let model = match model {
            "old" => self.place.model(),
            _ => self.place.other_model(),
        };
        let path = |name: &str| self.place.text(name);
        // What auto is depends on how busy the machine is, and pictures with it.
        let mut arguments = ["transcode", "--device", "cpu", "--overwrite"].to_vec();
        arguments.extend(["--set", "precision=fp32", "--model"]);
        let mut arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
        let output = match kind {
            _ if !kind.single() => path(folder),
            Kind::Video => path(folder) + "/a.mkv",
            _ => path(folder) + "/a/",
        };
        arguments.extend([model, "-o".into(), output]);
        arguments.extend(match kind.single() {
            true => vec![
                "-u".into(),
                path("recs/a_UW.mkv"),
                "-w".into(),
                path("recs/a_W.mkv"),
            ],
            false => {
                let pattern = "{clip}_{lens}.mkv".to_owned();
                vec!["--folder".into(), path("recs"), "--pattern".into(), pattern]
            }
        });
        if kind == Kind::Folders {
            arguments.extend(["--format".into(), "png".into()]);
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut command = command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Lays out a folder for a trial, with the older outputs where there are to be some.
    fn lay_out(&self, kind: Kind, older: bool, folder: &str) {
        _ = std::fs::remove_dir_all(self.place.path(folder));
        if older {
            let from = self.place.text(&format!("old-{kind:?}"));
            let copied = Command::new("cp")
                .args(["-a", &from, &self.place.text(folder)])
                .status();
            assert!(copied.unwrap().success());
        } else {
            std::fs::create_dir(self.place.path(folder)).unwrap();
            self.users_folder(kind, folder);
        }
    }

    /// That each output is the old one or the new one; at the end, the new one.
    fn check(&self, kind: Kind, older: bool, folder: &str, end: bool, about: &str) {
        for output in kind.outputs() {
            let read = |folder: &str| content(&self.place.path(folder).join(output));
            let (found, old, new) = (
                read(folder),
                read(&format!("old-{kind:?}")).filter(|_| older),
                read(&format!("new-{kind:?}")).unwrap(),
            );
            let mixed = |found: &Content| {
                let known = |(name, bytes): (&String, &Vec<u8>)| {
                    let old = old.as_ref().and_then(|old| old.get(name));
                    Some(bytes) == old || Some(bytes) == new.get(name)
                };
                found.iter().all(known)
            };
            let good = match &found {
                // Files of videos differ by the moment when they were made.
                Some(found) if output.ends_with(".mkv") => {
                    (!end && old.as_ref() == Some(found))
                        || frames(self.place.path(folder).join(output)).0.len() == FRAMES
                }
                Some(found) if end => *found == new,
                // Frames go into the user's own folder one by one.
                Some(found) if kind == Kind::UsersFolder => mixed(found),
                Some(found) => *found == new || old.as_ref() == Some(found),
                None => !end && !older,
            };
            assert!(
                good,
                "{about}: {output} is {:?}",
                found.map(|files| files.into_keys().collect::<Vec<_>>())
            );
        }
        let names = self.place.files(folder);
        let left = names.iter().any(|name| name.ends_with(".part"));
        assert!(!(end && left), "{about}: {names:?}");
    }
}

/// A stream of numbers that a seed decides (splitmix64).
struct Random(u64);

impl Random {
    fn from_environment() -> Self {
        let seed = std::env::var("REFVSR_TEST_SEED").map_or_else(
            |_| u64::from(std::process::id()),
            |seed| seed.parse().unwrap(),
        );
        println!("REFVSR_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn count(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |count| count.parse().unwrap())
}

/// System calls by which an output gets to its place.
const STEPS: &str = "mkdir,fsync,rename,renameat,renameat2,unlink,rmdir";

#[test]
fn killed_at_any_moment() {
    let mut scene = Scene::new();
    let strace = Command::new("strace").arg("-V").output().is_ok();
    let inputs = Snapshot::of(&scene.place.path("recs"));
    let mut usual = [Duration::ZERO; KINDS.len()];
    let mut phases = [0; 3];
    for n in 0..count("REFVSR_TEST_KILLS", 4) {
        let chosen = (scene.random.below(2) + n) as usize % KINDS.len();
        let kind = KINDS[chosen];
        usual[chosen] = usual[chosen].max(scene.prepare(kind));
        let older = scene.random.below(2) == 0;
        scene.lay_out(kind, older, "trial");
        let run = scene.command(kind, "new", "trial");
        let about;
        // Half of the kills come at a random moment, half at a random step of the few that take milliseconds.
        if strace && n % 2 == 0 {
            let step = 1 + scene.random.below(kind.steps());
            about = format!("{kind:?}, older outputs: {older}, step {step}");
            let killed = Command::new("strace")
                .args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e"])
                .arg(format!("inject={STEPS}:signal=SIGKILL:when={step}"))
                .arg(run.get_program())
                .args(run.get_args())
                .env("OMP_NUM_THREADS", "1")
                .stderr(Stdio::null())
                .status();
            phases[usize::from(killed.unwrap().success())] += 1;
        } else {
            let usual = usual[chosen].as_millis() as u64;
            let wait = scene.random.below(usual + 1);
            about = format!("{kind:?}, older outputs: {older}, after {wait} of {usual} ms");
            let mut run = run;
            let mut child = run.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            _ = child.kill();
            phases[if child.wait().unwrap().success() {
                1
            } else {
                2
            }] += 1;
        }
        scene.check(kind, older, "trial", false, &about);
        let again = said(scene.command(kind, "new", "trial").output().unwrap());
        assert_eq!(again.code, Some(0), "{about}: {again:?}");
        scene.check(kind, older, "trial", true, &about);
        inputs.check(&[]);
    }
    println!(
        "{} killed at a step, {} at a moment, {} too late",
        phases[0], phases[2], phases[1]
    );
}

#[test]
fn a_full_disk_at_any_moment() {
    let mut scene = Scene::new();
    for n in 0..count("REFVSR_TEST_FULL_DISKS", 2) {
        let kind = KINDS[(scene.random.below(2) + n) as usize % KINDS.len()];
        scene.prepare(kind);
        let older = scene.random.below(2) == 0;
        scene.lay_out(kind, older, "before");
        // Room for what is there and up to two more of it.
        let bytes = |folder: String| -> u64 {
            let output = Command::new("du")
                .args(["-sk", &scene.place.text(&folder)])
                .output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            text.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (least, new) = (bytes("before".into()) + 8, bytes(format!("new-{kind:?}")));
        let room = least + scene.random.below(new * 3 / 2 + 16);
        let about = format!("{kind:?}, older outputs: {older}, {room} kB");
        for folder in ["trial", "after", "end"] {
            _ = std::fs::remove_dir_all(scene.place.path(folder));
            std::fs::create_dir(scene.place.path(folder)).unwrap();
        }
        let [before, trial, after, end] =
            ["before", "trial", "after", "end"].map(|name| scene.place.text(name));
        let script = format!(
            "mount -t tmpfs -o size={room}k none {trial} && cp -a {before}/. {trial}/ || exit 77
             \"$@\"; code=$?; cp -a {trial}/. {after}/
             mount -o remount,size=64m {trial}; \"$@\" || exit 78; cp -a {trial}/. {end}/; exit $code"
        );
        let inner = scene.command(kind, "new", "trial");
        let output = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env("OMP_NUM_THREADS", "1")
            .output()
            .unwrap();
        let said: Said = said(output);
        if said.code == Some(77) || said.err.contains("unshare") {
            println!("no file system can be mounted here");
            return;
        }
        assert!(
            said.code == Some(0) || said.code == Some(75) && said.err.contains("the disk is full"),
            "{about}: {said:?}"
        );
        scene.check(kind, older, "after", false, &about);
        let left = scene.place.files("after");
        assert!(
            !left.iter().any(|name| name.ends_with(".part")),
            "{about}: {left:?}"
        );
        scene.check(kind, older, "end", true, &about);
    }
}
