//! What is written as text: configs, manifests, names.

use super::inputs::{as_file, corpus, told};
use crate::{
    attack::{LIMITS, Limits, Target},
    manifest::{Job, Ledger},
    names,
    output::{Place, frame_pattern},
};
use refvsr_train::config::{Config, PRESETS};
use std::path::Path;

/// Configs of training runs.
pub const CONFIG: Target = Target {
    name: "config",
    seeds: || {
        let presets = PRESETS.iter().map(|(_, text)| text.as_bytes().to_vec());
        presets.chain(corpus("config")).collect()
    },
    words: &[
        " = ",
        "[data]\n",
        "[model]\n",
        "[references.camera]\n",
        "steps = ",
        "patch = ",
        "mid_channels = ",
        "frame_num = ",
        "9223372036854775807",
        "-1",
        "0",
        "nan",
        "inf",
        "1e400",
        "\"\"",
        "[[",
        "{",
        "'''",
        "0.01*PSNR + ",
        "\n",
    ],
    run: |input| told(Config::parse(&String::from_utf8_lossy(input), &[])),
    // A table of every key, with the text around each.
    limits: Limits {
        times: 64,
        ..LIMITS
    },
};

/// What is beside an output. A manifest says what may be replaced.
pub const MANIFEST: Target = Target {
    name: "manifest",
    seeds: || {
        let seed = r#"{"done":{"job":{"model":"m","options":["crf 20"],"inputs":[["u",1],["w",1]]},"output":"o","frames":3,"seconds":1.5,
            "damage":["a"],"written":{"files":{"":[3,"00"],"0000.png":[3,"00"]},"replaced":{"a":[1,""]},"made":true}}}"#;
        [corpus("manifest"), vec![seed.into()]].concat()
    },
    words: &[
        "\"done\":",
        "\"written\":{\"files\":{",
        "\"../../a\":[1,\"\"]",
        "\"/dev/zero\":[1,\"\"]",
        "18446744073709551616",
        "-1",
        "1e999",
        "null",
        "[",
        "{",
        "\\u0000",
        "\"",
    ],
    run: |input| {
        as_file("o.json", input, |path| {
            let folder = path.parent().unwrap_or(Path::new("."));
            let ledger = Ledger::of(folder, Path::new("o"));
            let manifests = folder.join(crate::output::MANIFESTS);
            let written = std::fs::create_dir_all(&manifests)
                .and_then(|()| std::fs::rename(path, manifests.join("o.json")));
            if let Err(error) = written {
                panic!("cannot write the manifest: {error}");
            }
            let place = match Place::find(&folder.join("o")) {
                Ok(place) => place,
                Err(error) => panic!("{error:#}"),
            };
            let job = Job::of([], "m", &[]);
            match ledger.done() {
                None => "none".to_owned(),
                Some(done) => format!(
                    "{} {} {}",
                    ledger.finished(&place, &job).is_some(),
                    done.job.differs_from(&job),
                    done.written.is_there(&folder.join("o"))
                ),
            }
        })
    },
    limits: LIMITS,
};

/// A pattern in the first line, names of recordings below.
pub const NAMES: Target = Target {
    name: "names",
    seeds: || {
        let seeds = [
            "{clip}_{lens}.mp4\nbeach_UW.mp4\nbe_ach_w.MP4",
            "{lens}-{clip}.mov\nTele-7.mov",
            "{clip}/{lens}.mov\na/wide.mov",
            "\u{130}{clip}{lens}\u{df}\n\u{130}aUW\u{df}",
        ];
        seeds
            .map(|seed| seed.as_bytes().to_vec())
            .into_iter()
            .chain(corpus("names"))
            .collect()
    },
    words: &[
        "{clip}",
        "{lens}",
        "{CLIP}",
        "{Lens}",
        "uw",
        "ultra-wide",
        "/",
        "%d",
        "%",
        "\n",
        "\u{130}",
        "\u{1f600}",
        ".mp4",
        "{",
        "}",
    ],
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let (pattern, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let read = rest.lines().filter_map(|name| {
            let (clip, lens) = names::read(pattern, name)?;
            assert!(
                name.contains(clip) && lens < 3,
                "a clip that is not in its name"
            );
            Some(lens)
        });
        let lenses: Vec<_> = read.collect();
        let folder = frame_pattern(Path::new(pattern));
        assert!(folder.to_string_lossy().ends_with("%04d.png"), "{folder:?}");
        ["", "one", "several"][lenses.len().min(2)].to_owned()
    },
    limits: LIMITS,
};
