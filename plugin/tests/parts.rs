//! The element's pure parts, each by itself.

#![allow(dead_code)] // the element uses the rest

#[path = "../src/refvsr/camera.rs"]
mod camera;
#[path = "../src/refvsr/caps.rs"]
mod caps;
#[path = "../src/refvsr/drift.rs"]
mod drift;
#[path = "../src/refvsr/enums.rs"]
mod enums;
#[path = "../src/refvsr/epochs.rs"]
mod epochs;
#[path = "../src/refvsr/last_frame.rs"]
mod last_frame;
#[path = "../src/refvsr/networks.rs"]
mod networks;
#[path = "../src/refvsr/overload.rs"]
mod overload;
#[path = "../src/refvsr/pace.rs"]
mod pace;
#[path = "../src/refvsr/recent.rs"]
mod recent;
#[path = "../src/refvsr/stats.rs"]
mod stats;
#[path = "../src/refvsr/timing.rs"]
mod timing;
#[path = "../src/refvsr/video.rs"]
mod video;

mod of_camera {
    use super::camera::*;

    #[test]
    fn every_camera_has_a_value_of_its_own() {
        let mut names = PerCamera::default();
        for camera in Camera::ALL {
            names[camera] = camera.name();
        }
        assert_eq!(Camera::ALL.map(|c| names[c]), ["ultrawide", "wide", "tele"]);
    }

    #[test]
    fn pads_are_told_by_their_names() {
        gst::init().unwrap();
        for camera in Camera::ALL {
            let pad = gst::Pad::builder(gst::PadDirection::Sink)
                .name(camera.name())
                .build();
            assert_eq!(Camera::of(&pad), camera);
        }
    }
}

mod of_caps {
    use super::{caps::*, video::Video};
    use ::refvsr::image::colour::{Matrix, Range};
    use std::str::FromStr;

    fn video(caps: &str) -> Video {
        gst::init().unwrap();
        Video::new(&gst::Caps::from_str(caps).unwrap()).unwrap()
    }

    fn chosen(caps: &str, downstream: &str) -> Option<gst::Caps> {
        let video = video(caps);
        let caps = source_caps(&video, 4).unwrap();
        let caps = caps.intersect_with_mode(
            &gst::Caps::from_str(downstream).unwrap(),
            gst::CapsIntersectMode::First,
        );
        (!caps.is_empty()).then(|| fixate_source(&video, caps))
    }

    #[test]
    fn source_keeps_everything_but_the_size() {
        let input = "video/x-raw,format=NV12,width=160,height=120,framerate=24000/1001,pixel-aspect-ratio=8/9,colorimetry=bt709,chroma-site=mpeg2";
        let caps = chosen(input, "video/x-raw").unwrap();
        let s = caps.structure(0).unwrap();
        assert_eq!(
            (s.get::<i32>("width"), s.get::<i32>("height")),
            (Ok(640), Ok(480))
        );
        assert_eq!(s.get::<&str>("format"), Ok("NV12"));
        assert_eq!(s.get::<&str>("colorimetry"), Ok("bt709"));
        assert_eq!(s.get::<&str>("chroma-site"), Ok("mpeg2"));
        assert_eq!(s.get("framerate"), Ok(gst::Fraction::new(24000, 1001)));
        assert_eq!(s.get("pixel-aspect-ratio"), Ok(gst::Fraction::new(8, 9)));
    }

    #[test]
    fn colorimetry_does_not_change_with_the_height() {
        // 240 lines mean BT.601 where nothing is said, 960 would mean BT.709.
        let caps = chosen(
            "video/x-raw,format=I420,width=320,height=240",
            "video/x-raw",
        )
        .unwrap();
        let out = Video::new(&caps).unwrap();
        assert_eq!(out.layout.matrix, Matrix::Bt601);
        assert_eq!(out.layout.range, Range::Limited);
    }

