//! Golden clips through the real `gst-launch-1.0`.

mod common;
#[path = "../../tests/common/mod.rs"]
mod library;

use common::*;
use std::path::Path;
use tch::Tensor;

/// A clip's frames as raw RGB.
fn raw(frames: &[Tensor]) -> Vec<u8> {
    frames.iter().flat_map(to_bytes).collect()
}

fn branch(file: &Path, (width, height): (i64, i64), pad: &str) -> String {
    format!(
        " filesrc location={} ! rawvideoparse format=rgb width={width} height={height} framerate=30000/1001 ! r.{pad}",
        file.to_str().unwrap()
    )
}

#[test]
fn golden_clips_come_out_within_one_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for clip in library::clips() {
        // x4_t3's weights are also stored as upstream stores them.
        let model = if clip.name == "x4_t3" {
            golden("official_format.pytorch")
        } else {
            let path = file("model.safetensors");
            refvsr::checkpoint::save(
                &library::network(clip.config.clone()),
                &path,
                tch::Kind::Float,
            )
            .unwrap();
            path
        };
        let size = clip.ultrawide[0].size();
        let (width, height) = (size[3], size[2]);
        std::fs::write(file("ultrawide"), raw(&clip.ultrawide)).unwrap();
        std::fs::write(file("wide"), raw(&clip.wide)).unwrap();
        let reset = clip.config.reset_interval.unwrap_or(0);
        gst_launch_well(&format!(
            "-q refvsr name=r device=cpu precision=fp32 model-file={} lookahead={} reset-interval={reset} ! filesink location={} {} {}",
            model.to_str().unwrap(),
            clip.config.look_ahead(),
            file("out").to_str().unwrap(),
            branch(&file("ultrawide"), (width, height), "ultrawide"),
            branch(&file("wide"), (width, height), "wide"),
        ));

        let out = std::fs::read(file("out")).unwrap();
        let scale = clip.config.scale;
        let one = (width * height * scale * scale * 3) as usize;
        assert_eq!(
            out.len(),
            clip.ultrawide.len() * one,
            "{}: frames out",
            clip.name
        );
        let (mut off, mut all) = (0, 0);
        for (n, kept) in &clip.kept {
            let wanted = to_bytes(kept);
            off += wanted
                .iter()
                .zip(&out[n * one..])
                .filter(|(a, b)| a.abs_diff(**b) > 1)
                .count();
            all += one;
        }
        assert!(
            (off as f64) < 1e-4 * all as f64,
            "{}: {off} of {all} values are off by more than 1",
            clip.name
        );
        for (n, ((mean, std), frame)) in clip.mean_std.iter().zip(out.chunks(one)).enumerate() {
            let values: Vec<f64> = frame.iter().map(|&v| f64::from(v) / 255.0).collect();
            let m = values.iter().sum::<f64>() / one as f64;
            let s = (values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (one - 1) as f64).sqrt();
            assert!(
                (m - mean).abs() < 2e-3 && (s - std).abs() < 2e-3,
                "{} frame {n}: {m} {s} for {mean} {std}",
                clip.name
            );
        }
    }
}

#[test]
fn timestamps_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (w, h) = SIZE;
    let file = folder.path().join("clip");
    std::fs::write(
        &file,
        (0..7)
            .flat_map(|n| picture(ULTRAWIDE, n))
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let size = (w as i64, h as i64);
    let report = |elements: &str| {
        let output = gst_launch_well(&format!("-v {elements} identity silent=false ! fakesink"));
        text(&output.stdout)
    };
    // A line for each buffer, of which its times count.
    let times = |report: &str| -> Vec<String> {
        let lines = report.lines().filter(|line| line.contains("chain   *****"));
        lines
            .filter_map(|line| Some(line[line.find("dts:")?..line.find("offset:")?].to_owned()))
            .collect()
    };
    let (ultrawide, wide) = (
        branch(&file, size, "ultrawide"),
        branch(&file, size, "wide"),
    );
    let ours = report(&format!(
        "{ultrawide} {wide} refvsr name=r device=cpu model-file={} !",
        model()
    ));
    let theirs = report(ultrawide.trim_end_matches("r.ultrawide"));
    assert_eq!(times(&theirs).len(), 7);
    assert_eq!(times(&ours), times(&theirs));
    let text = ours;
    assert!(text.contains("framerate=(fraction)30000/1001"));
}
