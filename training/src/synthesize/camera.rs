//! A virtual camera with three lenses: where it looks, and how the lenses differ.

use crate::data::{random::Random, tree::Lens};
use serde::Serialize;
use std::f64::consts::{PI, TAU};

/// Frames a second; shaking is given in hertz.
const RATE: f64 = 30.0;

/// What one frame of one lens shows: a rectangle in the source picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Its middle, in source pixels (the corner of the picture is 0, 0).
    pub centre: [f64; 2],
    /// Source pixels to a pixel of the frame.
    pub scale: f64,
    /// Turned by this, in radians.
    pub angle: f64,
}

/// How far what is shot can differ from ideal; 1 is as a hand-held phone, 0 nothing.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Amounts {
    /// Pan, zoom, rotation and shake of the whole camera.
    pub motion: f64,
    /// Misalignment, exposure, colour, blur and noise of the lenses.
    pub difference: f64,
}

/// A slow vibration.
#[derive(Debug, Clone, Copy)]
pub struct Wave {
    amplitude: f64,
    hertz: f64,
    phase: f64,
}

impl Wave {
    /// Draws one: of an amplitude up to the given one and a frequency in a range (hertz).
    pub fn draw(random: &mut Random, amplitude: f64, low: f64, high: f64) -> Self {
        Self {
            amplitude: amplitude * random.between(0.3, 1.0),
            hertz: random.between(low, high),
            phase: random.between(0.0, TAU),
        }
    }

    /// Its value at a frame.
    pub fn at(self, frame: f64) -> f64 {
        self.amplitude * (TAU * self.hertz * frame / RATE + self.phase).sin()
    }
}

/// How a hand shakes a camera.
#[derive(Debug, Clone)]
pub struct Hand {
    shake: [[Wave; 3]; 2],
    twist: [Wave; 2],
}

impl Hand {
    /// Draws one; an amount of 1 is a phone's.
    pub fn draw(random: &mut Random, amount: f64) -> Self {
        let mut wave =
            |amplitude: f64, low: f64, high: f64| Wave::draw(random, amplitude * amount, low, high);
        let mut axis = || {
            [
                wave(0.004, 0.3, 1.0),
                wave(0.0015, 1.0, 4.0),
                wave(0.0004, 4.0, 10.0),
            ]
        };
        Self {
            shake: [axis(), axis()],
            twist: [wave(0.004, 0.3, 1.5), wave(0.0008, 2.0, 6.0)],
        }
    }

    /// At a frame: how far to the right and down, as shares of the frame's width, and how far turned,
    /// in radians.
    pub fn at(&self, frame: f64) -> ([f64; 2], f64) {
        let sum = |waves: &[Wave]| waves.iter().map(|wave| wave.at(frame)).sum();
        ([0, 1].map(|axis| sum(&self.shake[axis])), sum(&self.twist))
    }
}

/// The camera's way through one clip. Lengths are shares of the ultra-wide frame's width.
#[derive(Debug, Clone)]
pub struct Path {
    source: [f64; 2],
    frame: [f64; 2],
    frames: usize,
    view: f64,
    start: [f64; 2],
    velocity: [f64; 2],
    zoom: [f64; 2],
    angle: [f64; 2],
    hand: Hand,
}

impl Path {
    /// Draws a way over a picture of `source` pixels (width, height) for frames of `frame` pixels. The ultra-wide camera sees a share `view` of the
    /// picture; what is left is room to move in.
    pub fn draw(
        random: &mut Random,
        source: (usize, usize),
        frame: (usize, usize),
        frames: usize,
        view: f64,
        amounts: Amounts,
    ) -> Self {
        let m = amounts.motion;
        let hand = Hand::draw(random, m);
        let (heading, speed) = (random.between(0.0, TAU), random.between(0.0, 0.012) * m);
        let mut pair = |amount: f64| {
            let first = random.between(-amount, amount) * m;
            // Over a second the value gets about as far as the amount.
            [
                first,
                first + random.between(-amount, amount) * m * frames as f64 / RATE,
            ]
        };
        let (zoom, angle) = (pair(0.05), pair(0.025));
        let start = [random.between(-1.0, 1.0), random.between(-1.0, 1.0)].map(|v| v * m.min(1.0));
        let float = |(a, b): (usize, usize)| [a as f64, b as f64];
        let velocity = [speed * heading.cos(), speed * heading.sin()];
        Self {
            source: float(source),
            frame: float(frame),
            frames,
            view,
            start,
            velocity,
            zoom,
            angle,
            hand,
        }
    }

    /// The ultra-wide view at a frame. It stays inside the picture where that is large enough.
    pub fn at(&self, frame: usize) -> View {
        let t = frame as f64;
        let share = if self.frames > 1 {
            t / (self.frames - 1) as f64
        } else {
            0.0
        };
        let between = |[a, b]: [f64; 2]| a + (b - a) * share;
        let largest = (self.source[0] / self.frame[0]).min(self.source[1] / self.frame[1]);
        let scale = (self.view * largest * between(self.zoom).exp()).min(largest);
        let (shaken, twisted) = self.hand.at(t);
        let angle = between(self.angle) + twisted;
        let (sin, cos) = (angle.sin().abs(), angle.cos().abs());
        let [w, h] = self.frame.map(|side| side * scale);
        let half = [(w * cos + h * sin) / 2.0, (w * sin + h * cos) / 2.0];
        let mut centre = [0.0; 2];
        for axis in 0..2 {
            let middle = self.source[axis] / 2.0;
            let room = (middle - half[axis]).max(0.0);
            let moved = self.velocity[axis] * (t - self.frames as f64 / 2.0) + shaken[axis];
            centre[axis] = (middle + self.start[axis] * room * 0.8 + moved * w)
                .clamp(middle - room, middle + room);
        }
        View {
            centre,
            scale,
            angle,
        }
    }
}

