//! What recordings hold that we read ourselves, and caps.

use super::inputs::{as_file, corpus, recordings, root, told};
use crate::{
    atoms,
    attack::{LIMITS, Limits, Target},
    caps, ebml,
    timecode::Timecode,
    video::{MAX_SIZE, Video},
};
use gst_video::VideoInfo;
use std::str::FromStr;

/// Caps of the ultra-wide video in the first line, what downstream takes in the second.
pub const CAPS: Target = Target {
    name: "caps",
    seeds: || {
        let seeds = [
            "video/x-raw,format=RGB,width=480,height=270,framerate=30/1\nvideo/x-raw,format={I420,NV12},width=[1,4000],height=1080",
            "video/x-raw,format=I420,width=64,height=48,framerate=0/1,max-framerate=60/1,colorimetry=bt709,chroma-site=mpeg2\nANY",
            "video/x-raw,format=I420_10LE,width=64,height=48,pixel-aspect-ratio=4/3,interlace-mode=progressive\nvideo/x-raw,width={256,300}",
            "video/x-raw,format=RGBA64_LE,width=8191,height=1\nvideo/x-raw(memory:DMABuf),width=[1,max]",
        ];
        seeds
            .map(|seed| seed.as_bytes().to_vec())
            .into_iter()
            .chain(corpus("caps"))
            .collect()
    },
    words: &[
        "video/x-raw,",
        "format=",
        "RGB",
        "NV12",
        "I420",
        "P010_10LE",
        "width=",
        "height=",
        "framerate=",
        "0/1",
        "2147483647/1",
        "1/2147483647",
        "2147483647",
        "-1",
        "0",
        "8192",
        "[1,max]",
        "[4,5]",
        "{1,2,3}",
        "(int)",
        "(string)",
        "colorimetry=1:4:0:0",
        "interlace-mode=interleaved",
        "multiview-mode=side-by-side",
        "max-framerate=",
        "pixel-aspect-ratio=1/0",
        ";",
        "\n",
        "ANY",
        "EMPTY",
    ],
    run: negotiate,
    limits: LIMITS,
};

fn negotiate(input: &[u8]) -> String {
    // GStreamer's own parser is not what is attacked: it takes texts without zeros.
    let text = String::from_utf8_lossy(input).replace('\0', "");
    let (ultrawide, downstream) = text.split_once('\n').unwrap_or((&text, "ANY"));
    let downstream = gst::Caps::from_str(downstream).unwrap_or(gst::Caps::new_any());
    let scale = if downstream.is_any() { 2 } else { 4 };
    let wanted = caps::ultrawide_caps(&downstream, scale);
    let Ok(ultrawide) = gst::Caps::from_str(ultrawide) else {
        return "no caps".to_owned();
    };
    // An event brings none else.
    if !ultrawide.is_fixed() {
        return "several caps".to_owned();
    }
    let video = match Video::new(&ultrawide) {
        Ok(video) => video,
        Err(why) => return why,
    };
    assert!(
        video.layout.width > 0 && video.layout.height > 0,
        "{ultrawide}"
    );
    let shortest = video.shortest_duration();
    assert!(
        video
            .frame_duration()
            .is_none_or(|one| Some(one) == shortest)
    );
    assert!(video.is_same_picture(&video));
    _ = (video.pixel_aspect(), video.has_coarse_colour());
    let Some(all) = caps::source_caps(&video, scale) else {
        return "too large".to_owned();
    };
    let caps = all.intersect_with_mode(&downstream, gst::CapsIntersectMode::First);
    if caps.is_empty() {
        return format!("nothing that fits, wanted {}", !wanted.is_empty());
    }
    let caps = caps::fixate_source(&video, caps);
    let info = match VideoInfo::from_caps(&caps) {
        Ok(info) => info,
        Err(_) => return "an output that is not known".to_owned(),
    };
    let enlarged = |side: u32| side * scale as u32;
    assert_eq!(
        (info.width(), info.height()),
        (enlarged(video.info.width()), enlarged(video.info.height())),
        "{caps}"
    );
    assert!(info.width().max(info.height()) <= MAX_SIZE as u32, "{caps}");
    format!("{:?}", info.format())
}

/// Timecode tracks, and what lies between two moments.
pub const TIMECODE: Target = Target {
    name: "timecode",
    seeds: || recordings("timecode", &["tcu.mov", "tcw.mov"]),
    words: ATOMS,
    run: |input| {
        let media = root().join("pipelines/tests/media/tcw.mov");
        as_file("a.mov", input, |path| {
            match (Timecode::of_file(path), Timecode::of_file(&media)) {
                (Some(own), Some(other)) => {
                    let between = [own.since(other), other.since(own), own.since(own)];
                    ["before", "the same moment", "after"][(between[0].signum() + 1) as usize]
                        .to_owned()
                }
                (own, _) => format!("{}", own.is_some()),
            }
        })
    },
    limits: LIMITS,
};

const ATOMS: &[&str] = &[
    "moov",
    "trak",
    "mdia",
    "minf",
    "stbl",
    "stsd",
    "stco",
    "co64",
    "hdlr",
    "tmcd",
    "tref",
    "chap",
    "udta",
    "chpl",
    "mdat",
    "\0\0\0\x08",
    "\0\0\0\x01",
    "\0\0\0\0",
];

/// The index of QuickTime and MP4 files.
pub const QUICKTIME: Target = Target {
    name: "quicktime",
    seeds: || {
        recordings(
            "quicktime",
            &["tcu.mov", "mat_r90flip.mp4", "full_range_bt709.mp4"],
        )
    },
    words: ATOMS,
    run: |input| {
        as_file("b.mov", input, |path| {
            let index = std::fs::File::open(path)
                .ok()
                .and_then(|mut file| atoms::index(&mut file));
            let kinds = index.as_deref().map(|index| atoms::children(index).count());
            format!(
                "{} {}",
                atoms::has_chapters(path),
                ["none", "one", "some", "many"][kinds.unwrap_or(0).min(3)]
            )
        })
    },
    limits: LIMITS,
};

/// Files attached to Matroska files.
pub const MATROSKA: Target = Target {
    name: "matroska",
    seeds: || recordings("matroska", &["k1.mkv", "k5.mkv"]),
    words: &["cover.jpg", "\u{1}", "\u{7f}", "libmatroska"],
    run: |input| {
        as_file("c.mkv", input, |path| {
            let found = ebml::attachments(path);
            let files = ebml::children(&found).count();
            let written = std::fs::File::open(path)
                .ok()
                .and_then(|mut file| ebml::segment(&mut file));
            format!(
                "{} {}",
                ["none", "one", "several"][files.min(2)],
                written.is_some()
            )
        })
    },
    limits: LIMITS,
};

/// Pictures.
pub const PNG: Target = Target {
    name: "png",
    seeds: || corpus("png"),
    words: &[
        "IHDR",
        "IDAT",
        "IEND",
        "PLTE",
        "tRNS",
        "iCCP",
        "zTXt",
        "acTL",
        "\0\0\u{7f}",
        "\0\0\0\0",
    ],
    run: |input| {
        as_file("d.png", input, |path| {
            let size = told(refvsr_train::data::png::size(path));
            let (picture, other) = (
                told(refvsr_train::data::png::read(path)),
                told(refvsr_tools::picture::read(path)),
            );
            let words =
                [size, picture, other].map(|said| said.chars().take(20).collect::<String>());
            words.concat()
        })
    },
    // A byte of deflate holds up to 1032 of a picture.
    limits: Limits {
        memory: 4 << 20,
        times: 4000,
        ..LIMITS
    },
};
