//! Other pixel formats give the picture that RGB gives, and rows may lie anywhere.

mod common;
use common::*;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo, prelude::*};

const FRAMES: usize = 4;
/// Rows of every plane have padding at this width.
const WIDTH: usize = 36;
const HEIGHT: usize = 28;

/// A picture with smooth colours, R'G'B' in \[0, 1\].
fn smooth(camera: u64, n: usize, x: usize, y: usize) -> [f64; 3] {
    let (x, y, t) = (
        x as f64 / WIDTH as f64,
        y as f64 / HEIGHT as f64,
        n as f64 * 0.3 + camera as f64,
    );
    let luma = 0.5 + 0.2 * (14.0 * x + 9.0 * y + t).sin();
    [
        luma + 0.08 * (2.0 * x + t).sin(),
        luma,
        luma - 0.08 * (1.5 * y + t).cos(),
    ]
}

/// A buffer of a format, filled pixel by pixel; chroma sits between its pixels (no siting).
fn filled(format: VideoFormat, camera: u64, n: usize) -> gst::Buffer {
    let info = VideoInfo::builder(format, WIDTH as u32, HEIGHT as u32)
        .build()
        .unwrap();
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_pts(FRAME * n as u64);
        buffer.set_duration(FRAME);
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &info).unwrap();
        for component in 0..info.n_components() {
            fill_component(&mut frame, &info, component as u8, camera, n);
        }
    }
    buffer
}

fn fill_component(
    frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
    info: &VideoInfo,
    component: u8,
    camera: u64,
    n: usize,
) {
    let plane = info.comp_plane(component);
    let (stride, step, first) = (
        info.stride()[plane as usize] as usize,
        info.comp_pstride(component) as usize,
        offset(info, component),
    );
    let (width, height) = (
        info.comp_width(component) as usize,
        info.comp_height(component) as usize,
    );
    let (sub_x, sub_y) = (WIDTH / width, HEIGHT / height);
    let depth = info.comp_depth(component);
    let finfo = info.format_info();
    let shift = finfo.shift()[component as usize];
    let data = frame.plane_data_mut(plane).unwrap();
    for y in 0..height {
        for x in 0..width {
            // The mean over the pixels that the sample stands for.
            let mut value = 0.0;
            for (i, j) in (0..sub_x).flat_map(|i| (0..sub_y).map(move |j| (i, j))) {
                value += code(
                    info,
                    component,
                    smooth(camera, n, x * sub_x + i, y * sub_y + j),
                ) / (sub_x * sub_y) as f64;
            }
            let code = (value.round() as u32) << shift;
            let at = y * stride + x * step + first;
            if depth > 8 {
                data[at..at + 2].copy_from_slice(&(code as u16).to_le_bytes());
            } else {
                data[at] = code as u8;
            }
        }
    }
}

/// Where a component's first sample lies in its plane. Of P010, GStreamer tells the offset in samples.
fn offset(info: &VideoInfo, component: u8) -> usize {
    let offset = info.comp_poffset(component) as usize;
    if info.format() == VideoFormat::P01010le {
        offset * 2
    } else {
        offset
    }
}

/// A component's code, not yet rounded.
fn code(info: &VideoInfo, component: u8, [r, g, b]: [f64; 3]) -> f64 {
    let full = f64::from((1_u32 << info.comp_depth(component)) - 1);
    if info.is_rgb() {
        return [r, g, b, 1.0][component as usize] * full;
    }
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    let unit = f64::from(1_u32 << (info.comp_depth(component) - 8));
    unit * match component {
        0 => 16.0 + 219.0 * y,
        1 => 128.0 + 224.0 * (b - y) / 1.772,
        _ => 128.0 + 224.0 * (r - y) / 1.402,
    }
}

/// Plays the clip in one format and returns the frames as they come out.
fn play_as(format: VideoFormat) -> Vec<gst::Buffer> {
    let info = VideoInfo::builder(format, WIDTH as u32, HEIGHT as u32)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .unwrap();
    let mut rig = Rig::new(element());
    let caps = info.to_caps().unwrap();
    rig.ultrawide.set_src_caps(caps.clone());
    rig.wide().set_src_caps(caps);
    let clip = |camera| (0..FRAMES).map(|n| filled(format, camera, n)).collect();
    let out = rig.run(clip(ULTRAWIDE), clip(WIDE), vec![]);
    assert_eq!(out.len(), FRAMES);
    out
}

