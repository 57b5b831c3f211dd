//! `refvsr evaluate` on a synthesised tree.

mod common;

use common::scored::{close, read, tree};
use common::{Place, refvsr, refvsr_well};
use refvsr::metrics;
use serde_json::Value;
use tch::{Device, Kind};

/// PSNR and SSIM of the bicubic enlargements (a = -0.75, in f64, by NumPy) of the frames 0 and 1, by scikit-image 0.26 with
/// `data_range=1, channel_axis=2` and its other defaults.
const SCIKIT_IMAGE: [(f64, f64); 2] = [
    (31.524_970_130_908_642, 0.745_566_445_756_574_5),
    (31.523_527_676_843_845, 0.746_114_174_378_421_9),
];

#[test]
fn figures_are_the_librarys_and_for_bicubic_scikit_images() {
    let place = Place::new();
    let data = tree(&place);
    let [json, csv, markdown] = ["a.json", "a.csv", "a.md"].map(|name| place.text(name));
    let said = refvsr_well(&[
        "evaluate",
        &data,
        "--model",
        &place.model(),
        "--device",
        "cpu",
        "--json",
        &json,
        "--csv",
        &csv,
        "--markdown",
        &markdown,
    ]);
    let results: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let records = results["frames"].as_array().unwrap();
    assert_eq!(records.len(), 3 * 7);
    let methods: Vec<_> = results["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(methods, ["bicubic", "tiny, no reference", "tiny, wide"]);

    for (n, (psnr, ssim)) in SCIKIT_IMAGE.into_iter().enumerate() {
        let whole = &records[n]["figures"]["whole"];
        assert!(
            close(&whole["psnr"], psnr, 1e-4) && close(&whole["ssim"], ssim, 1e-6),
            "{whole}"
        );
    }
    // The element computes as evaluate does, so that its own output for the same frames, through transcode, is the
    // model's picture rounded to 8 bits.
    refvsr_well(&[
        "transcode",
        "--set",
        "precision=fp32",
        "--set",
        "backward-group=1",
        "--model",
        &place.model(),
        "--device",
        "cpu",
        "--tree",
        &data,
        "-o",
        &place.text("out"),
    ]);
    let psnr = |clip: &str, n: usize| {
        let ours = read(&place.text(&format!("out/test/HR/UW/{clip}/{n:04}.png")));
        let truth = read(&place.text(&format!("tree/test/HR/UW/{clip}/{n:04}.png")));
        metrics::psnr(&ours, &truth).unwrap()
    };
    let ours: Vec<_> = records
        .iter()
        .filter(|record| record["method"] == "tiny, wide")
        .collect();
    let mut sum = 0.0;
    for record in &ours {
        let expected = psnr(
            record["clip"].as_str().unwrap(),
            record["frame"].as_u64().unwrap() as usize,
        );
        let whole = &record["figures"]["whole"]["psnr"];
        assert!(close(whole, expected, 0.01), "{record} {expected}");
        sum += whole.as_f64().unwrap();
    }
    assert!(close(
        &results["methods"][2]["mean"]["whole"]["psnr"],
        sum / 7.0,
        1e-9
    ));

    // Over time: the clips have 2, 3 and 2 frames, so there are two parts.
    let bicubic = &results["methods"][0];
    let whole = |n: usize| records[n]["figures"]["whole"]["psnr"].as_f64().unwrap();
    let first = (whole(0) + whole(2) + whole(5)) / 3.0;
    let last = (whole(1) + (whole(3) + whole(4)) / 2.0 + whole(6)) / 3.0;
    for (n, expected) in [first, last].into_iter().enumerate() {
        assert!(
            close(&bicubic["over_time"]["segments"][n], expected, 1e-9),
            "{bicubic}"
        );
    }
    let slope = ((whole(1) - whole(0)) + (whole(4) - whole(2)) / 2.0 + (whole(6) - whole(5))) / 3.0;
    assert!(
        close(&bicubic["over_time"]["slope"], 100.0 * slope, 1e-6),
        "{bicubic}"
    );
    // Clip b has two steps, of which the median is the larger.
    assert!(close(&bicubic["step_ratio"], 1.0, 1e-9), "{bicubic}");
    let difference = read(&place.text("tree/test/HR/UW/a/0001.png"))
        - read(&place.text("tree/test/HR/UW/a/0000.png"));
    let step = 255.0
        * difference
            .square()
            .mean(Kind::Double)
            .sqrt()
            .double_value(&[]);
    assert!(records[0]["truth_step"].is_null() && records[0]["step"].is_null());
    assert!(
        close(&records[1]["truth_step"], step, 1e-4),
        "{} {step}",
        records[1]
    );

    let text = std::fs::read_to_string(&markdown).unwrap();
    assert_eq!(text, said.out);
    for row in [
        "| PSNR in dB, part 2 of 2 |",
        "| dB in 100 frames |",
        "| the truth's |",
        "| a |",
        "| all frames |",
        "| inner 50 % |",
        "| inner 60 % without the inner 50 % |",
        "| seconds a frame |",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
    let table = std::fs::read_to_string(&csv).unwrap();
    let columns = |line: &str| line.replace("\"tiny, ", "\"tiny ").split(',').count();
    assert_eq!(table.lines().count(), 22);
    assert!(table.lines().all(|line| columns(line) == 30), "{table}");
}

#[test]
fn splits_clips_and_frames_are_chosen() {
    let place = Place::new();
    let data = tree(&place);
    let model = place.model();
    let base = [
        "evaluate",
        &data,
        "--model",
        &model,
        "--device",
        "cpu",
        "--references",
        "with",
    ];
    let said = refvsr_well(&[&base[..], &["--split", "valid"]].concat());
    assert!(
        said.out.contains("| d |") && !said.out.contains("| a |"),
        "{}",
        said.out
    );
    let json = place.text("few.json");
    refvsr_well(
        &[
            &base[..],
            &["--clips", "2", "--frames", "1", "--json", &json],
        ]
        .concat(),
    );
    let results: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(results["frames"].as_array().unwrap().len(), 4);
}

#[test]
fn models_for_full_resolution_have_no_truth() {
    let place = Place::new();
    let data = tree(&place);
    let path = place.path("hd.safetensors");
    let config = refvsr::ModelConfig {
        mid_channels: 4,
        num_blocks: 1,
        frame_num: 1,
        ..refvsr::ModelConfig::preset("refvsr-mfid-8k").unwrap()
    };
    refvsr::checkpoint::save(
        &refvsr::Network::new(config, Device::Cpu).unwrap(),
        &path,
        Kind::Float,
    )
    .unwrap();
    let said = refvsr_well(&[
        "evaluate",
        &data,
        "--model",
        path.to_str().unwrap(),
        "--device",
        "cpu",
        "--clips",
        "1",
        "--frames",
        "1",
        "--references",
        "with",
    ]);
    assert!(
        said.out.contains("no truth") && said.out.contains("| hd, wide |"),
        "{}",
        said.out
    );
}

#[test]
fn mistakes_name_the_file() {
    let place = Place::new();
    let data = tree(&place);
    let evaluate = |more: &[&str]| {
        let said = refvsr(
            &[
                &[
                    "evaluate",
                    &data,
                    "--model",
                    &place.model(),
                    "--device",
                    "cpu",
                ],
                more,
            ]
            .concat(),
        );
        assert!(
            said.code == Some(1) && said.err.lines().count() == 1,
            "{said:?}"
        );
        said.err
    };
    let text = evaluate(&["--split", "none"]);
    assert!(text.contains("none/HR/UW"), "{text}");
    let text = evaluate(&["--json", "/proc/no/a.json"]);
    assert!(text.contains("/proc/no/a.json"), "{text}");
    std::fs::write(place.path("tree/test/LRx4/W/b/0001.png"), "rubbish").unwrap();
    let text = evaluate(&["--references", "with"]);
    assert!(text.contains("W/b/0001.png"), "{text}");
    std::fs::remove_file(place.path("tree/test/LRx4/W/b/0002.png")).unwrap();
    let text = evaluate(&["--references", "with"]);
    assert!(text.contains("LRx4/W/b has 2 frames"), "{text}");
}

#[test]
fn methods_are_told_apart_by_scale_and_folder() {
    let place = Place::new();
    let data = tree(&place);
    let (four, two) = (place.model(), place.model_of_scale_2());
    std::fs::create_dir(place.path("other")).unwrap();
    std::fs::copy(&four, place.path("other/tiny.safetensors")).unwrap();
    let other = place.text("other/tiny.safetensors");
    let json = place.text("a.json");
    let models = [
        "--model", &four, "--model", &other, "--model", &two, "--model", &four,
    ];
    let base = [
        "evaluate",
        &data,
        "--device",
        "cpu",
        "--references",
        "without",
    ];
    let few = ["--clips", "1", "--frames", "1", "--json", &json];
    refvsr_well(&[&base[..], &models, &few].concat());
    let results: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let methods = results["methods"].as_array().unwrap();
    let names: Vec<_> = methods
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    let expected = [
        "bicubic x4",
        "bicubic x2",
        &format!("{four}, no reference"),
        &format!("{other}, no reference"),
        "two, no reference",
    ];
    assert_eq!(names, expected);
    assert_eq!(results["frames"].as_array().unwrap().len(), 5);
    let psnr = |n: usize| methods[n]["mean"]["whole"]["psnr"].as_f64().unwrap();
    assert!(psnr(1) > psnr(0), "half the size shows more");
}

#[test]
fn older_results_stay_until_there_are_new_ones_and_inputs_stay() {
    let place = Place::new();
    let data = tree(&place);
    let model = place.model();
    std::fs::create_dir(place.path("scores")).unwrap();
    let [json, page] = ["scores/a.json", "scores/a.html"].map(|name| place.text(name));
    std::fs::write(&json, "of last week").unwrap();
    std::fs::write(place.path("tree/test/LRx4/W/b/0001.png"), "rubbish").unwrap();
    let base = ["evaluate", &data, "--model", &model, "--device", "cpu"];
    let said = refvsr(&[&base[..], &["--json", &json, "--report", &page]].concat());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "of last week");
    assert_eq!(place.files("scores"), ["a.json"]);
    let frame = place.text("tree/test/HR/UW/a/0000.png");
    for input in [&model, &frame] {
        let before = std::fs::read(input).unwrap();
        let said = refvsr(&[&base[..], &["--csv", input]].concat());
        assert!(
            said.code == Some(1) && said.err.contains("cannot be written")
                || said.err.contains("both read"),
            "{said:?}"
        );
        assert!(std::fs::read(input).unwrap() == before);
    }
}
