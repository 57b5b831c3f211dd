//! Patches, validation clips and the check of a data set, on small trees of real PNG files.

mod common;

use common::{clip, pixel};
use refvsr_train::data::{
    PatchOptions, Patches, Split,
    batch::{ClipPatch, Source},
    patches::Stage,
    png,
    tree::{Density, Lens, frame_name},
    validation_clips,
    verify::{Problem, ProblemKind, VerifyOptions, verify},
};
use std::{fs, path::Path};
use tch::{Kind, Tensor};
use tempfile::TempDir;

const PRETRAIN: Stage = Stage::Pretrain { scale: 4 };

fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    clip(folder.path(), "train", "a", 4, (192, 160));
    clip(folder.path(), "train", "b", 3, (160, 128));
    clip(folder.path(), "train", "short", 2, (160, 128));
    folder
}

fn options(root: &Path) -> PatchOptions {
    PatchOptions {
        root: root.to_owned(),
        split: Split::Train,
        stage: PRETRAIN,
        patch: 8,
        frames: 3,
        repeats: 0,
        places: 1,
        augment: true,
        seed: 5,
        workers: 2,
        ahead: 2,
        stride: 1,
    }
}

fn equal(a: &ClipPatch, b: &ClipPatch) -> bool {
    let pairs = [
        (&a.lr, &b.lr),
        (&a.wide, &b.wide),
        (&a.hr, &b.hr),
        (&a.loss_references, &b.loss_references),
    ];
    a.name == b.name
        && pairs
            .iter()
            .all(|(x, y)| x.size() == y.size() && x.equal(y))
}

fn stream(patches: &Patches, from: u64, n: usize) -> Vec<ClipPatch> {
    patches
        .start(from)
        .unwrap()
        .take(n)
        .map(Result::unwrap)
        .collect()
}

#[test]
fn the_stream_depends_on_seed_and_position_alone() {
    let folder = data();
    let one = stream(
        &Patches::open(PatchOptions {
            workers: 1,
            ..options(folder.path())
        })
        .unwrap(),
        0,
        11,
    );
    let patches = Patches::open(PatchOptions {
        workers: 3,
        ahead: 1,
        ..options(folder.path())
    })
    .unwrap();
    let three = stream(&patches, 0, 11);
    assert!(
        one.iter().zip(&three).all(|(a, b)| equal(a, b)),
        "independent of the number of workers"
    );
    let resumed = stream(&patches, 6, 5);
    assert!(
        one[6..].iter().zip(&resumed).all(|(a, b)| equal(a, b)),
        "can be started anywhere"
    );
    let two = |from| {
        stream(
            &Patches::open(PatchOptions {
                stride: 2,
                ..options(folder.path())
            })
            .unwrap(),
            from,
            5,
        )
    };
    assert!(
        two(0)
            .iter()
            .zip(two(1))
            .zip(one.chunks(2))
            .all(|((a, b), c)| equal(a, &c[0]) && equal(&b, &c[1])),
        "can be shared"
    );
    assert!(equal(&one[3], &patches.patch(3).unwrap()));
    let other = Patches::open(PatchOptions {
        seed: 6,
        ..options(folder.path())
    })
    .unwrap();
    assert!(!equal(&one[0], &other.patch(0).unwrap()));
    assert_ne!(other.fingerprint(), patches.fingerprint());
    assert_eq!(
        (patches.clips(), patches.skipped()),
        (2, ["short".to_owned()].as_slice())
    );
    // Every clip comes once before any comes again.
    assert!(
        one.chunks_exact(2)
            .all(|pair| pair[0].name[..2] != pair[1].name[..2])
    );
}

/// The x, y, and blue code of a patch's top left pixel.
fn corner(t: &Tensor, frame: i64) -> [i64; 3] {
    [0, 1, 2].map(|c| (t.double_value(&[frame, c, 0, 0]) * 255.0).round() as i64)
}