/// One component of a picture as numbers in \[0, 1\] of its codes' range.
fn plane(format: VideoFormat, component: u8, buffer: &gst::Buffer) -> Vec<f64> {
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let info = VideoInfo::builder(format, width as u32, height as u32)
        .build()
        .unwrap();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
    let index = info.comp_plane(component);
    let (stride, step, first) = (
        frame.plane_stride()[index as usize] as usize,
        info.comp_pstride(component) as usize,
        offset(&info, component),
    );
    let shift = info.format_info().shift()[component as usize];
    let depth = info.comp_depth(component);
    let data = frame.plane_data(index).unwrap();
    let mut out = vec![];
    for y in 0..info.comp_height(component) as usize {
        for x in 0..info.comp_width(component) as usize {
            let at = y * stride + x * step + first;
            let code = if depth > 8 {
                u32::from(u16::from_le_bytes([data[at], data[at + 1]]))
            } else {
                u32::from(data[at])
            };
            out.push(f64::from(code >> shift) / f64::from((1_u32 << depth) - 1));
        }
    }
    out
}

/// The components that the RGB result would have in a format, at the format's own chroma resolution.
fn wanted(format: VideoFormat, component: u8, rgb: &gst::Buffer) -> Vec<f64> {
    let planes = [0, 1, 2].map(|c| plane(VideoFormat::Rgb, c, rgb));
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let info = VideoInfo::builder(format, width as u32, height as u32)
        .build()
        .unwrap();
    let (w, h) = (
        info.comp_width(component) as usize,
        info.comp_height(component) as usize,
    );
    let (sub_x, sub_y) = (width / w, height / h);
    let full = f64::from((1_u32 << info.comp_depth(component)) - 1);
    let mut out = vec![];
    for y in 0..h {
        for x in 0..w {
            let mut value = 0.0;
            for (i, j) in (0..sub_x).flat_map(|i| (0..sub_y).map(move |j| (i, j))) {
                let at = (y * sub_y + j) * width + x * sub_x + i;
                value += code(
                    &info,
                    component,
                    [planes[0][at], planes[1][at], planes[2][at]],
                ) / (sub_x * sub_y) as f64;
            }
            out.push(value / full);
        }
    }
    out
}

fn psnr(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    -10.0 * (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64).log10()
}

#[test]
fn every_format_gives_the_picture_that_rgb_gives() {
    init();
    let rgb = play_as(VideoFormat::Rgb);
    use VideoFormat::*;
    for format in [
        Bgr, Rgbx, Bgrx, Rgba, Bgra, Gbr, I420, Nv12, Y42b, Y444, P01010le, I42010le, Rgba64Le,
        I42210le, Yuy2, Uyvy, Nv21, Yv12, Xrgb, Xbgr, Argb, Abgr,
    ] {
        let out = play_as(format);
        for (n, (buffer, rgb)) in out.iter().zip(&rgb).enumerate() {
            for component in 0..3 {
                let psnr = psnr(
                    &plane(format, component, buffer),
                    &wanted(format, component, rgb),
                );
                assert!(
                    psnr > 45.0,
                    "{format:?} frame {n} component {component}: {psnr:.1} dB"
                );
            }
        }
    }
}

#[test]
fn downstream_may_ask_for_another_format() {
    init();
    let rgb = play_as(VideoFormat::Rgb);
    let mut rig = Rig::new(element());
    let caps = VideoInfo::builder(VideoFormat::Rgb, WIDTH as u32, HEIGHT as u32)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .unwrap()
        .to_caps()
        .unwrap();
    rig.ultrawide.set_src_caps(caps.clone());
    rig.wide().set_src_caps(caps);
    rig.ultrawide.set_sink_caps_str("video/x-raw,format=NV12");
    let clip = |camera| {
        (0..FRAMES)
            .map(|n| filled(VideoFormat::Rgb, camera, n))
            .collect()
    };
    let out = rig.run(clip(ULTRAWIDE), clip(WIDE), vec![]);
    for component in 0..3 {
        let psnr = psnr(
            &plane(VideoFormat::Nv12, component, &out[1]),
            &wanted(VideoFormat::Nv12, component, &rgb[1]),
        );
        assert!(psnr > 45.0, "component {component}: {psnr:.1} dB");
    }
}