    #[test]
    fn downstream_may_choose_another_format() {
        let input = "video/x-raw,format=I420,width=16,height=16,colorimetry=bt709";
        let caps = chosen(input, "video/x-raw,format={RGB,NV12}").unwrap();
        assert_eq!(
            caps.structure(0).unwrap().get::<&str>("format"),
            Ok("NV12"),
            "the same kind first"
        );
        let caps = chosen(input, "video/x-raw,format=RGB").unwrap();
        let out = Video::new(&caps).unwrap();
        assert_eq!(
            (out.layout.matrix, out.layout.range),
            (Matrix::Rgb, Range::Full)
        );
        assert_eq!(
            out.info.colorimetry().primaries(),
            gst_video::VideoColorPrimaries::Bt709
        );
        let caps = chosen(
            "video/x-raw,format=RGB,width=16,height=16",
            "video/x-raw,format=I420",
        )
        .unwrap();
        let out = Video::new(&caps).unwrap();
        assert_eq!(
            (out.layout.matrix, out.layout.range),
            (Matrix::Bt601, Range::Limited)
        );
        assert!(chosen(input, "video/x-raw,format=GRAY8").is_none());
        assert!(chosen(input, "video/x-raw,width=17").is_none());
    }

    #[test]
    fn interlaced_unknown_and_oversized_video_is_refused() {
        gst::init().unwrap();
        let caps = gst::Caps::from_str(
            "video/x-raw,format=I420,width=16,height=16,interlace-mode=interleaved",
        )
        .unwrap();
        assert!(Video::new(&caps).unwrap_err().contains("interlaced"));
        let caps = gst::Caps::from_str("video/x-raw,format=GRAY8,width=16,height=16").unwrap();
        let why = Video::new(&caps).unwrap_err().to_uppercase();
        assert!(why.contains("GRAY8"), "{why}");
        let caps = gst::Caps::from_str(
            "video/x-raw,format=I420,width=16,height=16,multiview-mode=side-by-side",
        )
        .unwrap();
        assert!(Video::new(&caps).unwrap_err().contains("stereo"));
        assert!(source_caps(&video("video/x-raw,format=RGB,width=20000,height=16"), 4).is_none());
    }

    #[test]
    fn sizes_downstream_wants_are_divided() {
        gst::init().unwrap();
        let size = |caps: &str| {
            let caps = ultrawide_caps(&gst::Caps::from_str(caps).unwrap(), 4);
            caps.structure(0).map(|s| {
                (
                    s.value("width").unwrap().clone(),
                    s.value("height").unwrap().clone(),
                )
            })
        };
        let (w, h) = size("video/x-raw,width=1920,height=[5,63]").unwrap();
        assert_eq!(w.get::<i32>().unwrap(), 480);
        let h = h.get::<gst::IntRange<i32>>().unwrap();
        assert_eq!((h.min(), h.max()), (2, 15));
        assert!(size("video/x-raw,width=1921").is_none());
        assert!(size("video/x-raw,width=[5,7]").is_none());
        let (w, _) = size("video/x-raw,width={8,9,12},height=4").unwrap();
        assert_eq!(w.get::<gst::List>().unwrap().len(), 2);
        assert!(size("video/x-raw,format=I420,width=8,height=8").is_some());
    }
}

mod of_epochs {
    use super::{camera::Camera::*, epochs::*};
    use gst::Seqnum;
    use std::time::Instant;

