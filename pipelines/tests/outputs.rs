//! `refvsr evaluate --outputs`: what other methods made, in the same tables.

mod common;

use common::scored::{SIZE, close, read, tree};
use common::{Place, refvsr, refvsr_well};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Outputs are the truth with errors of a formula, and the expected figures are written out.
#[test]
fn what_others_made_stands_beside() {
    let place = Place::new();
    let data = tree(&place);
    let truth =
        |clip: &str, n: i64| read(&place.text(&format!("tree/test/HR/UW/{clip}/{n:04}.png")));
    // Stairs of two codes that rise to the right, darker by four codes in odd frames: PNG files in one clip's folder, a video of another,
    // and the third where `refvsr transcode --tree` puts it.
    let theirs = |clip: &str, n: i64| {
        let x = Tensor::arange(SIZE.0, (Kind::Float, Device::Cpu)) / 8.0;
        (truth(clip, n) + x.floor() * 2.0 / 255.0 - (n % 2) as f64 * 4.0 / 255.0).clamp(0.0, 1.0)
    };
    let save = |file: String, picture: &Tensor| {
        let path = place.path(&file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = (picture * 255.0).round().permute([0, 2, 3, 1]).contiguous();
        let bytes: Vec<u8> = Vec::try_from(bytes.to_kind(Kind::Uint8).view(-1)).unwrap();
        let picture = image::RgbImage::from_raw(SIZE.0 as u32, SIZE.1 as u32, bytes);
        picture.unwrap().save(path).unwrap();
    };
    for n in 0..2 {
        save(format!("theirs/a/{n:04}.png"), &theirs("a", n));
        save(format!("theirs/test/HR/UW/c/{n:04}.png"), &theirs("c", n));
    }
    for n in 0..3 {
        save(format!("frames/{n:04}.png"), &theirs("b", n));
    }
    let frames = place.text("frames/%04d.png");
    place.make(
        "theirs/b.mkv",
        &format!(
            "multifilesrc location={frames} caps=image/png,framerate=30/1 ! pngdec ! videoconvert \
             ! video/x-raw,format=BGRA ! avenc_ffv1 ! matroskamux ! filesink location={{}}"
        ),
    );
    let [json, page] = ["a.json", "a.html"].map(|name| place.text(name));
    let outputs = format!("Others={}", place.text("theirs"));
    let base = ["evaluate", &data, "--device", "cpu", "--outputs", &outputs];
    let results = |more: &[&str]| -> Value {
        refvsr_well(&[&base[..], &["--json", &json], more].concat());
        serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap()
    };
    let all = results(&["--report", &page]);
    let methods = all["methods"].as_array().unwrap();
    assert_eq!(
        (&methods[0]["name"], &methods[1]["name"]),
        (&"bicubic".into(), &"Others".into())
    );
    assert!(methods[1]["seconds_per_frame"].is_null() && methods[1]["over_time"].is_object());
    assert!(std::fs::read_to_string(&page).unwrap().contains("Others"));
    let own = all["frames"].as_array().unwrap().iter();
    let own: Vec<_> = own.filter(|r| r["method"] == "Others").collect();
    assert_eq!(own.len(), 7);
    let rounded = |clip: &str, n: i64| (theirs(clip, n) * 255.0).round() / 255.0;
    for record in &own {
        let (clip, n) = (
            record["clip"].as_str().unwrap(),
            record["frame"].as_i64().unwrap(),
        );
        let mse = (rounded(clip, n) - truth(clip, n))
            .square()
            .mean(Kind::Double);
        let psnr = -10.0 * mse.double_value(&[]).log10();
        assert!(
            close(&record["figures"]["whole"]["psnr"], psnr, 1e-4),
            "{record} {psnr}"
        );
    }
    // The change to frame 1 lacks what makes odd frames darker.
    let change = |of: &dyn Fn(&str, i64) -> Tensor| of("a", 1) - of("a", 0);
    let error = (change(&rounded) - change(&truth))
        .square()
        .mean(Kind::Double);
    let error = 255.0 * error.double_value(&[]).sqrt();
    assert!(
        error > 3.0 && close(&own[1]["step_error"], error, 1e-4),
        "{error}"
    );

    // Of the brightness, without a border: the errors' own formula.
    let y = results(&["--y-channel", "--border", "4", "--clips", "1"]);
    let weights = Tensor::from_slice(&[65.481f64, 128.553, 24.966]).view([1, 3, 1, 1]) / 255.0;
    let inner = |x: Tensor| x.narrow(2, 4, SIZE.1 - 8).narrow(3, 4, SIZE.0 - 8);
    let error = inner(rounded("a", 0) - truth("a", 0)) * weights;
    let error = error.sum_dim_intlist([1].as_slice(), true, Kind::Double);
    let psnr = -10.0 * error.square().mean(Kind::Double).double_value(&[]).log10();
    let found = y["frames"].as_array().unwrap().iter();
    let found: Vec<_> = found.filter(|r| r["method"] == "Others").collect();
    assert!(
        close(&found[0]["figures"]["whole"]["psnr"], psnr, 1e-4),
        "{} {psnr}",
        found[0]
    );

    // What does not fit is named.
    let wrong = |outputs: &str| {
        let said = refvsr(&["evaluate", &data, "--device", "cpu", "--outputs", outputs]);
        assert_eq!(said.code, Some(1), "{said:?}");
        said.err
    };
    let text = wrong(&format!("bicubic={}", place.text("theirs")));
    assert!(text.contains("two columns are called bicubic"), "{text}");
    std::fs::remove_file(place.path("theirs/a/0001.png")).unwrap();
    let text = wrong(&outputs);
    assert!(
        text.contains("theirs/a has 1 frames, HR/UW/a has 2"),
        "{text}"
    );
    std::fs::remove_dir_all(place.path("theirs/a")).unwrap();
    let text = wrong(&outputs);
    assert!(text.contains("theirs holds no clip a"), "{text}");
}