/// The small model, with its last convolution at zero: what comes out is as smooth as what goes in.
fn smooth_model(folder: &std::path::Path) -> String {
    let network = refvsr::Network::load(std::path::Path::new(&model()), tch::Device::Cpu).unwrap();
    for (_, mut weight) in network
        .weights()
        .variables()
        .into_iter()
        .filter(|(name, _)| name.starts_with("conv_last"))
    {
        let _ = tch::no_grad(|| weight.zero_());
    }
    let path = folder.join("smooth.safetensors");
    refvsr::checkpoint::save(&network, &path, tch::Kind::Float).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn formats_through_gst_launch_give_the_picture_that_rgb_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (camera, name) in [(ULTRAWIDE, "ultrawide"), (WIDE, "wide")] {
        let mut clip = vec![];
        for n in 0..FRAMES {
            for (y, x) in (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (y, x))) {
                clip.extend(smooth(camera, n, x, y).map(|v| (v * 255.0).round() as u8));
            }
        }
        std::fs::write(path(name), clip).unwrap();
    }
    // Between 8-bit formats videoconvert is no better than 36 dB by itself (it rounds down); by way of 16 bits it does well.
    let to = |format: &str| {
        format!(
            "! videoconvert ! video/x-raw,format=RGBA64_LE ! videoconvert ! video/x-raw,format={format}"
        )
    };
    // Plays the clip, converted to `format` going in; `out`: the formats it passes through coming out.
    let result = |model: &str, format: Option<&str>, out: &[&str]| {
        let branch = |name: &str| {
            let parse =
                format!("rawvideoparse format=rgb width={WIDTH} height={HEIGHT} framerate=25/1");
            format!(
                "filesrc location={} ! {parse} {} ! r.{name}",
                path(name),
                format.map(to).unwrap_or_default()
            )
        };
        let [first, then @ ..] = out else {
            unreachable!()
        };
        gst_launch_well(&format!(
            "-q refvsr name=r device=cpu lookahead=1 model-file={model} ! video/x-raw,format={first} {} ! filesink location={} {} {}",
            then.iter().map(|f| to(f)).collect::<String>(),
            path("out"),
            branch("ultrawide"),
            branch("wide"),
        ));
        let out = std::fs::read(path("out")).unwrap();
        assert_eq!(out.len(), FRAMES * WIDTH * HEIGHT * SCALE * SCALE * 3);
        out.iter()
            .map(|&v| f64::from(v) / 255.0)
            .collect::<Vec<_>>()
    };
    let smooth_model = smooth_model(folder.path());
    let smooth_rgb = result(&smooth_model, None, &["RGB"]);
    for format in ["I420", "NV12", "P010_10LE", "RGBA64_LE"] {
        let plain = psnr(
            &result(&smooth_model, Some(format), &[format, "RGB"]),
            &smooth_rgb,
        );
        // The network's own detail has colours too fine for half the resolution: for this, the RGB result passes through the format too.
        let detailed = psnr(
            &result(&model(), Some(format), &[format, "RGB"]),
            &result(&model(), None, &["RGB", format, "RGB"]),
        );
        assert!(
            plain > 45.0 && detailed > 45.0,
            "{format}: {plain:.1} dB, {detailed:.1} dB with detail"
        );
    }
}

/// The same picture with rows `extra` bytes further apart, as its metadata says.
fn spread(buffer: &gst::Buffer, size: (usize, usize), extra: usize) -> gst::Buffer {
    let (width, height) = size;
    let stride = width * 3 + extra;
    let data = buffer.map_readable().unwrap();
    let mut rows = vec![0xAA; stride * height];
    for y in 0..height {
        rows[y * stride..][..width * 3].copy_from_slice(&data[y * width * 3..][..width * 3]);
    }
    let mut out = common::buffer(rows, buffer.pts().unwrap(), buffer.duration().unwrap());
    gst_video::VideoMeta::add_full(
        out.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        VideoFormat::Rgb,
        width as u32,
        height as u32,
        &[0],
        &[stride as i32],
    )
    .unwrap();
    out
}

