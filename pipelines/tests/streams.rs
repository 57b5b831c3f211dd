//! `refvsr transcode` on pictures that change, are interlaced, have no times, or say of themselves how they are to be seen.

mod common;

use common::{Place, Said, frames, refvsr, times};

/// A recording of the kind that GStreamer cannot write.
fn stored(name: &str) -> String {
    format!("{}/tests/media/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn transcode(place: &Place, ultrawide: &str, wide: &str, output: &str, more: &[&str]) -> Said {
    let (model, out) = (place.model(), place.text(output));
    let all = [
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "--overwrite",
        "-u",
        ultrawide,
        "-w",
        wide,
        "-o",
        &out,
    ];
    refvsr(&[&all[..], more].concat())
}

/// That the run is well and says these words.
#[track_caller]
fn well(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(0), "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "{word}: {said:?}");
    }
}

/// How many frames a file holds, and their size, which is every frame's.
fn held(place: &Place, name: &str) -> (usize, u32, u32) {
    let (frames, info) = frames(place.path(name));
    (frames.len(), info.width(), info.height())
}

#[test]
fn pictures_that_change_are_brought_to_the_form_of_the_first() {
    let place = Place::new();
    let (shape, size) = (stored("t_sar.ts"), stored("cc.ts"));
    for output in ["a.mp4", "a.mkv"] {
        let said = transcode(&place, &shape, &shape, output, &[]);
        well(&said, &["t_sar.ts: at ", "shape of pixels from 1:1 to 4:3"]);
        assert_eq!(
            said.err.matches("its picture changes").count(),
            1,
            "{said:?}"
        );
        assert_eq!(held(&place, output), (8, 256, 192));
    }
    let said = transcode(&place, &size, &shape, "b.mov", &["--codec", "prores"]);
    well(&said, &["cc.ts: at ", "size from 64x48 to 96x64"]);
    assert_eq!(held(&place, "b.mov"), (8, 256, 192));
}

/// Eight frames in MPEG-TS, which begin at `from` seconds.
fn part(place: &Place, name: &str, encoder: &str, form: &str, from: u32) -> Vec<u8> {
    let path = place.make(
        name,
        &format!(
            "videotestsrc pattern=ball num-buffers=8 timestamp-offset={} ! video/x-raw,format=I420,{form} ! {encoder} ! mpegtsmux \
             ! filesink location={{}}",
            u64::from(from) * 1_000_000_000
        ),
    );
    std::fs::read(path).unwrap()
}

#[test]
fn a_file_may_go_on_at_another_rate_in_other_colours_and_another_coding() {
    let place = Place::new();
    let wide = place.film("w.mkv", 40);
    let form = "width=64,height=48,framerate=10/1,colorimetry=bt601";
    let first = part(&place, "1.ts", "x264enc bframes=0", form, 0);
    let cases = [
        (
            "x264enc bframes=0",
            "width=64,height=48,framerate=20/1,colorimetry=bt601",
        ),
        (
            "x264enc bframes=0",
            "width=64,height=48,framerate=10/1,colorimetry=bt709",
        ),
        (
            "x265enc ! h265parse",
            "width=80,height=60,framerate=10/1,colorimetry=bt601",
        ),
    ];
    for (encoder, form) in cases {
        let both = place.text("both.ts");
        let second = part(&place, "2.ts", encoder, form, 1);
        std::fs::write(&both, [&first[..], &second].concat()).unwrap();
        // Times that jump are damage.
        let said = transcode(&place, &both, &wide, "out.mp4", &["--accept-missing"]);
        well(&said, &[]);
        assert_eq!(held(&place, "out.mp4"), (16, 256, 192), "{form}: {said:?}");
    }
}

