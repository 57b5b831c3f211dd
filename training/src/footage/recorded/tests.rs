use super::*;
use crate::data::random::Random;
use refvsr::metrics::psnr;

const ALL: [Encoder; 3] = [Encoder::X264, Encoder::X265, Encoder::Vp9];

/// A texture in colours that moves by a pixel a frame, under noise.
fn clip(count: usize, width: usize, height: usize) -> Vec<Tensor> {
    let mut random = Random::new(5, 0, 0);
    (0..count)
        .map(|n| {
            let values: Vec<f32> = (0..3 * height * width)
                .map(|i| {
                    let (c, y, x) = (i / (height * width), i / width % height, i % width + n);
                    let wave = ((x * (c + 2)) as f64 / 7.0).sin() * (y as f64 / 9.0).cos();
                    (0.5 + 0.35 * wave + random.between(-0.02, 0.02)) as f32
                })
                .collect();
            Tensor::from_slice(&values).view([1, 3, height as i64, width as i64])
        })
        .collect()
}

fn how(encoder: Encoder, quantizer: u32) -> Recording {
    Recording {
        encoder,
        quantizer,
        group: 8,
        chroma: Chroma::Quarter,
    }
}

fn mean_psnr(frames: &[Tensor], back: &[Tensor]) -> f64 {
    assert_eq!(frames.len(), back.len());
    let pairs = frames.iter().zip(back);
    pairs.map(|(a, b)| psnr(b, a).unwrap()).sum::<f64>() / frames.len() as f64
}

#[test]
fn coarser_quantizers_lose_more_and_frames_keep_their_places() {
    let frames = clip(12, 64, 48);
    for encoder in ALL {
        let by = |quantizer| {
            let back = recorded(&frames, &how(encoder, quantizer)).unwrap();
            // Each frame is nearest to its own, so none is lost, doubled or out of place.
            for (n, out) in back.iter().enumerate() {
                let score = |k: usize| psnr(out, &frames[k]).unwrap();
                assert!(
                    (0..frames.len()).all(|k| k == n || score(k) < score(n)),
                    "frame {n} by {encoder:?} at {quantizer}"
                );
            }
            mean_psnr(&frames, &back)
        };
        let found = [5, 18, 23, 28, 33].map(by);
        assert!(found.is_sorted_by(|a, b| a > b), "{encoder:?}: {found:?}");
    }
}

#[test]
fn the_same_recording_twice_gives_the_same_bits() {
    let frames = clip(10, 64, 48);
    for encoder in ALL {
        let [a, b] = [(); 2].map(|()| recorded(&frames, &how(encoder, 28)).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| a.equal(b)), "{encoder:?}");
    }
}

#[test]
fn colours_come_back_and_full_chroma_keeps_more_of_them() {
    // One colour: what is lost is rounding to 8-bit Y'CbCr, and nothing else.
    let plain = Tensor::from_slice(&[200f32, 50.0, 20.0]).view([1, 3, 1, 1]) / 255.0;
    let plain: Vec<Tensor> = (0..3)
        .map(|_| plain.expand([1, 3, 32, 32], false).contiguous())
        .collect();
    let striped = clip(6, 64, 48);
    for encoder in ALL {
        let back = recorded(&plain, &how(encoder, 4)).unwrap();
        for (out, frame) in back.iter().zip(&plain) {
            let off = 255.0 * (out - frame).abs().max().double_value(&[]);
            assert!(off < 2.5, "{off} codes off by {encoder:?}");
        }
        let by = |chroma| {
            let how = Recording {
                chroma,
                ..how(encoder, 4)
            };
            mean_psnr(&striped, &recorded(&striped, &how).unwrap())
        };
        let (quarter, full) = (by(Chroma::Quarter), by(Chroma::Full));
        assert!(full > quarter + 1.0, "{encoder:?}: {quarter} {full}");
    }
}

#[test]
fn shorter_groups_change_the_result() {
    let frames = clip(10, 64, 48);
    for encoder in ALL {
        let by = |group| {
            let how = Recording {
                group,
                ..how(encoder, 28)
            };
            recorded(&frames, &how).unwrap()
        };
        let (long, intra) = (by(30), by(1));
        assert!(!long[5].equal(&intra[5]), "{encoder:?}");
    }
}

#[test]
fn odd_and_tiny_frames_keep_their_size() {
    for (width, height) in [(33, 17), (5, 7)] {
        let frames = clip(3, width, height);
        for encoder in ALL {
            let back = recorded(&frames, &how(encoder, 10)).unwrap();
            assert_eq!(back[2].size(), [1, 3, height as i64, width as i64]);
            assert!(mean_psnr(&frames, &back) > 20.0, "{encoder:?}");
        }
    }
    assert!(recorded(&[], &how(Encoder::X264, 10)).unwrap().is_empty());
}

#[test]
fn mistakes_are_named() {
    let says =
        |frames: &[Tensor], how: Recording| format!("{:#}", recorded(frames, &how).unwrap_err());
    let frames = clip(2, 32, 32);
    let text = says(&frames, how(Encoder::X264, 51));
    assert!(text.contains("51 for x264enc; 0 to 50 expected"), "{text}");
    let none = Recording {
        group: 0,
        ..how(Encoder::Vp9, 20)
    };
    assert!(says(&frames, none).contains("a group of 0 frames"));
    let mut mixed = clip(1, 32, 32);
    mixed.extend(clip(1, 32, 48));
    let text = says(&mixed, how(Encoder::X265, 20));
    assert!(text.contains("frame 1 is [1, 3, 48, 32]"), "{text}");
    let text = format!("{:#}", make(("x999enc", UGLY), &[]).unwrap_err());
    assert!(
        text.contains("no element x999enc") && text.contains("gstreamer1.0-plugins-ugly"),
        "{text}"
    );
}
