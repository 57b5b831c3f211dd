//! The side-by-side picture.

use super::score::{Scores, bicubic, inside};
use super::triplet::{Lens, SCALE, TRUTH};
use crate::canvas::{Canvas, Colour};
use crate::crops;
use crate::frames::Rect;
use anyhow::Result;
use refvsr::image::resize::bicubic_antialiased;
use tch::Tensor;

const BACKGROUND: Colour = [20, 22, 27];
const TEXT: Colour = [232, 234, 238];
const FAINT: Colour = [150, 155, 166];
const WIDE_FIELD: Colour = [255, 176, 46];
const INSIDE: Colour = [92, 214, 140];
const OUTSIDE: Colour = [120, 180, 255];

const MARGIN: i64 = 28;
const GAP: i64 = 16;
const MAGNIFIED: i64 = 2;
const CROP: (i64, i64) = (152, 112);
/// Where there is no such part.
const WHOLE: Rect = Rect {
    x: 0,
    y: 0,
    width: CROP.0,
    height: CROP.1,
};
const PANEL: (i64, i64) = (CROP.0 * MAGNIFIED, CROP.1 * MAGNIFIED);
const OVERVIEW: (i64, i64) = (864, 486);
/// Where the words beside the overview start, and how wide each camera's small frame below them is.
const NOTES: i64 = MARGIN + OVERVIEW.0 + 24;
const THUMB: (i64, i64) = (180, 101);
const CAPTION: i64 = 34;
const WIDTH: i64 = 2 * MARGIN + 4 * PANEL.0 + 3 * GAP;
const HEIGHT: i64 = 2 * MARGIN + OVERVIEW.1 + 2 * (GAP + CAPTION + PANEL.1 + 26) + GAP + 16;

/// One frame, in all forms. RGB `[1, 3, H, W]` in \[0, 1\].
#[derive(Debug)]
pub struct Moment {
    pub ultrawide: Tensor,
    pub wide: Tensor,
    /// Enlarged without the wide camera.
    pub alone: Tensor,
    /// Enlarged with it.
    pub ours: Tensor,
    pub truth: Tensor,
}

/// The words of the picture.
#[derive(Debug)]
pub struct Words<'a> {
    pub frame: usize,
    /// What was scored, by name.
    pub scores: &'a [(String, Scores)],
    pub credit: &'a str,
}

/// Draws it: the whole frame with the wide camera's field, the scores, and two details as bicubic, without the wide camera, with it, and the truth.
pub fn draw(moment: &Moment, lens: &Lens, words: &Words) -> Result<Canvas> {
    let base = bicubic(&moment.ultrawide)?;
    let loss = base.f_sub(&moment.truth)?.f_abs()?;
    let (here, there) = crops::choose(&loss, CROP, SCALE, &inside(lens))?;
    let (here, there) = (here.unwrap_or(WHOLE), there.unwrap_or(WHOLE));

    let mut canvas = Canvas::new(WIDTH, HEIGHT, BACKGROUND)?;
    overview(
        &mut canvas,
        &moment.ours,
        lens,
        [(here, INSIDE), (there, OUTSIDE)],
    )?;
    side_notes(&mut canvas, words);
    cameras(&mut canvas, moment)?;

    let mut y = MARGIN + OVERVIEW.1 + GAP;
    for (crop, colour, title) in [
        (here, INSIDE, "inside the wide camera's field"),
        (
            there,
            OUTSIDE,
            "outside it: only the ultra-wide camera looks here",
        ),
    ] {
        canvas.fill(MARGIN, y + 10, 12, 12, colour);
        canvas.text(MARGIN + 22, y + 7, 17.0, TEXT, title);
        y += CAPTION;
        let truth = crop.of(&moment.truth)?;
        for (n, (name, frame)) in [
            ("bicubic", &base),
            ("without the wide camera", &moment.alone),
            ("with the wide camera", &moment.ours),
            ("ground truth", &moment.truth),
        ]
        .into_iter()
        .enumerate()
        {
            let x = MARGIN + n as i64 * (PANEL.0 + GAP);
            let part = crop.of(frame)?;
            canvas.picture(
                x,
                y,
                &part.f_upsample_nearest2d([PANEL.1, PANEL.0], None::<f64>, None::<f64>)?,
            )?;
            canvas.outline(
                Rect {
                    x,
                    y,
                    width: PANEL.0,
                    height: PANEL.1,
                },
                2,
                colour,
            );
            canvas.text(x, y + PANEL.1 + 6, 16.0, TEXT, name);
            if n < 3 {
                let near_truth = format!("{:.2} dB", refvsr::metrics::psnr(&part, &truth)?);
                canvas.text(
                    x + PANEL.0 - canvas.text_width(16.0, &near_truth),
                    y + PANEL.1 + 6,
                    16.0,
                    FAINT,
                    &near_truth,
                );
            }
        }
        y += PANEL.1 + 26 + GAP;
    }
    canvas.text(
        MARGIN,
        HEIGHT - MARGIN - 14,
        14.0,
        FAINT,
        &format!("Footage: {}", words.credit),
    );
    Ok(canvas)
}

