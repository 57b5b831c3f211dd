//! Clips made of a real little video and of photos.

use refvsr_train::{
    data::{
        png,
        tree::{Density, Lens, Split, Tree},
        verify::{VerifyOptions, verify},
    },
    synthesize::{SynthesizeOptions, reduce::reduce, synthesize},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use indicatif::ProgressBar;
use refvsr::metrics::psnr;

fn options(sources: Vec<PathBuf>, output: &Path) -> SynthesizeOptions {
    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        options: SynthesizeOptions,
    }
    let mut words = vec![
        "synthesize".into(),
        "--output".into(),
        output.as_os_str().to_owned(),
    ];
    words.extend(sources.into_iter().map(PathBuf::into_os_string));
    <Arguments as clap::Parser>::parse_from(words).options
}

/// All of a photo, filmed by three ideal lenses that do not move.
fn still(photo: &Path, output: &Path) -> SynthesizeOptions {
    SynthesizeOptions {
        view: Some(1.0),
        motion: Some(0.0),
        difference: 0.0,
        ..options(vec![photo.to_owned()], output)
    }
}

fn run(options: &SynthesizeOptions) -> anyhow::Result<(usize, usize)> {
    synthesize(options, &ProgressBar::hidden())
}

/// All files under a folder, with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                _ = found.insert(path.clone(), fs::read(&path).unwrap())
            }
        }
    }
    found
        .into_iter()
        .map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes))
        .collect()
}

/// A smooth scene with fine detail.
fn scene(x: u32, y: u32) -> image::Rgb<u8> {
    let (x, y) = (f64::from(x), f64::from(y));
    image::Rgb([0.0, 1.0, 2.0].map(|c| {
        (128.0
            + 50.0 * (x / 9.0 + c).sin()
            + 40.0 * (y / 7.0 - c).cos()
            + 20.0 * ((x + y) / 3.0).sin()) as u8
    }))
}

fn check(root: &Path) {
    let options = VerifyOptions {
        root: root.to_owned(),
        splits: vec![],
        densities: Density::ALL.to_vec(),
        lenses: Lens::ALL.to_vec(),
        quick: false,
        threads: Some(2),
    };
    assert_eq!(
        verify(&options, &ProgressBar::hidden()).unwrap().problems,
        []
    );
}

#[test]
fn photos_become_clips() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("the photo.png");
    image::RgbImage::from_fn(400, 300, scene)
        .save(&photo)
        .unwrap();
    let out = folder.path().join("a");
    let wanted = SynthesizeOptions {
        frames: 3,
        clips: Some(2),
        licence: "CC0, nobody".into(),
        ..options(vec![photo.clone()], &out)
    };
    assert_eq!(run(&wanted).unwrap(), (2, 0));
    check(&out);
    let tree = Tree::open(
        &out,
        Split::Train,
        &[(Density::Hr, Lens::Ultrawide), (Density::Lr4, Lens::Tele)],
    )
    .unwrap();
    assert_eq!(tree.clips.len(), 2);
    let clip = &tree.clips[0];
    assert!(
        clip.name.starts_with("the-photo-") && clip.name.ends_with("-000"),
        "{}",
        clip.name
    );
    // 0.7 of the photo is seen, half of that many pixels, multiples of 16.
    assert_eq!((clip.frames, clip.size), (3, (128, 96)));

    let record = fs::read_to_string(
        out.join("train/sources")
            .join(format!("{}.json", clip.name)),
    )
    .unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(
        (
            record["recipe"]["source"].as_str(),
            record["recipe"]["licence"].as_str()
        ),
        (Some("the photo.png"), Some("CC0, nobody"))
    );

    // Reduced frames are the reduced full frames.
    let read = |density, lens, n| {
        png::read(&tree.frame(density, lens, &clip.name, n))
            .unwrap()
            .to_tensor()
            .unwrap()
            .unsqueeze(0)
    };
    let (full, small) = (
        read(Density::Hr, Lens::Wide, 1),
        read(Density::Lr4, Lens::Wide, 1),
    );
    assert!(
        (reduce(&full, 4).unwrap().clamp(0.0, 1.0) - small)
            .abs()
            .max()
            .double_value(&[])
            < 0.5 / 255.0 + 1e-5
    );
    assert!(
        !read(Density::Hr, Lens::Ultrawide, 0).equal(&read(Density::Hr, Lens::Ultrawide, 1)),
        "the camera moves"
    );

    // The same again; what is there is kept; a damaged record is made anew; another seed is another clip.
    let first = files(&out);
    let again = SynthesizeOptions {
        output: folder.path().join("b"),
        ..wanted.clone()
    };
    run(&again).unwrap();
    assert!(
        first == files(&again.output),
        "the same sources, options and seed give the same files"
    );
    assert_eq!(run(&wanted).unwrap(), (0, 2));
    fs::remove_dir_all(out.join("train/LRx2/T").join(&clip.name)).unwrap();
    assert_eq!(run(&wanted).unwrap(), (1, 1));
    assert!(first == files(&out));
    assert_eq!(
        run(&SynthesizeOptions {
            seed: 1,
            clips: Some(1),
            ..wanted
        })
        .unwrap(),
        (1, 0)
    );
    assert!(first != files(&out));
}

