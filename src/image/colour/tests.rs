//! Expected values are computed by hand, or by plain loops over pixels in f64 with the standards' decimals.

use super::*;
use PixelFormat::*;
use proptest::prelude::*;

const CENTRED: ChromaSite = ChromaSite {
    horizontally_cosited: false,
    vertically_cosited: false,
};
const MPEG2: ChromaSite = ChromaSite {
    horizontally_cosited: true,
    vertically_cosited: false,
};
const SITES: [ChromaSite; 4] = [
    CENTRED,
    MPEG2,
    ChromaSite {
        horizontally_cosited: false,
        vertically_cosited: true,
    },
    ChromaSite {
        horizontally_cosited: true,
        vertically_cosited: true,
    },
];
const RGB_FORMATS: [PixelFormat; 8] = [Rgb, Bgr, Rgbx, Bgrx, Rgba, Bgra, Gbr, Rgba64Le];
const PACKED_RGB: [PixelFormat; 3] = [Rgb, Bgr, Rgba64Le];

/// Matrix, then as the standards print them: Cr to R, Cb to G, Cr to G, Cb to B.
const DECIMALS: [(Matrix, [f64; 4]); 3] = [
    (Matrix::Bt601, [1.402, 0.344136, 0.714136, 1.772]),
    (Matrix::Bt709, [1.5748, 0.187324, 0.468124, 1.8556]),
    (Matrix::Bt2020, [1.4746, 0.164553, 0.571353, 1.8814]),
];

fn layout(format: PixelFormat, width: usize, height: usize) -> ImageLayout {
    ImageLayout {
        format,
        width,
        height,
        matrix: Matrix::Bt709,
        range: Range::Full,
        site: CENTRED,
    }
}

/// `[1, 3, H, W]` of a function of component, row and column.
fn picture(width: usize, height: usize, value: impl Fn(usize, usize, usize) -> f64) -> Tensor {
    let mut values = Vec::new();
    for (c, y, x) in
        (0..3).flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))))
    {
        values.push(value(c, y, x));
    }
    Tensor::from_slice(&values).view([1, 3, height as i64, width as i64])
}

fn flat(rgb: [f64; 3], width: usize, height: usize) -> Tensor {
    picture(width, height, |c, _, _| rgb[c])
}

fn read(layout: &ImageLayout, planes: &[Vec<u8>]) -> Tensor {
    let sizes = layout.planes().unwrap();
    let planes: Vec<_> = planes
        .iter()
        .zip(sizes)
        .map(|(data, size)| Plane {
            data,
            stride: size.row_bytes,
        })
        .collect();
    to_tensor(layout, &planes, Device::Cpu).unwrap()
}

fn write(rgb: &Tensor, layout: &ImageLayout) -> Vec<Vec<u8>> {
    let sizes = layout.planes().unwrap();
    let mut data: Vec<_> = sizes
        .iter()
        .map(|size| vec![0x5a; size.row_bytes * size.rows])
        .collect();
    let mut planes: Vec<_> = data
        .iter_mut()
        .zip(sizes)
        .map(|(data, size)| PlaneMut {
            data,
            stride: size.row_bytes,
        })
        .collect();
    from_tensor(rgb, layout, &mut planes).unwrap();
    data
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap()
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks(2)
        .map(|word| u16::from_le_bytes([word[0], word[1]]))
        .collect()
}