fn overview(
    canvas: &mut Canvas,
    frame: &Tensor,
    lens: &Lens,
    crops: [(Rect, Colour); 2],
) -> Result<()> {
    canvas.picture(
        MARGIN,
        MARGIN,
        &bicubic_antialiased(frame, OVERVIEW.1, OVERVIEW.0)?,
    )?;
    let scale = OVERVIEW.0 as f64 / TRUTH.width as f64;
    let field = lens
        .field(TRUTH)
        .map(|(x, y)| (MARGIN as f64 + x * scale, MARGIN as f64 + y * scale));
    canvas.polygon(&field, 3.0, WIDE_FIELD);
    canvas.label(
        field[0].0 as i64 + 3,
        field[0].1 as i64 + 3,
        14.0,
        BACKGROUND,
        WIDE_FIELD,
        "wide camera",
    );
    for (crop, colour) in crops {
        let at = |n: i64| (n as f64 * scale).round() as i64;
        canvas.outline(
            Rect {
                x: MARGIN + at(crop.x),
                y: MARGIN + at(crop.y),
                width: at(crop.width),
                height: at(crop.height),
            },
            2,
            colour,
        );
    }
    Ok(())
}

fn side_notes(canvas: &mut Canvas, words: &Words) {
    let mut y = MARGIN - 6;
    let mut line = |size: f32, colour, after: i64, text: &str| {
        canvas.text(NOTES, y, size, colour, text);
        y += size as i64 + after;
    };
    line(34.0, TEXT, 8, "refvsr");
    line(15.0, FAINT, 3, "ultra-wide video, enlarged 4 times with");
    line(15.0, FAINT, 16, "detail from the wide camera");
    line(
        15.0,
        TEXT,
        20,
        &format!(
            "{}x{} to {TRUTH}, frame {}",
            TRUTH.width / SCALE,
            TRUTH.height / SCALE,
            words.frame
        ),
    );
    line(15.0, TEXT, 6, "PSNR, all of the frame / in the wide field");
    for (name, scores) in words.scores {
        let text = format!(
            "{name}: {:.2} / {:.2} dB",
            scores.whole.psnr, scores.inside.psnr
        );
        line(15.0, INSIDE, 5, &text);
    }
}

/// What the two cameras gave.
fn cameras(canvas: &mut Canvas, moment: &Moment) -> Result<()> {
    let y = MARGIN + OVERVIEW.1 - THUMB.1;
    let frames = [
        ("ultra-wide", &moment.ultrawide, FAINT),
        ("wide", &moment.wide, WIDE_FIELD),
    ];
    for (n, (name, frame, colour)) in frames.into_iter().enumerate() {
        let x = NOTES + n as i64 * (THUMB.0 + GAP);
        canvas.text(x, y - 20, 14.0, colour, name);
        canvas.picture(x, y, &bicubic_antialiased(frame, THUMB.1, THUMB.0)?)?;
        canvas.outline(
            Rect {
                x,
                y,
                width: THUMB.0,
                height: THUMB.1,
            },
            2,
            colour,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn layout_holds_all_parts() {
        assert_eq!(NOTES + 2 * THUMB.0 + GAP + MARGIN, WIDTH);
        let canvas = Canvas::new(1, 1, BACKGROUND).unwrap();
        for longest in [
            "ultra-wide video, enlarged 4 times with",
            "PSNR, all of the frame / in the wide field",
            "quality, no wide camera: 44.44 / 44.44 dB",
        ] {
            assert!(
                NOTES + canvas.text_width(15.0, longest) + MARGIN <= WIDTH,
                "{longest}"
            );
        }
        assert_eq!(OVERVIEW.0 * TRUTH.height, OVERVIEW.1 * TRUTH.width);
    }
}