#[test]
fn patches_show_what_they_should() {
    let folder = data();
    let patches = Patches::open(PatchOptions {
        augment: false,
        ..options(folder.path())
    })
    .unwrap();
    for k in 0..20 {
        let p = patches.patch(k).unwrap();
        assert_eq!(p.lr.size(), [3, 3, 8, 8]);
        assert_eq!(p.wide.size(), [3, 3, 16, 16]);
        assert_eq!(p.hr.size(), [3, 3, 32, 32]);
        assert_eq!(p.loss_references.size(), [3, 3, 32, 32]);
        let (lr, wide, hr, loss) = (
            corner(&p.lr, 0),
            corner(&p.wide, 0),
            corner(&p.hr, 0),
            corner(&p.loss_references, 0),
        );
        let first = lr[2] - 20;
        assert!(
            p.name.contains(&format!("frames {first}..={}", first + 2)),
            "{}",
            p.name
        );
        assert!(
            p.name.ends_with(&format!("at {},{}", lr[0], lr[1])),
            "{}",
            p.name
        );
        assert_eq!(corner(&p.lr, 2)[2], 22 + first);
        assert_eq!(
            [wide[2], hr[2], loss[2]],
            [40 + first, 20 + first, 40 + first]
        );
        assert_eq!([hr[0], hr[1]], [4 * lr[0], 4 * lr[1]]);
        let size = if p.name.starts_with('a') {
            [48, 40]
        } else {
            [40, 32]
        };
        for axis in 0..2 {
            let d = wide[axis] - (2 * lr[axis] - size[axis] / 2);
            assert!(
                (0..=30).contains(&d) && wide[axis] + 16 <= size[axis],
                "{d}"
            );
            // The wide patch's own field, at half of HR/W's density.
            assert_eq!(loss[axis], 2 * wide[axis]);
        }
    }
}

#[test]
fn loss_references_are_the_wide_patch_at_the_truths_density() {
    let folder = data();
    let open = |stage| {
        Patches::open(PatchOptions {
            stage,
            augment: false,
            ..options(folder.path())
        })
        .unwrap()
    };
    // LRx2 is the input's own density at scale 2.
    let patches = open(Stage::Pretrain { scale: 2 });
    for k in 0..4 {
        let p = patches.patch(k).unwrap();
        assert!(p.loss_references.equal(&p.wide));
        assert_eq!(p.hr.size(), [3, 3, 16, 16]);
        assert_eq!(corner(&p.hr, 0)[0], 2 * corner(&p.lr, 0)[0]);
    }
    let patches = open(Stage::PretrainHd { scale: 4 });
    for k in 0..4 {
        let p = patches.patch(k).unwrap();
        assert!(p.hr.equal(&p.lr));
        assert_eq!(p.wide.size(), [3, 3, 16, 16]);
        assert_eq!(p.loss_references.size(), [3, 3, 32, 32]);
        let reduced = p
            .loss_references
            .avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
        // A gradient of one code a pixel stays one, but at the edge, which bicubic continues.
        let inside = |t: &Tensor| t.narrow(2, 2, 12).narrow(3, 2, 12);
        let off = (inside(&reduced) - inside(&p.wide)).abs().max();
        assert!(off.double_value(&[]) < 1e-4, "{off}");
        assert!(p.loss_references.min().double_value(&[]) >= 0.0);
    }
    let validation = Stage::PretrainHd { scale: 4 };
    let clips = validation_clips(folder.path(), Split::Train, validation).unwrap();
    let frame = clips[1].frame(0).unwrap();
    assert_eq!(frame.lr.size(), [1, 3, 128, 160]);
    assert!(frame.hr.equal(&frame.lr));
}

#[test]
fn clips_repeat_their_first_frame_and_go_on_past_their_last() {
    let folder = tempfile::tempdir().unwrap();
    clip(folder.path(), "train", "a", 5, (160, 128));
    let open = |repeats| {
        Patches::open(PatchOptions {
            frames: 6,
            repeats,
            augment: false,
            ..options(folder.path())
        })
    };
    // A window of five frames, two outputs: two frames of their own, two repeats, two to look at.
    let patches = open(2).unwrap();
    let mut seen = [false; 4];
    for k in 0..40 {
        let p = patches.patch(k).unwrap();
        let numbers: Vec<i64> = (0..6).map(|i| corner(&p.lr, i)[2] - 20).collect();
        let first = numbers[0];
        let expected: Vec<i64> = [0, 0, 0, 1, 2, 3].map(|d| (first + d).min(4)).to_vec();
        assert_eq!(numbers, expected);
        for (tensor, blue) in [(&p.wide, 40), (&p.hr, 20), (&p.loss_references, 40)] {
            let numbers: Vec<i64> = (0..6).map(|i| corner(tensor, i)[2] - blue).collect();
            assert_eq!(numbers, expected);
        }
        seen[first as usize] = true;
    }
    assert_eq!(seen, [true; 4], "training clips start everywhere");
    assert_ne!(patches.fingerprint(), open(1).unwrap().fingerprint());
    let text = format!("{:#}", open(0).unwrap_err());
    assert!(text.contains("5 frames; patches of 6 frames"), "{text}");
    assert!(open(3).is_err());
}

