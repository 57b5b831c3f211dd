//! `refvsr transcode` on recordings.

mod common;

use common::{Place, frames, refvsr, refvsr_well, sound, times};

/// Runs it with the tiny model on the CPU.
macro_rules! transcode {
    ($run:ident, $place:expr, $($argument:expr),* $(,)?) => {
        $run(&["transcode", "--model", &$place.model(), "--device", "cpu", $($argument),*])
    };
}

/// Two seconds with sound: 20 frames, 64x48.
fn with_sound(place: &Place, name: &str, muxer: &str) -> String {
    place.make(
        name,
        &format!(
            "videotestsrc pattern=ball num-buffers=20 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! x264enc \
             ! h264parse ! {muxer} name=mux ! filesink location={{}} \
             audiotestsrc wave=white-noise num-buffers=86 samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=1 ! avenc_aac ! aacparse \
             ! taginject tags=language-code=de ! mux."
        ),
    )
}

#[test]
fn sound_is_copied_bit_for_bit_and_frames_keep_their_times() {
    let place = Place::new();
    let wide = place.film("w.mkv", 20);
    let mp4 = with_sound(&place, "uw.mp4", "mp4mux");
    let mkv = with_sound(&place, "uw.mkv", "matroskamux");
    for (ultrawide, output) in [(&mp4, "out.mkv"), (&mp4, "out.mp4"), (&mkv, "out.mov")] {
        let out = place.text(output);
        let said = transcode!(refvsr_well, place, "-u", ultrawide, "-w", &wide, "-o", &out);
        assert!(said.err.contains("20 frames"), "{}", said.err);
        assert_eq!(sound(&out), sound(ultrawide), "{output}");
        let (small, (large, info)) = (frames(ultrawide).0, frames(&out));
        assert_eq!((info.width(), info.height()), (256, 192));
        assert_eq!(times(&large), times(&small), "{output}");
    }
    assert_eq!(
        place.files(""),
        [
            "out.mkv",
            "out.mov",
            "out.mp4",
            "tiny.safetensors",
            "uw.mkv",
            "uw.mp4",
            "w.mkv"
        ]
    );
}

#[test]
fn sound_that_does_not_fit_is_encoded_anew_and_that_is_said() {
    let place = Place::new();
    let (ultrawide, wide) = (
        with_sound(&place, "uw.mp4", "mp4mux"),
        place.film("w.mkv", 20),
    );
    let out = place.text("out.webm");
    let said = transcode!(
        refvsr_well,
        place,
        "-u",
        &ultrawide,
        "-w",
        &wide,
        "-o",
        &out,
        "--preset",
        "8"
    );
    assert!(
        said.err.contains("audio/mpeg mpegversion 4") && said.err.contains("opusenc"),
        "{}",
        said.err
    );
    assert_eq!(frames(&out).0.len(), 20);
    assert!(!sound(&out).0.is_empty());
}

#[test]
fn variable_frame_rates_keep_every_time() {
    let place = Place::new();
    // As a phone's camera in the dark records.
    let expected = [0, 33, 67, 180, 213, 400, 405, 911, 944, 978];
    let path = place.film_at("uw.mkv", "0/1", &expected);
    assert_eq!(times(&frames(&path).0), expected);

    let wide = place.film("w.mkv", 10);
    for output in ["out.mkv", "out.mp4"] {
        let out = place.text(output);
        // A camera at a steady rate has no frames at many of those times.
        let stand_in = "on-missing-reference=repeat";
        transcode!(
            refvsr_well,
            place,
            "-u",
            &path,
            "-w",
            &wide,
            "-o",
            &out,
            "--set",
            stand_in
        );
        assert_eq!(times(&frames(&out).0), expected, "{output}");
    }
}

