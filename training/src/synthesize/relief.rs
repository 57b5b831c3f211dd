//! Depth for flat pictures: near and far parts move against one another as the camera does, and no two lenses see them in quite the same place.

use super::camera::Wave;
use crate::data::{random::Random, tree::Lens};
use anyhow::Result;
use tch::Tensor;

/// Points at which the depth is drawn (columns, rows); between them it is smooth. So few that with amounts up to 2 the picture never folds.
const GRID: (usize, usize) = (7, 5);

/// A smooth relief over a picture, and how the camera moves before it. Lengths are shares of the ultra-wide frame's width.
#[derive(Debug)]
pub struct Relief {
    /// -1 (far) to 1 (near) as `[1, 1, rows, columns]`, its corners in the middle of the picture's corner cells.
    pub depth: Tensor,
    /// How the camera sways from side to side, and up and down.
    sway: [[Wave; 2]; 2],
    /// Where the lenses sit beside the ultra-wide one.
    seats: [[f64; 2]; 3],
}

impl Relief {
    /// Draws one; with an `amount` of 1 what is nearest and farthest moves by up to 1 % of the frame's width to either side, as 2 m away before a hand-held phone, and lies up to
    /// 0.4 % elsewhere for the wide and the tele lens.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn draw(random: &mut Random, amount: f64) -> Result<Self> {
        let depth: Vec<f32> = (0..GRID.0 * GRID.1)
            .map(|_| random.between(-1.0, 1.0) as f32)
            .collect();
        let depth = Tensor::f_from_slice(&depth)?.f_view([1, 1, GRID.1 as i64, GRID.0 as i64])?;
        let mut axis = || {
            [
                Wave::draw(random, 0.008 * amount, 0.2, 0.8),
                Wave::draw(random, 0.002 * amount, 0.8, 3.0),
            ]
        };
        let sway = [axis(), axis()];
        let seats =
            [0.0, 0.004, 0.004].map(|far| [(); 2].map(|()| random.between(-far, far) * amount));
        Ok(Self { depth, sway, seats })
    }

    /// How far what is nearest is shifted for a lens, right and down (what is farthest: the other way).
    pub fn shift(&self, lens: Lens, frame: usize) -> [f64; 2] {
        let seat = self.seats[lens as usize];
        [0, 1].map(|axis| {
            seat[axis]
                + self.sway[axis]
                    .iter()
                    .map(|wave| wave.at(frame as f64))
                    .sum::<f64>()
        })
    }
}
