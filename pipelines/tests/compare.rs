//! `refvsr compare`, `refvsr doctor` and what `refvsr info` measures.

mod common;

use common::scored::tree;
use common::{Place, refvsr, refvsr_well};
use serde_json::Value;

fn scores(path: &str) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn videos_are_compared_frame_by_frame() {
    let place = Place::new();
    let film = |name: &str, frames: u32, encoder: &str| {
        place.make(
            name,
            &format!(
                "videotestsrc pattern=ball num-buffers={frames} ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 \
                 ! {encoder} ! matroskamux ! filesink location={{}}"
            ),
        )
    };
    let whole = film("whole.mkv", 6, "avenc_ffv1");
    let rough = film("rough.mkv", 6, "x264enc pass=quant quantizer=40");
    let [json, strip] = ["a.json", "a.png"].map(|name| place.text(name));
    let said = refvsr_well(&[
        "compare", &rough, &whole, "--json", &json, "--strip", &strip, "--worst", "2",
    ]);
    let all = scores(&json);
    assert_eq!(all.len(), 6);
    let psnr: Vec<f64> = all
        .iter()
        .map(|score| score["psnr"].as_f64().unwrap())
        .collect();
    let worst = (0..6).min_by(|a, b| psnr[*a].total_cmp(&psnr[*b])).unwrap();
    assert!(
        said.out.contains(&format!(
            "worst: rough.mkv frame {worst}, {:.2} dB",
            psnr[worst]
        )),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains(&format!("{:.2} dB", psnr.iter().sum::<f64>() / 6.0)),
        "{}",
        said.out
    );
    assert_eq!(
        image::open(&strip).unwrap().to_rgb8().dimensions(),
        (3 * 64 + 32, 2 * (48 + 32) + 8)
    );

    // Equal videos lie infinitely far from any error.
    let said = refvsr_well(&["compare", &whole, &whole, "--json", &json]);
    assert!(said.out.contains("inf dB / 1.0000"), "{}", said.out);
    assert!(scores(&json).iter().all(|score| score["psnr"].is_null()));

    let short = film("short.mkv", 4, "avenc_ffv1");
    let said = refvsr(&["compare", &whole, &short]);
    assert!(
        said.code == Some(1) && said.err.contains("short.mkv ends after 4 frames"),
        "{said:?}"
    );
    assert!(said.out.contains("over 4 frames"), "{said:?}");
    let said = refvsr(&["compare", &whole, &place.text("none.mkv")]);
    assert!(
        said.code == Some(1) && said.err.contains("none.mkv"),
        "{said:?}"
    );
}

#[test]
fn trees_are_compared_place_by_place() {
    let place = Place::new();
    tree(&place);
    let truth = place.text("tree/test/HR/UW");
    let said = refvsr_well(&["compare", &truth, &truth]);
    for words in [
        "a: inf",
        "b: inf",
        "c: inf",
        "all frames: inf dB / 1.0000 over 7 frames",
    ] {
        assert!(said.out.contains(words), "{words}\n{}", said.out);
    }
    // Frames compared with the ones of another camera, and a clip that is missing.
    let other = place.text("tree/test/HR/W");
    std::fs::remove_dir_all(place.path("tree/test/HR/W/b")).unwrap();
    let json = place.text("a.json");
    let said = refvsr(&["compare", &truth, &other, "--json", &json]);
    assert!(
        said.code == Some(1) && said.err.contains("W has no clip b"),
        "{said:?}"
    );
    let all = scores(&json);
    assert_eq!(all.len(), 4);
    let read = |lens: &str| {
        let picture = image::open(place.path(&format!("tree/test/HR/{lens}/a/0001.png")))
            .unwrap()
            .to_rgb8();
        let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
        let packed = tch::Tensor::from_slice(&picture.into_raw()).view([1, height, width, 3]);
        packed.permute([0, 3, 1, 2]).to_kind(tch::Kind::Float) / 255.0
    };
    let expected = refvsr::metrics::psnr(&read("UW"), &read("W")).unwrap();
    assert!((all[1]["psnr"].as_f64().unwrap() - expected).abs() < 1e-6);
    let said = refvsr(&["compare", &truth, &place.text("tree/test/LRx4/UW")]);
    assert!(
        said.code == Some(1) && said.err.contains("48x32") && said.err.contains("12x8"),
        "{said:?}"
    );
}

#[test]
fn one_equal_frame_does_not_make_the_mean_infinite_and_dots_are_part_of_names() {
    let place = Place::new();
    tree(&place);
    for (tree, clips) in [("A", ["a", "b"]), ("B", ["c", "b"])] {
        for (clip, name) in clips.into_iter().zip(["clip.v1", "clip.v2"]) {
            let to = place.path(tree).join(name);
            std::fs::create_dir_all(&to).unwrap();
            for n in 0..2 {
                let from = place.path(&format!("tree/test/HR/UW/{clip}/000{n}.png"));
                std::fs::copy(from, to.join(format!("000{n}.png"))).unwrap();
            }
        }
    }
    let wide = place.path("tree/test/HR/W/a/0001.png");
    std::fs::copy(wide, place.path("B/clip.v1/0001.png")).unwrap();
    let said = refvsr_well(&["compare", &place.text("A"), &place.text("B")]);
    let equal = "over 2 frames (1 of them equal, which are not in the mean PSNR)";
    assert!(said.out.contains(equal), "{said:?}");
    for words in ["clip.v2: inf dB", "over 4 frames (3 of them equal"] {
        assert!(said.out.contains(words), "{words} {said:?}");
    }
}

#[test]
fn the_doctor_finds_the_element_and_says_what_is_missing() {
    let said = refvsr(&["doctor", "--quick"]);
    for words in [
        "GStreamer 1.",
        "element refvsr",
        "libtorch ",
        "libgstrefvsr.so",
        "x264enc (encoding H.264)",
    ] {
        assert!(
            said.out
                .lines()
                .any(|line| line.starts_with("ok ") && line.contains(words)),
            "{words}\n{said:?}"
        );
    }
    assert_eq!(said.code == Some(0), !said.out.contains("BAD "), "{said:?}");
    // A plugin that cannot be loaded is told, with the reason.
    let folder = tempfile::tempdir().unwrap();
    let command = folder.path().join("refvsr");
    std::fs::copy(env!("CARGO_BIN_EXE_refvsr"), &command).unwrap();
    std::fs::write(folder.path().join("libgstrefvsr.so"), "rubbish").unwrap();
    let output = std::process::Command::new(&command)
        .args(["doctor", "--quick"])
        .env_remove("GST_PLUGIN_PATH")
        .env("GST_REGISTRY", folder.path().join("registry.bin"))
        .output()
        .unwrap();
    let said = common::said(output);
    let line = said
        .out
        .lines()
        .find(|line| line.starts_with("BAD "))
        .unwrap_or_default();
    assert!(
        said.code == Some(1) && line.contains("element refvsr") && line.contains("libgstrefvsr.so"),
        "{said:?}"
    );
}

#[test]
fn info_measures_and_names_presets() {
    let place = Place::new();
    let said = refvsr_well(&["info", &place.model(), "--size", "32x24", "--device", "cpu"]);
    for words in [
        "preset          none",
        "s a frame of 32x24 on Cpu",
        "MiB of weights",
    ] {
        assert!(said.out.contains(words), "{words}\n{}", said.out);
    }
    let said = refvsr(&["info", &place.model(), "--size", "32"]);
    assert!(
        said.code == Some(2) && said.err.contains("expected WxH"),
        "{said:?}"
    );
}