#[test]
fn ten_bits_and_colorimetry_stay() {
    let place = Place::new();
    let wide = place.film("w.mkv", 4);
    let ultrawide = place.make(
        "uw.mkv",
        "videotestsrc num-buffers=4 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420_10LE,colorimetry=bt2100-pq \
         ! x265enc ! h265parse ! matroskamux ! filesink location={}",
    );
    for (codec, output) in [
        ("h264", "a.mkv"),
        ("h265", "b.mp4"),
        ("vp9", "c.webm"),
        ("ffv1", "d.mkv"),
    ] {
        let out = place.text(output);
        transcode!(
            refvsr_well,
            place,
            "-u",
            &ultrawide,
            "-w",
            &wide,
            "-o",
            &out,
            "--codec",
            codec
        );
        let (frames, info) = frames(&out);
        assert_eq!(
            (frames.len(), info.format_info().depth()[0]),
            (4, 10),
            "{codec}"
        );
        assert_eq!(info.colorimetry().to_string(), "bt2100-pq", "{codec}");
    }
    let out = place.text("e.mkv");
    let said = transcode!(
        refvsr_well,
        place,
        "-u",
        &ultrawide,
        "-w",
        &wide,
        "-o",
        &out,
        "--codec",
        "av1",
        "--preset",
        "8"
    );
    assert!(
        said.err.contains("av1enc does not write all 10 bits"),
        "{}",
        said.err
    );
}

#[test]
fn rotated_phone_clips_play_upright() {
    let place = Place::new();
    let wide = place.film("w.mkv", 3);
    // White above, black below, as the sensor lies.
    let ultrawide = place.make(
        "uw.mp4",
        "videotestsrc pattern=white num-buffers=3 ! video/x-raw,width=64,height=24,framerate=10/1 ! comp.sink_0 \
         videotestsrc pattern=black num-buffers=3 ! video/x-raw,width=64,height=24,framerate=10/1 ! comp.sink_1 \
         compositor name=comp sink_1::ypos=24 ! video/x-raw,format=I420,framerate=10/1 ! x264enc ! h264parse ! mp4mux \
         ! filesink location={}",
    );
    turn(&ultrawide);
    let out = place.text("out.mkv");
    transcode!(
        refvsr_well,
        place,
        "-u",
        &ultrawide,
        "-w",
        &wide,
        "-o",
        &out
    );
    let (turned, info) = frames(&out);
    assert_eq!((info.width(), info.height()), (192, 256));
    let luma = |x: usize| turned[1].map_readable().unwrap()[128 * info.stride()[0] as usize + x];
    assert!(
        luma(10) < 90 && luma(180) > 150,
        "{} {}",
        luma(10),
        luma(180)
    );
}