/// Bytes that look random and are the same in every run.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn psnr(a: &Tensor, b: &Tensor) -> f64 {
    let off = values(a)
        .iter()
        .zip(values(b))
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        / values(a).len() as f64;
    -10.0 * off.log10()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Bytes of any RGB picture come back as they were, and bytes between and behind the rows are not touched.
    #[test]
    fn rgb_bytes_survive_at_any_size_and_stride(
        format in prop::sample::select(&RGB_FORMATS[..]),
        (width, height) in (1usize..24, 1usize..12),
        (padding, behind) in (0usize..9, 0usize..5),
        seed: u64,
    ) {
        let layout = layout(format, width, height);
        let sizes = layout.planes().unwrap();
        let size = sizes[0];
        let stride = size.row_bytes + padding;
        let length = stride * (size.rows - 1) + size.row_bytes + behind;
        let source: Vec<_> = (0..sizes.len() as u64).map(|plane| noise(length, seed ^ plane)).collect();
        let sentinel = noise(length, !seed);

        let planes: Vec<_> = source.iter().map(|data| Plane { data, stride }).collect();
        let rgb = to_tensor(&layout, &planes, Device::Cpu).unwrap();
        prop_assert_eq!(rgb.size(), [1, 3, height as i64, width as i64]);
        prop_assert_eq!(rgb.kind(), Kind::Float);
        let mut out = vec![sentinel.clone(); sizes.len()];
        let mut planes: Vec<_> = out.iter_mut().map(|data| PlaneMut { data, stride }).collect();
        from_tensor(&rgb, &layout, &mut planes).unwrap();

        let pixel = size.row_bytes / width;
        let colours = match format { Rgba64Le => 6, Gbr => 1, _ => 3 };
        for (source, out) in source.iter().zip(&out) {
            for i in 0..length {
                let (row, column) = (i / stride, i % stride);
                let expected = match column {
                    _ if row >= size.rows || column >= size.row_bytes => sentinel[i],
                    _ if column % pixel >= colours => 255,
                    _ => source[i],
                };
                prop_assert_eq!(out[i], expected, "byte {} of row {}", column, row);
            }
        }
    }

    /// Strided planes of Y'CbCr read as packed ones do, and are written as packed ones are, sentinels apart.
    #[test]
    fn yuv_strides_are_honoured(
        format in prop::sample::select(&[I420, Nv12, Y42b, Y444, P010Le, I42010Le, Nv21, Yv12, Yuy2, Uyvy, I42210Le][..]),
        (width, height) in (1usize..12, 1usize..12),
        padding in 1usize..9,
        seed: u64,
    ) {
        let layout = layout(format, width, height);
        let sizes = layout.planes().unwrap();
        let packed: Vec<_> = sizes.iter().map(|size| noise(size.row_bytes * size.rows, seed)).collect();
        let strided: Vec<Vec<u8>> = packed.iter().zip(&sizes).map(|(data, size)| {
            data.chunks(size.row_bytes).flat_map(|row| [row, &noise(padding, seed)].concat()).collect()
        }).collect();
        let planes: Vec<_> = strided.iter().zip(&sizes).map(|(data, size)| Plane { data, stride: size.row_bytes + padding }).collect();
        let rgb = to_tensor(&layout, &planes, Device::Cpu).unwrap();
        prop_assert!(rgb.equal(&read(&layout, &packed)));

        let mut out: Vec<_> = strided.iter().map(|plane| vec![0xa5; plane.len()]).collect();
        let mut planes: Vec<_> = out.iter_mut().zip(&sizes).map(|(data, size)| PlaneMut { data, stride: size.row_bytes + padding }).collect();
        from_tensor(&rgb, &layout, &mut planes).unwrap();
        for ((out, expected), size) in out.iter().zip(write(&rgb, &layout)).zip(&sizes) {
            for (out, expected) in out.chunks(size.row_bytes + padding).zip(expected.chunks(size.row_bytes)) {
                prop_assert_eq!(&out[..size.row_bytes], expected);
                prop_assert!(out[size.row_bytes..].iter().all(|&byte| byte == 0xa5));
            }
        }
    }
}