    #[test]
    fn an_epoch_is_open_until_every_pad_has_entered_it() {
        let linked = [UltraWide, Wide];
        let mut epochs = Epochs::default();
        assert_eq!(epochs.open_for(&linked), None);
        let seqnum = Seqnum::next();
        epochs.flush_start(UltraWide, seqnum);
        assert!(epochs.open_for(&linked).is_some());
        let stopped = Instant::now();
        epochs.flush_stop(UltraWide, seqnum, true);
        let open = epochs.open_for(&linked).is_some();
        assert!(
            open || stopped.elapsed() >= GRACE,
            "the other pad's may follow"
        );
        epochs.flush_start(Wide, seqnum);
        assert!(epochs.open_for(&linked).is_some());
        epochs.flush_stop(Wide, seqnum, true);
        assert_eq!(epochs.open_for(&linked), None);
        assert_eq!(epochs.current(), 1, "one flush, one epoch");

        let stopped = Instant::now();
        epochs.flush_stop(Wide, Seqnum::next(), true);
        let left = epochs.open_for(&linked);
        let open = left.is_some_and(|left| left <= GRACE);
        assert!(open || stopped.elapsed() >= GRACE);
        std::thread::sleep(GRACE);
        assert_eq!(epochs.open_for(&linked), None, "it was alone");
        epochs.flush_start(Tele, Seqnum::next());
        epochs.replace_pad(Tele);
        assert_eq!(epochs.open_for(&linked), None);
    }

    #[test]
    fn a_seek_ends_what_began_before_it() {
        let mut epochs = Epochs::default();
        let (seek, before) = (Seqnum::next(), epochs.current());
        assert!(epochs.seek(seek));
        assert!(!epochs.seek(seek), "a second sink sends it too");
        assert!(epochs.is_ending(before));
        epochs.flush_start(UltraWide, seek);
        epochs.flush_stop(UltraWide, seek, true);
        assert!(!epochs.is_ending(epochs.current()), "this is from after it");
        assert!(epochs.is_seeking());
        epochs.seek_done();
        assert!(!epochs.is_seeking());
        assert!(!epochs.is_ending(before));
    }

    #[test]
    fn a_pad_that_no_flush_will_reach_learns_of_the_one_under_way() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.under_way(Wide), None);
        let seqnum = Seqnum::next();
        epochs.flush_start(UltraWide, seqnum);
        assert_eq!(epochs.under_way(Wide), Some(seqnum));
        epochs.flush_start(Wide, seqnum);
        assert_eq!(epochs.under_way(Wide), Some(seqnum), "not its end");
        epochs.flush_stop(Wide, seqnum, false);
        assert_eq!(epochs.under_way(Wide), None);
        assert!(!epochs.resets_time, "as the other pads' flush");
        epochs.replace_pad(Tele);
        assert_eq!(epochs.under_way(Tele), None, "a new pad is as if flushed");
        epochs.flush_stop(UltraWide, seqnum, false);
        epochs.flush_start(UltraWide, Seqnum::next());
        assert!(epochs.resets_time);
    }

    #[test]
    fn a_flush_of_one_pad_leaves_the_others_frames_alone() {
        let mut epochs = Epochs::default();
        let before = epochs.current();
        epochs.flush_start(Wide, Seqnum::next());
        assert!(epochs.left(Wide, before) && !epochs.left(UltraWide, before));
        assert!(!epochs.left(Wide, epochs.current()));
    }
}

mod of_last_frame {
    use super::last_frame::*;
    use gst::ClockTime;

    #[test]
    fn frames_within_a_second_go_on_from_the_last() {
        let ms = ClockTime::from_mseconds;
        let last = LastFrame::new(ms(5000), Some(ms(40)), None);
        let goes_on = [3999, 4000, 5000, 5040, 6040, 6041].map(|time| last.leads_to(ms(time)));
        assert_eq!(goes_on, [false, true, true, true, true, false]);
    }

    #[test]
    fn slow_streams_have_longer() {
        let seconds = ClockTime::from_seconds;
        let last = LastFrame::new(seconds(10), Some(seconds(4)), None);
        assert!(last.leads_to(seconds(22)));
        assert!(!last.leads_to(seconds(23)));
    }
}

mod of_networks {
    use super::networks::*;
    use ::refvsr::ModelConfig;
    use ::refvsr::{Error, Network, Precision};
    use tch::Device;

    fn load() -> Result<Network, Error> {
        let config = ModelConfig {
            mid_channels: 2,
            num_blocks: 1,
            ..ModelConfig::preset("refvsr-mfid")?
        };
        Network::new(config, Device::Cpu)
    }