/// Changes the matrix of an MP4 file's track as a phone held upright writes it: the top of what the sensor sees goes to the right.
fn turn(file: &str) {
    let number = |n: f64| ((n * 65536.0) as i32).to_be_bytes();
    let matrix = |m: [f64; 8]| {
        [
            m.map(number).concat(),
            0x4000_0000u32.to_be_bytes().to_vec(),
        ]
        .concat()
    };
    let upright = matrix([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let turned = matrix([0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 48.0, 0.0]);
    let mut bytes = std::fs::read(file).unwrap();
    let find =
        |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what).unwrap();
    let track = find(&bytes, b"tkhd");
    let at = track + find(&bytes[track..], &upright);
    bytes[at..at + turned.len()].copy_from_slice(&turned);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn parts_are_cut_and_later_cameras_are_lined_up() {
    let place = Place::new();
    let ultrawide = with_sound(&place, "uw.mp4", "mp4mux");
    let wide = place.film("w.mkv", 20);
    let out = place.text("out.mkv");
    let said = transcode!(
        refvsr_well,
        place,
        "-u",
        &ultrawide,
        "-w",
        &wide,
        "-o",
        &out,
        "--from",
        "0.5",
        "--to",
        "1.3",
        "--json",
        "--offset",
        "wide=0.8",
    );
    assert_eq!(
        times(&frames(&out).0),
        [0, 100, 200, 300, 400, 500, 600, 700]
    );
    // The wide camera's first frame belongs to the third frame of the part.
    assert!(
        said.out.contains(r#""missing_references":3"#),
        "{}",
        said.out
    );
    assert!(said.err.is_empty(), "{}", said.err);
    for line in said.out.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let (all, _) = sound(&ultrawide);
    let (part, _) = sound(&out);
    let at = all.windows(part.len()).position(|window| window == part);
    assert!(
        at.is_some() && part.len() > all.len() / 4 && part.len() < all.len() / 2,
        "{at:?} {}",
        part.len()
    );
}

#[test]
fn mistakes_are_one_line_that_names_the_file_and_nothing_is_left() {
    let place = Place::new();
    let (ultrawide, wide) = (place.film("uw.mkv", 3), place.film("w.mkv", 3));
    std::fs::create_dir(place.path("out")).unwrap();
    std::fs::write(place.path("noise.mkv"), [7; 4000]).unwrap();
    let [out, gone, noise] = ["out/a.mkv", "gone.mkv", "noise.mkv"].map(|name| place.text(name));
    let [webm, avi] = ["out/a.webm", "out/a.avi"].map(|name| place.text(name));
    let cases: [(&[&str], &[&str]); 11] = [
        (
            &["-u", &ultrawide, "-w", &gone, "-o", &out],
            &["gone.mkv", "No such file"],
        ),
        (&["-u", &noise, "-w", &wide, "-o", &out], &["noise.mkv"]),
        (
            &["-u", &ultrawide, "-w", &wide, "-o", "/proc/no/a.mkv"],
            &["/proc/no/a.mkv"],
        ),
        (
            &[
                "-u",
                &ultrawide,
                "-w",
                &wide,
                "-o",
                &out,
                "--encoder",
                "nosuchenc",
            ],
            &["nosuchenc", "a.mkv"],
        ),
        (
            &[
                "-u", &ultrawide, "-w", &wide, "-o", &webm, "--codec", "h264",
            ],
            &["a.webm", "H.264"],
        ),
        (
            &["-u", &ultrawide, "-w", &wide, "-o", &avi],
            &["a.avi", ".mkv"],
        ),
        (
            &[
                "-u",
                &ultrawide,
                "-w",
                &wide,
                "-o",
                &ultrawide,
                "--overwrite",
            ],
            &["uw.mkv", "both read and written"],
        ),
        (
            &["-u", &ultrawide, "-w", &wide, "-o", &wide],
            &["w.mkv", "--overwrite"],
        ),
        (
            &["-u", &ultrawide, "-w", &wide, "-o", &out, "--from", "99"],
            &["uw.mkv", "no frame"],
        ),
        (
            &[
                "-u",
                &ultrawide,
                "-w",
                &wide,
                "-o",
                &out,
                "--set",
                "lookahead=900",
            ],
            &["lookahead=900", "-1 to 50"],
        ),
        (
            &[
                "-u",
                &ultrawide,
                "-w",
                &wide,
                "-o",
                &out,
                "--set",
                "model-file=no.pth",
            ],
            &["no.pth"],
        ),
    ];
    let model = place.model();
    for (arguments, words) in cases {
        let all = [
            &["transcode", "--model", &model, "--device", "cpu"],
            arguments,
        ]
        .concat();
        let said = refvsr(&all);
        let good = said.code == Some(1)
            && said.err.lines().count() == 1
            && words.iter().all(|word| said.err.contains(word));
        assert!(good, "{arguments:?} {said:?}");
        assert!(place.files("out").is_empty(), "{arguments:?}");
    }
}

#[test]
fn ten_seconds_keep_their_sound_length_and_frames() {
    let place = Place::new();
    let film = |name: &str, sound: &str| {
        place.make(
            name,
            &format!(
                "videotestsrc pattern=ball num-buffers=40 ! video/x-raw,width=480,height=270,framerate=4/1,format=I420 \
                 ! x264enc speed-preset=ultrafast ! h264parse ! mp4mux name=mux ! filesink location={{}} {sound}"
            ),
        )
    };
    let ultrawide = film(
        "uw.mp4",
        "audiotestsrc wave=pink-noise num-buffers=469 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse \
         ! mux.",
    );
    let wide = film("w.mp4", "");
    let out = place.text("out.mp4");
    let model = place.light_model();
    refvsr_well(&[
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "-u",
        &ultrawide,
        "-w",
        &wide,
        "-o",
        &out,
        "--preset",
        "ultrafast",
    ]);
    assert_eq!(sound(&out), sound(&ultrawide));
    let ((small, _), (large, info)) = (frames(&ultrawide), frames(&out));
    assert_eq!((info.width(), info.height()), (1920, 1080));
    assert_eq!((large.len(), times(&large)), (40, times(&small)));
    let length = |file: &str| common::length(file).mseconds();
    assert!(
        length(&out).abs_diff(length(&ultrawide)) <= 250,
        "{} {}",
        length(&out),
        length(&ultrawide)
    );
    assert!(length(&out).abs_diff(10_000) <= 250, "{}", length(&out));
}