#[test]
fn the_lenses_look_where_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.jpg");
    image::RgbImage::from_fn(640, 480, scene)
        .save(&photo)
        .unwrap();
    let out = folder.path().join("out");
    // All of the photo, nothing random: the tele frame is its middle, the wide frame twice as dense as the ultra-wide one.
    let ideal = SynthesizeOptions {
        frames: 1,
        size: Some((320, 240)),
        ..still(&photo, &out)
    };
    run(&ideal).unwrap();
    let tree = Tree::open(&out, Split::Train, &[(Density::Hr, Lens::Wide)]).unwrap();
    let read = |lens| {
        png::read(&tree.frame(Density::Hr, lens, &tree.clips[0].name, 0))
            .unwrap()
            .to_tensor()
            .unwrap()
            .unsqueeze(0)
    };
    let photo = png::Picture {
        width: 640,
        height: 480,
        data: image::open(&photo).unwrap().into_rgb8().into_raw(),
    };
    let photo = photo.to_tensor().unwrap().unsqueeze(0);
    let ultrawide = photo.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
    let quality = psnr(&read(Lens::Ultrawide), &ultrawide).unwrap();
    assert!(quality > 45.0, "ultra-wide: {quality} dB");
    // 59 mm is not quite twice 30 mm: resize the wide frame to the photo's density and compare with its middle.
    for (lens, focal) in [(Lens::Wide, 59.0), (Lens::Tele, 147.0)] {
        let zoom = focal / 30.0;
        let (w, h) = (
            (640.0 / zoom / 2.0f64).round() as i64 * 2,
            (480.0 / zoom / 2.0f64).round() as i64 * 2,
        );
        let seen = refvsr::image::resize::bicubic_antialiased(&read(lens), h, w).unwrap();
        let middle = photo.narrow(2, 240 - h / 2, h).narrow(3, 320 - w / 2, w);
        let quality = psnr(&seen, &middle).unwrap();
        assert!(quality > 28.0, "{lens}: {quality} dB");
    }
}

/// Where `b` lies against `a` (whole pixels, to the right), by the least difference.
fn moved(a: &tch::Tensor, b: &tch::Tensor) -> i64 {
    let (h, w) = (a.size()[2], a.size()[3]);
    let off = |x: i64| {
        (a.narrow(3, 8, w - 16) - b.narrow(3, 8 + x, w - 16))
            .narrow(2, 4, h - 8)
            .abs()
            .mean(tch::Kind::Double)
            .double_value(&[])
    };
    (-8..=8).min_by(|&x, &y| off(x).total_cmp(&off(y))).unwrap()
}

#[test]
fn parallax_moves_places_by_unlike_amounts() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.png");
    let random =
        |x: u32, y: u32| (x / 2 * 7919 + y / 2 * 104_729).wrapping_mul(2_654_435_761) >> 24;
    image::RgbImage::from_fn(600, 400, |x, y| image::Rgb([random(x, y) as u8; 3]))
        .save(&photo)
        .unwrap();
    let moves = |parallax: f64, name: &str| {
        let out = folder.path().join(name);
        let wanted = SynthesizeOptions {
            frames: 8,
            size: Some((296, 200)),
            parallax,
            ..still(&photo, &out)
        };
        run(&wanted).unwrap();
        let tree = Tree::open(&out, Split::Train, &[(Density::Hr, Lens::Ultrawide)]).unwrap();
        let read = |n| {
            png::read(&tree.frame(Density::Hr, Lens::Ultrawide, &tree.clips[0].name, n))
                .unwrap()
                .to_tensor()
                .unwrap()
                .unsqueeze(0)
        };
        let (first, last) = (read(0), read(7));
        let place = |x: i64, y: i64| {
            let part = |t: &tch::Tensor| t.narrow(2, y, 32).narrow(3, x, 40);
            moved(&part(&first), &part(&last))
        };
        (0..5)
            .flat_map(|row| (0..6).map(move |column| (8 + 40 * column, 4 + 40 * row)))
            .map(|(x, y)| place(x, y))
            .collect::<Vec<_>>()
    };
    let flat = moves(0.0, "flat");
    assert!(flat.iter().all(|&m| m == 0), "{flat:?}");
    let deep = moves(2.0, "deep");
    assert!(
        deep.iter().max().unwrap() - deep.iter().min().unwrap() >= 2,
        "{deep:?}"
    );
}