/// What sets one lens of one clip apart.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Character {
    /// Which lens.
    #[serde(skip)]
    pub lens: Lens,
    /// Its magnification over the ultra-wide lens.
    pub zoom: f64,
    /// How far its axis is off at the first frame, and how much farther at the last, in widths of its own frame.
    pub offset: [f64; 2],
    /// See `offset`.
    pub drift: [f64; 2],
    /// Turned against the ultra-wide lens by this, in radians.
    pub angle: f64,
    /// Exposure (linear light).
    pub gain: f64,
    /// Further gains of red and blue.
    pub balance: [f64; 2],
    /// Blur: standard deviation in pixels.
    pub blur: f64,
    /// Noise in the dark: standard deviation, where white is 1.
    pub read_noise: f64,
    /// Noise that grows with the root of the light: its standard deviation at white.
    pub shot_noise: f64,
}

/// How much a lens may differ: zoom, offset, angle (degrees), exposure, balance, blur, noise.
fn range(lens: Lens) -> [f64; 7] {
    match lens {
        Lens::Ultrawide => [0.0, 0.0, 0.0, 0.03, 0.02, 0.3, 0.002],
        Lens::Wide => [0.015, 0.015, 0.4, 0.10, 0.04, 0.5, 0.004],
        Lens::Tele => [0.02, 0.04, 0.6, 0.15, 0.05, 0.8, 0.007],
    }
}

/// Focal lengths in millimetres.
fn focal_length(lens: Lens) -> f64 {
    match lens {
        Lens::Ultrawide => 30.0,
        Lens::Wide => 59.0,
        Lens::Tele => 147.0,
    }
}

impl Character {
    /// Draws one.
    pub fn draw(random: &mut Random, lens: Lens, amounts: Amounts) -> Self {
        let [zoom, offset, degrees, exposure, balance, blur, noise] =
            range(lens).map(|v| v * amounts.difference);
        let mut either = |v: f64| random.between(-v, v);
        Self {
            lens,
            zoom: focal_length(lens) / focal_length(Lens::Ultrawide) * either(zoom).exp(),
            offset: [either(offset), either(offset)],
            drift: [either(offset / 5.0), either(offset / 5.0)],
            angle: either(degrees) * PI / 180.0,
            gain: either(exposure).exp(),
            balance: [either(balance).exp(), either(balance).exp()],
            blur: random.between(0.0, blur),
            read_noise: random.between(0.2 * noise, noise),
            shot_noise: random.between(0.2 * noise, noise),
        }
    }

    /// This lens's view when the ultra-wide lens has `main`; `share` of the clip is over, and frames are `width` pixels wide.
    pub fn view(&self, main: View, width: usize, share: f64) -> View {
        let scale = main.scale / self.zoom;
        let off = [0, 1]
            .map(|axis| (self.offset[axis] + self.drift[axis] * share) * width as f64 * scale);
        let (sin, cos) = main.angle.sin_cos();
        let centre = [
            main.centre[0] + off[0] * cos - off[1] * sin,
            main.centre[1] + off[0] * sin + off[1] * cos,
        ];
        View {
            centre,
            scale,
            angle: main.angle + self.angle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: (usize, usize) = (4000, 3000);
    const FRAME: (usize, usize) = (1392, 1040);

    #[test]
    fn the_view_stays_inside_and_moves_by_fractions_of_a_pixel() {
        for k in 0..200 {
            let amounts = Amounts {
                motion: 1.0,
                difference: 1.0,
            };
            let path = Path::draw(&mut Random::new(1, 0, k), SOURCE, FRAME, 30, 0.7, amounts);
            let mut last: Option<View> = None;
            for frame in 0..30 {
                let view = path.at(frame);
                for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
                    let (dx, dy) = (
                        x * FRAME.0 as f64 / 2.0 * view.scale,
                        y * FRAME.1 as f64 / 2.0 * view.scale,
                    );
                    let (sin, cos) = view.angle.sin_cos();
                    let (px, py) = (
                        view.centre[0] + dx * cos - dy * sin,
                        view.centre[1] + dx * sin + dy * cos,
                    );
                    assert!(
                        (-0.01..=4000.01).contains(&px) && (-0.01..=3000.01).contains(&py),
                        "{view:?}"
                    );
                }
                if let Some(last) = last {
                    let step = (view.centre[0] - last.centre[0])
                        .hypot(view.centre[1] - last.centre[1])
                        / view.scale;
                    assert!(step < 0.03 * FRAME.0 as f64, "a step of {step} pixels");
                }
                last = Some(view);
            }
        }
    }

    #[test]
    fn without_differences_lenses_are_ideal() {
        let none = Amounts {
            motion: 0.0,
            difference: 0.0,
        };
        let path = Path::draw(&mut Random::new(1, 0, 0), SOURCE, FRAME, 5, 1.0, none);
        let main = path.at(3);
        assert_eq!((main.centre, main.angle), ([2000.0, 1500.0], 0.0));
        let tele = Character::draw(&mut Random::new(1, 1, 0), Lens::Tele, none);
        let view = tele.view(main, FRAME.0, 0.5);
        assert_eq!(
            (view.centre, view.angle, tele.gain, tele.blur),
            (main.centre, 0.0, 1.0, 0.0)
        );
        assert!((main.scale / view.scale - 4.9).abs() < 1e-9);
    }
}