#[test]
fn bytes_lie_where_each_format_wants_them() {
    // Two pixels: 10, 20, 30 and 40, 50, 60.
    let rgb = picture(2, 1, |c, _, x| (10 * (c + 1) + 30 * x) as f64 / 255.0);
    let packed = |format| write(&rgb, &layout(format, 2, 1)).concat();
    assert_eq!(packed(Rgb), [10, 20, 30, 40, 50, 60]);
    assert_eq!(packed(Bgr), [30, 20, 10, 60, 50, 40]);
    assert_eq!(packed(Rgbx), [10, 20, 30, 255, 40, 50, 60, 255]);
    assert_eq!(packed(Bgrx), [30, 20, 10, 255, 60, 50, 40, 255]);
    assert_eq!(packed(Rgba), packed(Rgbx));
    assert_eq!(packed(Bgra), packed(Bgrx));
    assert_eq!(packed(Xrgb), [255, 10, 20, 30, 255, 40, 50, 60]);
    assert_eq!(packed(Xbgr), [255, 30, 20, 10, 255, 60, 50, 40]);
    assert_eq!(packed(Argb), packed(Xrgb));
    assert_eq!(packed(Abgr), packed(Xbgr));
    assert_eq!(
        write(&rgb, &layout(Gbr, 2, 1)),
        [[20, 50], [30, 60], [10, 40]]
    );
    // 10 * 257 = 2570 and so on.
    assert_eq!(
        words(&packed(Rgba64Le)),
        [2570, 5140, 7710, 65535, 10280, 12850, 15420, 65535]
    );

    // Full-range BT.709 red is 54, 99, 255.
    let red = |format| write(&flat([1.0, 0.0, 0.0], 3, 2), &layout(format, 3, 2));
    assert_eq!(red(I420), [vec![54; 6], vec![99; 2], vec![255; 2]]);
    assert_eq!(red(Nv12), [vec![54; 6], vec![99, 255, 99, 255]]);
    assert_eq!(red(Y42b), [vec![54; 6], vec![99; 4], vec![255; 4]]);
    assert_eq!(red(Y444), [vec![54; 6], vec![99; 6], vec![255; 6]]);
    assert_eq!(red(Yv12), [vec![54; 6], vec![255; 2], vec![99; 2]]);
    assert_eq!(red(Nv21), [vec![54; 6], vec![255, 99, 255, 99]]);
    assert_eq!(red(Yuy2), [[54, 99, 54, 255].repeat(4)]);
    assert_eq!(red(Uyvy), [[99, 54, 255, 54].repeat(4)]);
    // 217, 395, 1023 at 10 bit: low bits of the word, or (times 64) high bits.
    let low: Vec<_> = red(I42010Le).iter().map(|plane| words(plane)).collect();
    assert_eq!(low, [vec![217; 6], vec![395; 2], vec![1023; 2]]);
    let low: Vec<_> = red(I42210Le).iter().map(|plane| words(plane)).collect();
    assert_eq!(low, [vec![217; 6], vec![395; 4], vec![1023; 4]]);
    let high: Vec<_> = red(P010Le).iter().map(|plane| words(plane)).collect();
    assert_eq!(
        high,
        [
            vec![217 * 64; 6],
            vec![395 * 64, 1023 * 64, 395 * 64, 1023 * 64]
        ]
    );
}

#[test]
fn codes_of_known_colours() {
    use Matrix::*;
    use Range::*;
    const RED: [f64; 3] = [1.0, 0.0, 0.0];
    const GREY: [f64; 3] = [128.0 / 255.0; 3];
    // 16 + 219 * 0.299 = 81.5 (BT.601), 128 - 224 * 0.299 / 1.772 = 90.2, 128 + 224 / 2 = 240, and so on.
    let table = [
        (Bt601, Limited, 8, RED, [81, 90, 240]),
        (Bt709, Limited, 8, RED, [63, 102, 240]),
        (Bt2020, Limited, 8, RED, [74, 97, 240]),
        (Smpte240m, Limited, 8, RED, [62, 102, 240]),
        (Fcc, Limited, 8, RED, [82, 90, 240]),
        (Bt601, Full, 8, RED, [76, 85, 255]),
        (Bt709, Full, 8, RED, [54, 99, 255]),
        (Bt2020, Full, 8, RED, [67, 92, 255]),
        (Bt601, Limited, 10, RED, [326, 361, 960]),
        (Bt709, Limited, 10, RED, [250, 409, 960]),
        (Bt2020, Limited, 10, RED, [294, 387, 960]),
        (Bt601, Full, 10, RED, [306, 339, 1023]),
        (Bt2020, Full, 10, RED, [269, 369, 1023]),
        (Bt601, Limited, 8, GREY, [126, 128, 128]),
        (Bt709, Full, 8, GREY, [128, 128, 128]),
        (Bt709, Limited, 10, GREY, [504, 512, 512]),
        (Bt2020, Full, 10, GREY, [514, 512, 512]),
        (Bt709, Limited, 8, [1.0; 3], [235, 128, 128]),
        (Bt2020, Limited, 10, [1.0; 3], [940, 512, 512]),
        (Bt601, Full, 8, [1.0; 3], [255, 128, 128]),
        (Bt709, Full, 10, [1.0; 3], [1023, 512, 512]),
        (Bt709, Limited, 8, [0.0; 3], [16, 128, 128]),
        (Bt601, Limited, 10, [0.0; 3], [64, 512, 512]),
        (Smpte240m, Full, 8, [0.0; 3], [0, 128, 128]),
        (Fcc, Full, 10, [0.0; 3], [0, 512, 512]),
    ];
    for (matrix, range, depth, rgb, expected) in table {
        let format = if depth == 8 { I420 } else { I42010Le };
        let layout = ImageLayout {
            matrix,
            range,
            ..layout(format, 2, 2)
        };
        let planes = write(&flat(rgb, 2, 2), &layout);
        let first = |plane: &Vec<u8>| {
            if depth == 8 {
                u16::from(plane[0])
            } else {
                words(plane)[0]
            }
        };
        let codes: Vec<_> = planes.iter().map(first).collect();
        assert_eq!(codes, expected, "{matrix:?} {range:?} {depth} bit {rgb:?}");

        // The codes mean the colour they stand for, to within a code's rounding (at most half of one, in the worst case times 1.9).
        let back = values(&read(&layout, &planes));
        let tolerance = 2.0 / (1 << depth) as f64;
        assert!(
            back.chunks(4)
                .zip(rgb)
                .all(|(back, rgb)| (back[0] - rgb).abs() < tolerance),
            "{matrix:?} {range:?} {back:?} {rgb:?}"
        );
    }
}