fn video(path: &Path, pipeline: &str) {
    let status = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(pipeline.split_whitespace())
        .stdout(fs::File::create(path).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn videos_become_clips_between_cuts() {
    let folder = tempfile::tempdir().unwrap();
    // Odd names and sizes; two shots of 7 and 5 frames.
    let path = folder.path().join("it's a \"video\".mkv");
    video(
        &path,
        "concat name=c ! videoconvert ! jpegenc ! matroskamux streamable=true ! fdsink \
         videotestsrc num-buffers=7 pattern=ball ! video/x-raw,width=162,height=130,framerate=30/1 ! c. \
         videotestsrc num-buffers=5 pattern=smpte ! video/x-raw,width=162,height=130,framerate=30/1 ! c.",
    );
    let out = folder.path().join("out");
    let wanted = SynthesizeOptions {
        frames: 3,
        split: Split::Valid,
        ..options(vec![path], &out)
    };
    assert_eq!(
        run(&wanted).unwrap(),
        (3, 0),
        "two clips in seven frames, one in five"
    );
    check(&out);
    let records: Vec<serde_json::Value> = files(&out.join("valid/sources"))
        .into_values()
        .map(|b| serde_json::from_slice(&b).unwrap())
        .collect();
    let starts: Vec<_> = records
        .iter()
        .map(|r| r["recipe"]["first_frame"].as_u64().unwrap())
        .collect();
    assert_eq!(starts, [0, 3, 7]);
    assert_eq!(run(&wanted).unwrap(), (0, 3));
    let text = format!(
        "{:#}",
        run(&SynthesizeOptions {
            frames: 8,
            ..wanted.clone()
        })
        .unwrap_err()
    );
    assert!(text.contains("longest shot has 7 frames"), "{text}");
    assert_eq!(
        run(&SynthesizeOptions {
            clips: Some(1),
            seed: 9,
            ..wanted
        })
        .unwrap(),
        (1, 0),
        "decoding is stopped early"
    );
    let left: Vec<_> = fs::read_dir(out.join("valid"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains("partial")),
        "{left:?}"
    );
}

#[test]
fn bad_sources_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let error = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let text = format!("{:#}", run(&options(vec![path], &out)).unwrap_err());
        assert!(text.contains(name), "{text}");
        text
    };
    assert!(error("missing.mp4", None).contains("No such file"));
    error("broken.jpg", Some(b"no photo"));
    assert!(
        error(
            "broken.mp4",
            Some(b"this is not a video, whatever its name says")
        )
        .contains("GStreamer")
    );
    let small = folder.path().join("small.png");
    image::RgbImage::from_fn(30, 30, scene)
        .save(&small)
        .unwrap();
    assert!(error("small.png", None).contains("30 x 30"));
    let wrong = SynthesizeOptions {
        view: Some(1.5),
        ..options(vec![small], &out)
    };
    assert!(
        run(&wrong)
            .unwrap_err()
            .to_string()
            .contains("--view is 1.5")
    );
}

#[test]
fn processors_of_their_own_change_what_the_other_lenses_show_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.png");
    image::RgbImage::from_fn(400, 304, scene)
        .save(&photo)
        .unwrap();
    let film = |name: &str, processing: bool| {
        let out = folder.path().join(name);
        let wanted = SynthesizeOptions {
            frames: 1,
            processing,
            ..still(&photo, &out)
        };
        assert_eq!(run(&wanted).unwrap(), (1, 0));
        files(&out)
    };
    let (plain, other) = (film("plain", false), film("other", true));
    for (path, bytes) in &plain {
        let text = path.to_string_lossy();
        if text.ends_with(".png") {
            let same = other[path] == *bytes;
            assert_eq!(same, text.contains("/UW/"), "{text}");
        } else {
            let record: serde_json::Value = serde_json::from_slice(&other[path]).unwrap();
            assert_eq!(record["recipe"]["processing"], true);
            assert!(!String::from_utf8_lossy(bytes).contains("processing"));
        }
    }
    assert_eq!(other, film("again", true));
}
