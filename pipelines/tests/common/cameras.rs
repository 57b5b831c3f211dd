//! Recordings of a scene that passes by, by cameras whose zoom and start are known.

use super::Place;
use refvsr::image::{enlarge::bicubic, resize::bicubic_antialiased};
use tch::{Device, Kind, Tensor};

/// What is filmed: ten frames a second, of which this camera misses the first `late`.
#[derive(Debug, Clone, Copy)]
pub struct Filmed {
    /// Which scene.
    pub seed: i64,
    pub size: (i64, i64),
    /// Frames of a camera that was not late.
    pub frames: i64,
    pub zoom: f64,
    pub late: i64,
}

/// libtorch's random numbers are one sequence for all threads of the tests.
pub static CHANCE: std::sync::Mutex<()> = std::sync::Mutex::new(());

impl Filmed {
    /// A scene with detail of all sizes, four times as fine as the ultra-wide camera sees it, and larger than it sees.
    fn scene(self) -> Tensor {
        let _alone = CHANCE.lock();
        tch::manual_seed(self.seed);
        let side = |n: i64| (4 * n + 8 * self.frames + 128) / 32 * 32;
        let (width, height) = (side(self.size.0), side(self.size.1));
        let layer = |scale: i64| {
            let shape = [1, 3, height / scale, width / scale];
            bicubic(&Tensor::rand(shape, (Kind::Float, Device::Cpu)), scale).unwrap()
        };
        (layer(2) * 0.25 + layer(8) * 0.3 + layer(32) * 0.45).clamp(0.0, 1.0)
    }

    /// What the camera sees of the scene at frame `n`: the scene passes by, 8 of its pixels a frame.
    fn seen(self, scene: &Tensor, n: i64) -> Tensor {
        let side = |n: i64| (4.0 * n as f64 / self.zoom) as i64;
        let (width, height) = (side(self.size.0), side(self.size.1));
        let left = 2 * self.size.0 + 64 - width / 2 + 8 * n;
        let top = 2 * self.size.1 + 56 - height / 2;
        let part = scene.narrow(2, top, height).narrow(3, left, width);
        bicubic_antialiased(&part, self.size.1, self.size.0)
            .unwrap()
            .clamp(0.0, 1.0)
    }

    /// Makes a recording with sound.
    pub fn record(self, place: &Place, name: &str) -> String {
        let scene = self.scene();
        let raw = place.text("picture.raw");
        let bytes: Vec<u8> = (self.late..self.frames)
            .flat_map(|n| {
                let packed = (self.seen(&scene, n) * 255.0).round().to_kind(Kind::Uint8);
                let packed = packed.permute([0, 2, 3, 1]).contiguous();
                Vec::<u8>::try_from(packed.view([-1])).unwrap()
            })
            .collect();
        std::fs::write(&raw, bytes).unwrap();
        // Noise that all cameras hear.
        let heard = {
            let _alone = CHANCE.lock();
            tch::manual_seed(5);
            Tensor::randn([8000 * self.frames / 10], (Kind::Float, Device::Cpu))
        };
        let heard = (heard * 4000.0)
            .clamp(-32000.0, 32000.0)
            .to_kind(Kind::Int16);
        let heard = Vec::<i16>::try_from(heard).unwrap();
        let from = (self.late * 800) as usize;
        let sound = place.text("sound.raw");
        let bytes: Vec<u8> = heard[from..].iter().flat_map(|s| s.to_le_bytes()).collect();
        std::fs::write(&sound, bytes).unwrap();
        let (width, height) = self.size;
        place.make(
            name,
            &format!(
                "filesrc location={raw} ! rawvideoparse format=rgb width={width} height={height} framerate=10/1 ! videoconvert ! video/x-raw,format=I420 \
                 ! x264enc pass=quant quantizer=12 ! h264parse ! matroskamux name=mux ! filesink location={{}} \
                 filesrc location={sound} ! rawaudioparse use-sink-caps=false format=pcm pcm-format=s16le sample-rate=8000 num-channels=1 \
                 ! audioconvert ! audioresample ! flacenc ! flacparse ! mux."
            ),
        )
    }
}