#[test]
fn strides_are_honoured_coming_in() {
    let mut rig = Rig::new(element());
    let clip = |camera| {
        frames(camera, 0..3)
            .iter()
            .map(|b| spread(b, SIZE, 20))
            .collect()
    };
    let out = rig.run(clip(ULTRAWIDE), clip(WIDE), vec![]);
    assert_pictures(&out, &expected(&together(0..3), 1));
}

#[test]
fn upstream_learns_that_rows_may_lie_anywhere() {
    let mut rig = Rig::new(element());
    rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
    rig.wide().push(frame(WIDE, 0)).unwrap();
    for pad in ["ultrawide", "wide"] {
        let pad = rig.element.static_pad(pad).unwrap();
        let mut query = gst::query::Allocation::new(Some(&caps()), true);
        assert!(pad.query(&mut query));
        assert!(
            query
                .find_allocation_meta::<gst_video::VideoMeta>()
                .is_some()
        );
    }
}

#[test]
fn flags_and_metadata_are_kept_and_scaled() {
    let mut rig = Rig::new(element());
    let mut clip = frames(ULTRAWIDE, 0..2);
    {
        let first = clip[0].get_mut().unwrap();
        first.set_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::MARKER);
        first.set_offset(77);
        gst_video::VideoRegionOfInterestMeta::add(first, "face", (1, 2, 3, 4));
        gst_video::VideoCropMeta::add(first, (2, 2, 8, 8));
        let reference = gst::Caps::builder("timestamp/x-test").build();
        gst::ReferenceTimestampMeta::add(first, &reference, gst::ClockTime::SECOND, None);
    }
    let out = rig.run(clip, frames(WIDE, 0..2), vec![]);
    assert!(
        out[0]
            .flags()
            .contains(gst::BufferFlags::DISCONT | gst::BufferFlags::MARKER)
    );
    assert!(!out[1].flags().contains(gst::BufferFlags::MARKER));
    assert_eq!(out[0].offset(), 77);
    assert_eq!(
        out[0]
            .meta::<gst_video::VideoRegionOfInterestMeta>()
            .unwrap()
            .rect(),
        (4, 8, 12, 16)
    );
    assert_eq!(
        out[0].meta::<gst_video::VideoCropMeta>().unwrap().rect(),
        (8, 8, 32, 32)
    );
    assert_eq!(
        out[0]
            .meta::<gst::ReferenceTimestampMeta>()
            .unwrap()
            .timestamp(),
        gst::ClockTime::SECOND
    );
    assert!(
        out[1]
            .meta::<gst_video::VideoRegionOfInterestMeta>()
            .is_none()
    );
}

#[test]
fn interlaced_video_is_refused() {
    let rig = Rig::new(element());
    for pad in ["ultrawide", "wide"] {
        let pad = rig.element.static_pad(pad).unwrap();
        let mut caps = caps();
        assert!(pad.query_accept_caps(&caps));
        caps.make_mut().set("interlace-mode", "interleaved");
        assert!(!pad.query_accept_caps(&caps));
        assert!(pad.query_caps(Some(&caps)).is_empty());
    }
}