#[test]
fn adaptation_takes_clips_of_ones_own() {
    let folder = data();
    let own = tempfile::tempdir().unwrap();
    for lens in Lens::ALL {
        let from = folder.path().join("train/HR").join(lens.folder());
        std::os::unix::fs::symlink(from, own.path().join(lens.folder())).unwrap();
    }
    let adapt = |root| PatchOptions {
        stage: Stage::Adapt { scale: 4 },
        augment: false,
        ..options(root)
    };
    let patches = Patches::open(adapt(folder.path())).unwrap();
    let flat = Patches::open(adapt(own.path())).unwrap();
    for k in 0..4 {
        let p = patches.patch(k).unwrap();
        assert!(equal(&p, &flat.patch(k).unwrap()));
        assert_eq!(p.wide.size(), [3, 3, 16, 16]);
        assert_eq!(p.loss_references.size(), [3, 3, 32, 32]);
        assert!(p.hr.equal(&p.lr));
        // The tele patch is a gradient of one code a pixel, reduced by 4/5: 1.25 codes a pixel.
        let codes = p.loss_references.get(0).get(0).get(10) * 255.0;
        let slope = (codes.double_value(&[20]) - codes.double_value(&[10])) / 10.0;
        assert!((slope - 1.25).abs() < 0.05, "{slope}");
    }
}

#[test]
fn bad_data_is_one_clear_error() {
    let folder = data();
    let error = |o: PatchOptions| format!("{:#}", Patches::open(o).unwrap_err());
    assert!(
        error(PatchOptions {
            frames: 9,
            ..options(folder.path())
        })
        .contains("longest clip")
    );
    let text = error(PatchOptions {
        patch: 30,
        ..options(folder.path())
    });
    assert!(
        text.contains("patches of 30") && text.contains("at most 20"),
        "{text}"
    );
    assert!(
        error(PatchOptions {
            split: Split::Valid,
            ..options(folder.path())
        })
        .contains("valid")
    );
    assert!(
        error(PatchOptions {
            root: "/nowhere".into(),
            ..options(folder.path())
        })
        .contains("/nowhere")
    );
    assert!(
        error(PatchOptions {
            stage: Stage::Pretrain { scale: 3 },
            ..options(folder.path())
        })
        .contains("scale 3")
    );

    let frame = folder.path().join("train/HR/UW/b/0001.png");
    fs::write(&frame, "no picture").unwrap();
    let patches = Patches::open(options(folder.path())).unwrap();
    let results: Vec<_> = patches.start(0).unwrap().take(4).collect();
    let errors: Vec<_> = results
        .iter()
        .filter_map(|r| r.as_ref().err())
        .map(|e| format!("{e:#}"))
        .collect();
    assert!(
        errors.len() == 2 && errors[0].contains("HR/UW/b/0001.png"),
        "{errors:?}"
    );

    fs::remove_file(&frame).unwrap();
    let text = error(options(folder.path()));
    assert!(
        text.contains("HR/UW/b/0001.png") && text.contains("dataset verify"),
        "{text}"
    );
    fs::remove_file(folder.path().join("train/HR/UW/b/0002.png")).unwrap();
    assert!(error(options(folder.path())).contains("1 frames; 3 expected"));
}

#[test]
fn validation_frames_are_whole() {
    let folder = data();
    let clips = validation_clips(folder.path(), Split::Train, PRETRAIN).unwrap();
    let names: Vec<_> = clips
        .iter()
        .map(|c| (c.name().to_owned(), c.len()))
        .collect();
    assert_eq!(
        names,
        [
            ("a".to_owned(), 4),
            ("b".to_owned(), 3),
            ("short".to_owned(), 2)
        ]
    );
    let frame = clips[0].frame(3).unwrap();
    assert_eq!(
        (frame.lr.size(), frame.wide.size(), frame.hr.size()),
        (vec![1, 3, 40, 48], vec![1, 3, 40, 48], vec![1, 3, 160, 192])
    );
    let [r, g, b] = pixel(Lens::Wide, 3, 7, 9);
    let found = [0, 1, 2].map(|c| (frame.wide.double_value(&[0, c, 9, 7]) * 255.0).round() as u8);
    assert_eq!(found, [r, g, b]);
    assert!(clips[0].frame(4).is_err());
    let adapt = validation_clips(folder.path(), Split::Train, Stage::Adapt { scale: 4 }).unwrap();
    assert_eq!(adapt[1].frame(0).unwrap().lr.size(), [1, 3, 128, 160]);
}