#[test]
fn interlaced_recordings_are_refused_by_name_or_made_whole() {
    let place = Place::new();
    let whole = place.film("whole.mkv", 10);
    let (interlaced, telecined) = (stored("int_u.mts"), stored("tel.mpg"));
    for (ultrawide, wide, words) in [
        (&interlaced, &whole, "int_u.mts is interlaced"),
        (&whole, &interlaced, "int_u.mts is interlaced"),
        (&telecined, &whole, "tel.mpg is partly interlaced"),
    ] {
        let said = transcode(&place, ultrawide, wide, "no.mkv", &[]);
        let good = said.err.contains(words) && said.err.contains("--deinterlace");
        assert!(said.code == Some(1) && good, "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
    let said = transcode(
        &place,
        &interlaced,
        &whole,
        "out.mkv",
        &["--deinterlace", "--accept-missing"],
    );
    well(&said, &[]);
    assert_eq!(held(&place, "out.mkv").0, 10);
}

#[test]
fn frames_without_times_get_some_and_parts_of_any_file_can_be_cut_out() {
    let place = Place::new();
    let filmed = |name: &str, rest: &str| {
        let path = "videotestsrc pattern=ball num-buffers=12 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420";
        place.make(name, &format!("{path} ! {rest} ! filesink location={{}}"))
    };
    let pictures = filmed("a.mjpeg", "jpegenc");
    let stream = filmed(
        "a.h264",
        "x264enc bframes=2 ! h264parse ! video/x-h264,stream-format=byte-stream",
    );
    let fragments = filmed(
        "f.mp4",
        "x264enc bframes=0 key-int-max=4 ! h264parse ! mp4mux fragment-duration=300",
    );
    let all = frames(&fragments).0.len();
    let tenths = |from: u64, to: u64| (from..to).map(|n| n * 100).collect::<Vec<_>>();
    for output in ["a.mp4", "a.mkv"] {
        let said = transcode(&place, &pictures, &pictures, output, &["--framerate", "10"]);
        well(
            &said,
            &[
                "a.mjpeg: ",
                "no time of their own and follow at 10 a second",
            ],
        );
        assert_eq!(times(&frames(place.path(output)).0), tenths(0, 12));
    }
    let said = transcode(&place, &stream, &stream, "b.mp4", &["--framerate", "10"]);
    well(&said, &[]);
    assert_eq!(frames(place.path("b.mp4")).0.len(), 12);
    for (file, count) in [(&pictures, 12), (&fragments, all as u64)] {
        let more = ["--framerate", "10", "--from", "0.4", "--to", "0.9"];
        let said = transcode(&place, file, file, "c.mp4", &more);
        well(&said, &[]);
        let expected = tenths(0, 5.min(count - 4));
        assert_eq!(times(&frames(place.path("c.mp4")).0), expected, "{file}");
    }
}

/// The mean of the first channel of a PNG file.
fn mean(path: &std::path::Path) -> f64 {
    let pixels = image::open(path).unwrap().into_rgb8();
    pixels.pixels().map(|p| f64::from(p.0[0])).sum::<f64>()
        / f64::from(pixels.width() * pixels.height())
}

#[test]
fn the_range_that_the_bitstream_says_counts() {
    let place = Place::new();
    let grey = stored("full_range_bt709.mp4");
    let said = transcode(&place, &grey, &grey, "png/", &[]);
    well(&said, &[]);
    // The same grey from pictures, through the same network.
    std::fs::create_dir(place.path("in")).unwrap();
    for n in 0..3 {
        let path = place.path(&format!("in/{n}.png"));
        image::RgbImage::from_pixel(64, 48, image::Rgb([64; 3]))
            .save(path)
            .unwrap();
    }
    let folder = place.text("in");
    well(&transcode(&place, &folder, &folder, "same/", &[]), &[]);
    let [found, expected] = ["png/0001.png", "same/0001.png"].map(|name| mean(&place.path(name)));
    assert!((found - expected).abs() < 1.5, "{found} {expected}");
}

#[test]
fn hdr_is_kept_or_told() {
    let place = Place::new();
    let (hdr, wide) = (stored("hdr.mp4"), place.film("w.mkv", 3));
    let said = transcode(&place, &hdr, &wide, "a.mkv", &["--codec", "h265"]);
    well(&said, &[]);
    assert!(
        !said.err.contains("does not say that its colours"),
        "{said:?}"
    );
    let colours = frames(place.path("a.mkv")).1.colorimetry().to_string();
    assert_eq!(colours, "bt2100-pq");
    let said = transcode(
        &place,
        &hdr,
        &wide,
        "b.mp4",
        &["--codec", "av1", "--preset", "8"],
    );
    well(&said, &[]);
    let kept = frames(place.path("b.mp4")).1.colorimetry().to_string() == "bt2100-pq";
    let told = said
        .err
        .contains("does not say that its colours are bt2100-pq");
    assert!(kept != told, "{said:?}");
    assert!(said.err.contains("for which light"), "{said:?}");
}

#[test]
fn matrices_that_turn_and_mirror_are_followed() {
    let place = Place::new();
    let (turned, wide) = (stored("mat_r90flip.mp4"), place.film("w.mkv", 5));
    well(&transcode(&place, &turned, &wide, "a.mkv", &[]), &[]);
    assert_eq!(held(&place, "a.mkv"), (5, 192, 256));
}