#[test]
fn sixteen_bit_codes_all_survive() {
    for range in [Range::Full, Range::Limited] {
        let layout = ImageLayout {
            range,
            ..layout(Rgba64Le, 256, 256)
        };
        let codes: Vec<u16> = (0..=65535).collect();
        let bytes: Vec<u8> = codes
            .iter()
            .flat_map(|&code| [code, !code, code ^ 0xaa55, 0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let out = words(&write(&read(&layout, &[bytes]), &layout)[0]);
        let legal = |code: u16| {
            if range == Range::Full {
                code
            } else {
                code.clamp(16 << 8, 235 << 8)
            }
        };
        for (&code, out) in codes.iter().zip(out.chunks(4)) {
            assert_eq!(
                out,
                [legal(code), legal(!code), legal(code ^ 0xaa55), 65535]
            );
        }
    }
}

#[test]
fn limited_rgb_is_16_to_235() {
    let layout = ImageLayout {
        range: Range::Limited,
        ..layout(Bgrx, 256, 1)
    };
    let bytes: Vec<u8> = (0..=255).flat_map(|code| [code; 4]).collect();
    let rgb = read(&layout, &[bytes]);
    let red = values(&rgb.select(1, 0));
    assert_eq!((red[0], red[16], red[235], red[255]), (0.0, 0.0, 1.0, 1.0));
    assert!((red[126] - 110.0 / 219.0).abs() < 1e-6);
    for (code, pixel) in (0u8..=255).zip(write(&rgb, &layout)[0].chunks(4)) {
        let expected = code.clamp(16, 235);
        assert_eq!(pixel, [expected, expected, expected, 255]);
    }
}

#[test]
fn codes_are_rounded_to_nearest_and_clamped() {
    for format in PACKED_RGB {
        let layout = layout(format, 4, 1);
        let top = if format == Rgba64Le { 65535 } else { 255 };
        // The first component of each pixel.
        let code = |bytes: &[u8]| -> Vec<u16> {
            match format {
                Rgba64Le => words(bytes).chunks(4).map(|pixel| pixel[0]).collect(),
                _ => bytes.chunks(3).map(|pixel| pixel[0].into()).collect(),
            }
        };
        for k in (0..top).step_by(top as usize / 255) {
            let at = [0.0, 0.49, 0.51, 1.0].map(|part| (f64::from(k) + part) / f64::from(top));
            let k = k as u16;
            assert_eq!(
                code(&write(&picture(4, 1, |_, _, x| at[x]), &layout)[0]),
                [k, k, k + 1, k + 1]
            );
        }
        for (wild, expected) in [
            (-1e30, 0),
            (f64::NEG_INFINITY, 0),
            (f64::NAN, 0),
            (1.5, top),
            (f64::INFINITY, top),
        ] {
            assert_eq!(
                code(&write(&flat([wild; 3], 4, 1), &layout)[0]),
                [expected as u16; 4],
                "{wild}"
            );
        }
    }
    // Y'CbCr of what is outside RGB is that of the clamped colour.
    let limited = ImageLayout {
        range: Range::Limited,
        ..layout(Y444, 1, 1)
    };
    assert_eq!(
        write(&flat([9.0, -9.0, f64::NAN], 1, 1), &limited),
        [[63], [102], [240]]
    );
    // Codes outside the range are black and white.
    assert_eq!(
        values(&read(&limited, &[vec![0], vec![128], vec![128]])),
        [0.0; 3]
    );
    assert_eq!(
        values(&read(&limited, &[vec![255], vec![128], vec![128]])),
        [1.0; 3]
    );
}

#[test]
fn every_floating_kind_is_written() {
    let rgb = picture(4, 2, |c, y, x| ((c + y + x) % 2) as f64);
    let expected = write(&rgb, &layout(Nv12, 4, 2));
    for kind in [Kind::Half, Kind::BFloat16, Kind::Float] {
        assert_eq!(
            write(
                &rgb.to_kind(kind).set_requires_grad(true),
                &layout(Nv12, 4, 2)
            ),
            expected
        );
    }
    let transposed = rgb.transpose(2, 3).contiguous().transpose(2, 3);
    assert_eq!(write(&transposed, &layout(Nv12, 4, 2)), expected);
}

#[test]
fn codes_of_rgb_colours_survive_rgb() {
    for (matrix, range) in [
        Matrix::Bt601,
        Matrix::Bt709,
        Matrix::Bt2020,
        Matrix::Smpte240m,
        Matrix::Fcc,
    ]
    .into_iter()
    .flat_map(|matrix| [(matrix, Range::Full), (matrix, Range::Limited)])
    {
        let layout = ImageLayout {
            matrix,
            range,
            ..layout(Y444, 64, 64)
        };
        let colours = noise(64 * 64 * 3, 7);
        let codes = write(
            &picture(64, 64, |c, y, x| {
                f64::from(colours[(c * 64 + y) * 64 + x]) / 255.0
            }),
            &layout,
        );
        let back = write(&read(&layout, &codes), &layout);
        let off = codes
            .concat()
            .iter()
            .zip(back.concat())
            .map(|(a, b)| a.abs_diff(b))
            .max();
        assert!(off <= Some(1), "{matrix:?} {range:?}: {off:?}");
    }
}

#[test]
fn unused_bits_of_ten_bit_words_are_ignored() {
    for (format, unused) in [(P010Le, 0x003f), (I42010Le, 0xfc00)] {
        let layout = layout(format, 4, 4);
        let planes = write(&flat([0.7, 0.2, 0.1], 4, 4), &layout);
        let dirty = |plane: &Vec<u8>| {
            words(plane)
                .iter()
                .flat_map(|word| (word | unused).to_le_bytes())
                .collect()
        };
        let dirty: Vec<Vec<u8>> = planes.iter().map(dirty).collect();
        assert_ne!(planes, dirty);
        assert!(read(&layout, &planes).equal(&read(&layout, &dirty)));
    }
}

/// Linear interpolation of chroma at a pixel, edges repeated.
fn chroma_at(plane: &[u8], (width, height): (usize, usize), (x, y): (f64, f64)) -> f64 {
    let sample = |x: f64, y: f64| {
        let (x, y) = (
            x.clamp(0.0, width as f64 - 1.0) as usize,
            y.clamp(0.0, height as f64 - 1.0) as usize,
        );
        f64::from(plane[y * width + x])
    };
    let (left, above) = (x.floor(), y.floor());
    let (right, below) = (x - left, y - above);
    let upper = sample(left, above) * (1.0 - right) + sample(left + 1.0, above) * right;
    let lower = sample(left, above + 1.0) * (1.0 - right) + sample(left + 1.0, above + 1.0) * right;
    upper * (1.0 - below) + lower * below
}

#[test]
fn reading_agrees_with_a_loop_over_pixels() {
    for (i, (matrix, [r_cr, g_cb, g_cr, b_cb])) in DECIMALS.into_iter().enumerate() {
        for (site, (width, height)) in SITES
            .into_iter()
            .flat_map(|site| [(site, (7, 5)), (site, (8, 6)), (site, (1, 1))])
        {
            for (format, down, range) in [(I420, 2, Range::Limited), (Y42b, 1, Range::Full)] {
                let layout = ImageLayout {
                    matrix,
                    range,
                    site,
                    ..layout(format, width, height)
                };
                let samples = (width.div_ceil(2), height.div_ceil(down));
                let planes = [
                    noise(width * height, i as u64 + 1),
                    noise(samples.0 * samples.1, i as u64 + 2),
                    noise(samples.0 * samples.1, i as u64 + 3),
                ];
                let found = values(&read(&layout, &planes));
                let (black, luma, chroma) = if range == Range::Full {
                    (0.0, 255.0, 255.0)
                } else {
                    (16.0, 219.0, 224.0)
                };
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    let position = |pixel: usize, factor, cosited| match (factor, cosited) {
                        (1, _) => pixel as f64,
                        (_, true) => pixel as f64 / 2.0,
                        (_, false) => (pixel as f64 - 0.5) / 2.0,
                    };
                    let at = (
                        position(x, 2, site.horizontally_cosited),
                        position(y, down, site.vertically_cosited),
                    );
                    let y1 = (f64::from(planes[0][y * width + x]) - black) / luma;
                    let cb = (chroma_at(&planes[1], samples, at) - 128.0) / chroma;
                    let cr = (chroma_at(&planes[2], samples, at) - 128.0) / chroma;
                    let rgb = [y1 + r_cr * cr, y1 - g_cb * cb - g_cr * cr, y1 + b_cb * cb];
                    for (c, expected) in rgb.into_iter().enumerate() {
                        let found = found[(c * height + y) * width + x];
                        let expected = expected.clamp(0.0, 1.0);
                        assert!(
                            (found - expected).abs() < 1e-5,
                            "{layout:?} {c} {y} {x}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn writing_agrees_with_a_loop_over_samples() {
    for (site, (width, height)) in SITES
        .into_iter()
        .flat_map(|site| [(site, (7, 5)), (site, (8, 6)), (site, (1, 1))])
    {
        let layout = ImageLayout {
            range: Range::Limited,
            site,
            ..layout(I42010Le, width, height)
        };
        let colours = noise(width * height * 3, 5);
        let value =
            |c: usize, y: usize, x: usize| f64::from(colours[(c * height + y) * width + x]) / 255.0;
        let planes = write(&picture(width, height, value), &layout);
        // BT.709: Cb and Cr of a pixel, edges repeated.
        let chroma = |plane: usize, y: i64, x: i64| {
            let (y, x) = (
                y.clamp(0, height as i64 - 1) as usize,
                x.clamp(0, width as i64 - 1) as usize,
            );
            let luma = 0.2126 * value(0, y, x) + 0.7152 * value(1, y, x) + 0.0722 * value(2, y, x);
            if plane == 1 {
                (value(2, y, x) - luma) / 1.8556
            } else {
                (value(0, y, x) - luma) / 1.5748
            }
        };
        let taps = |cosited| {
            if cosited {
                vec![(-1, 0.25), (0, 0.5), (1, 0.25)]
            } else {
                vec![(0, 0.5), (1, 0.5)]
            }
        };
        let columns = width.div_ceil(2);
        for (plane, (y, x)) in [1, 2].into_iter().flat_map(|p| {
            (0..height.div_ceil(2)).flat_map(move |y| (0..columns).map(move |x| (p, (y, x))))
        }) {
            let mut mean = 0.0;
            for (dy, down) in taps(site.vertically_cosited) {
                for (dx, across) in taps(site.horizontally_cosited) {
                    mean += down * across * chroma(plane, 2 * y as i64 + dy, 2 * x as i64 + dx);
                }
            }
            let found = f64::from(words(&planes[plane])[y * columns + x]);
            let exact = 512.0 + 896.0 * mean;
            assert!(
                (found - exact).abs() < 0.501,
                "{site:?} plane {plane} {y} {x}: {found} {exact}"
            );
        }
    }
}

/// Formats that differ only in where their samples lie.
#[test]
fn packed_and_swapped_formats_read_as_planar_ones_do() {
    for width in [1, 2, 7, 8] {
        let height = 3;
        let planar = |format| write(&noisy(width, height), &layout(format, width, height));
        let read_as = |format, planes: &[Vec<u8>]| read(&layout(format, width, height), planes);
        let [y, cb, cr] = &planar(Y42b)[..] else {
            unreachable!()
        };
        let pairs = width.div_ceil(2);
        let (mut yuy2, mut uyvy) = (vec![], vec![]);
        for (row, pair) in (0..height).flat_map(|row| (0..pairs).map(move |pair| (row, pair))) {
            let luma = |x: usize| y[row * width + x.min(width - 1)];
            let (first, second) = (luma(2 * pair), luma(2 * pair + 1));
            let (cb, cr) = (cb[row * pairs + pair], cr[row * pairs + pair]);
            yuy2.extend([first, cb, second, cr]);
            uyvy.extend([cb, first, cr, second]);
        }
        assert_eq!(planar(Yuy2), [yuy2.clone()]);
        assert_eq!(planar(Uyvy), [uyvy.clone()]);
        let wanted = read_as(Y42b, &planar(Y42b));
        assert!(read_as(Yuy2, &[yuy2]).equal(&wanted));
        assert!(read_as(Uyvy, &[uyvy]).equal(&wanted));

        let wanted = read_as(I420, &planar(I420));
        assert!(read_as(Yv12, &planar(Yv12)).equal(&wanted));
        assert!(read_as(Nv21, &planar(Nv21)).equal(&wanted));
    }
}

fn noisy(width: usize, height: usize) -> Tensor {
    let codes = noise(width * height * 3, 9);
    picture(width, height, |c, y, x| {
        f64::from(codes[(c * height + y) * width + x]) / 255.0
    })
}

/// A picture of several bands is what it would be as one.
#[test]
fn bands_leave_no_seams() {
    let width = 30_001;
    for (format, site, height) in [Rgb, I420, Nv12, P010Le, Yuy2]
        .into_iter()
        .flat_map(|f| SITES.map(|s| (f, s)))
        .flat_map(|(f, s)| [75, 69].map(|height| (f, s, height)))
    {
        let layout = ImageLayout {
            site,
            ..layout(format, width, height)
        };
        assert_eq!(bands(&layout).count(), 3);
        let rgb = Tensor::rand(
            [1, 3, height as i64, width as i64],
            (Kind::Float, Device::Cpu),
        );
        let planes = write(&rgb, &layout);
        let whole: Vec<Tensor> = encoded(&rgb, &layout).unwrap();
        for (plane, whole) in planes.iter().zip(&whole) {
            let plane = Tensor::from_slice(plane).view_as(whole);
            assert!(plane.equal(whole), "{} {site:?}", format.name());
        }
        let whole = decoded(&whole, &layout).unwrap();
        let read = read(&layout, &planes);
        assert!(read.equal(&whole), "{} {site:?}", format.name());
    }
}

#[test]
fn a_smooth_picture_survives_subsampling() {
    for (format, (width, height)) in [I420, Nv12, Y42b, P010Le, I42010Le]
        .into_iter()
        .flat_map(|f| [(f, (64, 48)), (f, (63, 47))])
    {
        for site in SITES {
            let layout = ImageLayout {
                site,
                range: Range::Limited,
                ..layout(format, width, height)
            };
            let wave = |c: usize, y: usize, x: usize| {
                0.5 + 0.2
                    * ((x as f64 / 15.0 + c as f64).sin() + (y as f64 / 13.0 - c as f64).cos())
            };
            let smooth = picture(width, height, wave);
            let quality = psnr(&smooth, &read(&layout, &write(&smooth, &layout)));
            assert!(quality > 45.0, "{} {site:?} {quality}", format.name());
        }
    }
}

/// The error's message, which must be that of a wrong shape.
fn shape_error(result: Result<impl Sized>) -> String {
    match result {
        Err(error @ Error::Shape { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn planes_that_do_not_fit_are_refused() {
    let layout = layout(Nv12, 5, 3);
    let (y, cbcr) = (vec![1; 15], vec![2; 12]);
    let plane = |data, stride| Plane { data, stride };
    let refused = |planes: &[Plane<'_>]| shape_error(to_tensor(&layout, planes, Device::Cpu));
    assert_eq!(
        refused(&[]),
        "planes of a NV12 picture: 0 found, 2 expected"
    );
    assert_eq!(
        refused(&[plane(&y, 5); 3]),
        "planes of a NV12 picture: 3 found, 2 expected"
    );
    assert_eq!(
        refused(&[plane(&y, 4), plane(&cbcr, 6)]),
        "plane 0 of a 5 x 3 NV12 picture: stride of 4 bytes found, at least 5 expected"
    );
    assert_eq!(
        refused(&[plane(&y, 5), plane(&cbcr, 7)]),
        "plane 1 of a 5 x 3 NV12 picture: 12 bytes found, at least 13 at a stride of 7 expected"
    );
    assert!(
        refused(&[plane(&y, usize::MAX), plane(&cbcr, 6)])
            .contains("15 bytes found, 3 rows at a stride of")
    );
    assert!(refused(&[plane(&[], 5), plane(&cbcr, 6)]).contains("0 bytes found"));

    // The last row may end with its pixels, and a single row has no use for a stride.
    assert!(
        to_tensor(
            &layout,
            &[plane(&[1; 17], 6), plane(&[2; 13], 7)],
            Device::Cpu
        )
        .is_ok()
    );
    assert!(
        to_tensor(
            &self::layout(Rgb, 5, 1),
            &[plane(&y, usize::MAX)],
            Device::Cpu
        )
        .is_ok()
    );

    let rgb = flat([0.5; 3], 5, 3);
    let (mut y, mut cbcr) = (vec![7; 15], vec![7; 11]);
    let mut planes = [
        PlaneMut {
            data: &mut y,
            stride: 5,
        },
        PlaneMut {
            data: &mut cbcr,
            stride: 6,
        },
    ];
    assert!(
        shape_error(from_tensor(&rgb, &layout, &mut planes))
            .starts_with("plane 1 of a 5 x 3 NV12 picture: 11 bytes")
    );
    shape_error(from_tensor(&rgb, &layout, &mut planes[..1]));
    assert_eq!(y, [7; 15], "nothing is written on an error");
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let layout = layout(Rgb, 4, 2);
    let mut data = vec![7; 24];
    let mut refused = |tensor: &Tensor| {
        shape_error(from_tensor(
            tensor,
            &layout,
            &mut [PlaneMut {
                data: &mut data,
                stride: 12,
            }],
        ))
    };
    let zeros = |size: &[i64], kind| Tensor::zeros(size, (kind, Device::Cpu));
    for size in [
        &[1, 3, 4, 2][..],
        &[1, 1, 2, 4],
        &[2, 3, 2, 4],
        &[3, 2, 4],
        &[1, 3, 2, 4, 1],
        &[],
        &[0],
    ] {
        let message = refused(&zeros(size, Kind::Float));
        assert_eq!(
            message,
            format!("picture tensor: Float {size:?} found, floating point [1, 3, 2, 4] expected")
        );
    }
    for kind in [Kind::Uint8, Kind::Int64, Kind::Bool, Kind::ComplexFloat] {
        assert!(refused(&zeros(&[1, 3, 2, 4], kind)).contains(&format!("{kind:?}")));
    }
    assert!(refused(&Tensor::new()).contains("no tensor found"));
    assert_eq!(data, [7; 24]);
}

#[test]
fn pictures_that_cannot_be_are_refused() {
    let plane = Plane {
        data: &[0; 64],
        stride: 16,
    };
    for format in PixelFormat::ALL {
        for (width, height) in [
            (0, 2),
            (2, 0),
            (usize::MAX, 2),
            (2, usize::MAX),
            (1 << 31, 1 << 31),
        ] {
            let layout = layout(format, width, height);
            shape_error(to_tensor(
                &layout,
                &vec![plane; format.plane_count()],
                Device::Cpu,
            ));
            shape_error(from_tensor(&flat([0.0; 3], 2, 2), &layout, &mut []));
        }
        // As large as can be: the planes are too small for it.
        let layout = layout(format, i32::MAX as usize, i32::MAX as usize);
        shape_error(to_tensor(
            &layout,
            &vec![
                Plane {
                    stride: usize::MAX,
                    ..plane
                };
                format.plane_count()
            ],
            Device::Cpu,
        ));
    }
}

#[test]
fn yuv_needs_a_matrix_and_rgb_needs_none() {
    for format in PixelFormat::ALL {
        let layout = ImageLayout {
            matrix: Matrix::Rgb,
            ..layout(format, 2, 2)
        };
        let data = [0; 64];
        let result = to_tensor(
            &layout,
            &vec![
                Plane {
                    data: &data,
                    stride: 16
                };
                format.plane_count()
            ],
            Device::Cpu,
        );
        match format.is_yuv() {
            true => assert!(matches!(result, Err(Error::Unsupported { .. }))),
            false => assert_eq!(result.unwrap().size(), [1, 3, 2, 2]),
        }
    }
}