    fn weights_at(network: &Network) -> usize {
        network.weights().variables()["conv_last.weight"].data_ptr() as usize
    }

    #[test]
    fn a_network_is_shared_for_as_long_as_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        std::fs::write(&path, "one").unwrap();
        let key = |precision| Key {
            source: Source::file(&path),
            device: Device::Cpu,
            precision,
        };
        let first = shared(key(Precision::Fp32), load).unwrap();
        let never = || unreachable!("it is there");
        let second = shared(key(Precision::Fp32), never).unwrap();
        assert_eq!(weights_at(&first), weights_at(&second));
        let other = shared(key(Precision::Bf16), load).unwrap();
        assert_ne!(weights_at(&first), weights_at(&other));
        let before = key(Precision::Fp32);
        std::fs::write(&path, "another").unwrap();
        assert_ne!(before, key(Precision::Fp32));
        drop(first);
        assert!(shared(before, || unreachable!("the second one has it")).is_ok());

        // While one loads, others that want another model do not wait.
        let beside = |_: &Network| shared(key(Precision::Fp32Fast), load).map(drop);
        let within = shared(key(Precision::Fp16), || {
            load().inspect(|network| beside(network).unwrap())
        });
        drop(within.unwrap());

        let failed = shared(key(Precision::Fp16), || Err(Error::Drained));
        assert!(failed.is_err());
        let later = shared(key(Precision::Fp16), load).unwrap();
        let gone = later.downgrade();
        drop(later);
        assert!(gone.upgrade().is_none());
    }
}

mod of_stats {
    use super::{camera::Camera, overload::Fate, stats::*};
    use std::time::Duration;

    #[test]
    fn structure_carries_all_counts() {
        gst::init().unwrap();
        let mut stats = Stats::new("m".into(), 0);
        stats.frames_in = 5;
        assert_eq!(
            Stats::default().to_structure().get::<u64>("mean-latency"),
            Ok(0)
        );
        for (ms, fate) in [
            (1, Fate::Enlarged),
            (2, Fate::Bypassed),
            (3, Fate::Dropped),
            (6, Fate::Enlarged),
        ] {
            stats.finished(Duration::from_millis(ms), fate);
        }
        let s = stats.to_structure();
        assert_eq!(s.get::<u64>("frames-in"), Ok(5));
        assert_eq!(s.get::<u64>("frames-out"), Ok(3));
        assert_eq!(s.get::<u64>("frames-dropped"), Ok(1));
        assert_eq!(s.get::<u64>("frames-bypassed"), Ok(1));
        assert_eq!(s.get::<u64>("mean-latency"), Ok(3_000_000));
        assert_eq!(s.get::<u64>("last-latency"), Ok(6_000_000));
        assert_eq!(s.get::<&str>("model"), Ok("m"));
        assert_eq!(s.get::<f64>("wide-zoom-found"), Ok(0.0));
        stats.zooms_found[Camera::Tele] = Some(4.9);
        let s = stats.to_structure();
        assert_eq!(s.get::<f64>("tele-zoom-found"), Ok(4.9));
    }
}

mod of_video {
    use super::video::*;
    use std::str::FromStr;

    fn video(caps: &str) -> Video {
        gst::init().unwrap();
        Video::new(&gst::Caps::from_str(caps).unwrap()).unwrap()
    }

    #[test]
    fn frame_durations() {
        let ms = |fps: &str| {
            video(&format!(
                "video/x-raw,format=RGB,width=8,height=8,framerate={fps}"
            ))
            .frame_duration()
            .map(gst::ClockTime::mseconds)
        };
        assert_eq!(ms("25/1"), Some(40));
        assert_eq!(ms("30000/1001"), Some(33));
        assert_eq!(ms("0/1"), None);
        let varying =
            video("video/x-raw,format=RGB,width=8,height=8,framerate=0/1,max-framerate=50/1");
        assert_eq!(
            (varying.frame_duration(), varying.shortest_duration()),
            (None, Some(gst::ClockTime::from_mseconds(20)))
        );
    }
}