fn check(root: &Path, quick: bool) -> Vec<Problem> {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: VerifyOptions,
    }
    let mut arguments = vec!["verify".to_owned(), root.display().to_string()];
    arguments.extend(quick.then(|| "--quick".to_owned()));
    let command = <Command as clap::Parser>::parse_from(arguments);
    verify(&command.options, &indicatif::ProgressBar::hidden())
        .unwrap()
        .problems
}

#[test]
fn verify_names_all_that_is_wrong() {
    let folder = data();
    let root = folder.path();
    assert_eq!(check(root, false), []);
    let at = |path: &str| root.join("train").join(path);
    let problem = |path: &str, kind| Problem {
        path: at(path),
        kind,
    };

    fs::remove_file(at("LRx4/T/a/0002.png")).unwrap();
    fs::remove_dir_all(at("LRx2/W/b")).unwrap();
    fs::copy(at("HR/UW/b/0000.png"), at("HR/UW/a/0001.png")).unwrap();
    fs::write(at("HR/T/a/notes.txt"), "x").unwrap();
    let whole = fs::read(at("HR/T/b/0001.png")).unwrap();
    fs::write(at("HR/T/b/0001.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(at("HR/T/b/0002.png"), "x").unwrap();
    let found = check(root, false);
    let expected = [
        problem("HR/T/a/notes.txt", ProblemKind::Stray),
        problem(
            "HR/UW/a/0001.png",
            ProblemKind::Size {
                actual: (160, 128),
                expected: (192, 160),
            },
        ),
        problem("LRx2/W/b", ProblemKind::Missing),
        problem(
            "LRx4/T/a",
            ProblemKind::Count {
                actual: 3,
                expected: 4,
            },
        ),
        problem("LRx4/T/a/0002.png", ProblemKind::Missing),
    ];
    for problem in &expected {
        assert!(found.contains(problem), "{problem} is not in {found:#?}");
    }
    let damaged = |list: &[Problem]| {
        list.iter()
            .filter(|p| matches!(p.kind, ProblemKind::Unreadable(_)))
            .map(|p| p.path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        damaged(&found),
        [at("HR/T/b/0001.png"), at("HR/T/b/0002.png")]
    );
    assert_eq!(found.len(), expected.len() + 2);
    assert_eq!(
        damaged(&check(root, true)),
        [at("HR/T/b/0002.png")],
        "headers only"
    );
    fs::remove_dir_all(at("LRx4/T")).unwrap();
    assert!(check(root, true).contains(&problem("LRx4/T", ProblemKind::Missing)));
}

/// A clip whose left half is plain and whose right half is a chequerboard.
#[test]
fn of_several_places_the_one_with_most_detail_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    for (density, side) in [(Density::Hr, 128), (Density::Lr4, 32)] {
        let clip = folder
            .path()
            .join("train")
            .join(density.folder())
            .join("UW/a");
        std::fs::create_dir_all(&clip).unwrap();
        let pixel = |x: usize, y: usize| {
            if x >= side / 2 && (x + y).is_multiple_of(2) {
                250
            } else {
                10
            }
        };
        let data = (0..side * side)
            .flat_map(|i| [pixel(i % side, i / side); 3])
            .collect();
        let picture = png::Picture {
            width: side,
            height: side,
            data,
        };
        for frame in 0..3 {
            png::write(&clip.join(frame_name(frame)), &picture).unwrap();
        }
    }
    let detail = |places: usize| -> f64 {
        let patches = Patches::open(PatchOptions {
            stage: Stage::Alone { scale: 4 },
            places,
            augment: false,
            ..options(folder.path())
        })
        .unwrap();
        let of = |k| {
            let patch = patches.patch(k).unwrap();
            assert!(patch.wide.equal(&patch.lr), "there is no other camera");
            let across = patch.hr.diff(1, 3, None::<&Tensor>, None::<&Tensor>).abs();
            across.mean(Kind::Double).double_value(&[])
        };
        (0..40).map(of).sum::<f64>() / 40.0
    };
    let (one, four) = (detail(1), detail(4));
    assert!(four > 1.4 * one, "{one} and {four}");
}