/// Upstream's own error says that negotiation failed, and nothing of memory.
#[test]
fn frames_in_another_memory_are_refused_with_what_helps() {
    for (memory, helps) in [
        ("memory:CUDAMemory", "cudadownload"),
        ("memory:GLMemory", "gldownload"),
        ("memory:DMABuf", "vapostproc"),
    ] {
        let caps = format!("video/x-raw({memory}),format=NV12,width=16,height=12,framerate=25/1");
        let pipeline = parse(&format!(
            "appsrc name=u format=time caps={caps} ! refvsr device=cpu model-file={} ! fakesink",
            model()
        ));
        let source = pipeline.by_name("u").unwrap();
        let source = source.downcast::<gst_app::AppSrc>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        source.push_buffer(frame(ULTRAWIDE, 0)).unwrap();
        let bus = pipeline.bus().unwrap();
        let first = wait_for(&bus, &[gst::MessageType::Warning, gst::MessageType::Error]);
        let gst::MessageView::Warning(warning) = first.view() else {
            panic!("{first:?}");
        };
        let said = warning.error().to_string();
        for name in ["ultrawide", memory, helps] {
            assert!(said.contains(name), "{said}");
        }
        error_on(&bus);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn downstream_sizes_reach_upstream() {
    let mut rig = Rig::new(element());
    rig.ultrawide
        .set_sink_caps_str("video/x-raw,width=256,height=128");
    let caps = rig
        .element
        .static_pad("ultrawide")
        .unwrap()
        .query_caps(None);
    let s = caps.structure(0).unwrap();
    assert_eq!(
        (s.get::<i32>("width"), s.get::<i32>("height")),
        (Ok(64), Ok(32))
    );
}

#[test]
fn stereo_packed_into_one_frame_is_refused() {
    let rig = Rig::new(element());
    for pad in ["ultrawide", "wide"] {
        let pad = rig.element.static_pad(pad).unwrap();
        let mut caps = caps();
        for (mode, accepted) in [("left", true), ("mono", true), ("side-by-side", false)] {
            caps.make_mut().set("multiview-mode", mode);
            assert_eq!(pad.query_accept_caps(&caps), accepted, "{mode}");
        }
    }
}

#[test]
fn pixel_aspect_ratios_of_references_are_evened_out() {
    // A wide camera with pixels half as wide shows the same scene with twice as many columns.
    let mut rig = Rig::new(element());
    let (width, height) = SIZE;
    let narrow = (2 * width, height);
    let mut caps = caps_of(narrow, FRAME);
    caps.make_mut()
        .set("pixel-aspect-ratio", gst::Fraction::new(1, 2));
    rig.wide().set_src_caps(caps);
    let doubled = |n| {
        picture(WIDE, n)
            .chunks(3)
            .flat_map(|p| [p, p].concat())
            .collect::<Vec<_>>()
    };
    let wide = (0..3).map(|n| buffer(doubled(n), FRAME * n as u64, FRAME));
    let out = rig.run(frames(ULTRAWIDE, 0..3), wide.collect(), vec![]);
    // What the wide camera's picture is like when its pixels are square.
    let squared = |n| {
        let wide = to_tensor(&doubled(n), narrow);
        let (h, w) = (height as i64, width as i64);
        let wide = refvsr::image::resize::bicubic_antialiased(&wide, h, w).unwrap();
        to_bytes(&wide.clamp(0.0, 1.0))
    };
    let moments: Vec<Moment> = (0..3)
        .map(|n| (picture(ULTRAWIDE, n), Some(squared(n)), None))
        .collect();
    for (n, (out, wanted)) in out.iter().zip(expected(&moments, 1)).enumerate() {
        // The expected picture's reference was rounded to bytes.
        let out = bytes(out);
        let off = out
            .iter()
            .zip(&wanted)
            .filter(|(a, b)| a.abs_diff(**b) > 2)
            .count();
        assert!(
            off * 100 < out.len(),
            "frame {n}: {off} of {} values differ",
            out.len()
        );
    }
}

#[test]
fn a_camera_of_an_absurd_shape_is_refused_with_its_caps() {
    for (wide, ultrawide_first) in [((10, 4000), true), ((1, 32_767), false)] {
        let element = element();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut rig = Rig::without_wide(element);
        let caps_of_wide = caps_of(wide, FRAME);
        let mut camera = gst_check::Harness::with_element(&rig.element, Some("wide"), None);
        camera.set_live(false);
        if ultrawide_first {
            rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
        }
        camera.set_src_caps(caps_of_wide);
        let error = error_on(&bus);
        let size = format!("{}x{}", wide.0, wide.1);
        assert!(error.contains(&size) && error.contains("wide"), "{error}");
        assert!(error.contains("8 times"), "{error}");
    }
}
