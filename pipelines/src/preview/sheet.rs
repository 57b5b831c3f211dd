//! All moments as one picture.

use super::view::{DETAIL, View};
use crate::canvas::{Canvas, Colour};
use crate::frames::Rect;
use crate::transcode::options::Lens;
use anyhow::Result;
use refvsr::image::resize::bicubic_antialiased;

const BACKGROUND: Colour = [20, 22, 27];
const TEXT: Colour = [232, 234, 238];
const FAINT: Colour = [150, 155, 166];
const WIDE: Colour = [255, 176, 46];
const TELE: Colour = [92, 214, 140];

const MARGIN: i64 = 24;
const GAP: i64 = 12;
const PANEL: i64 = 2 * DETAIL.0;
const LINE: i64 = 22;
const CAPTION: i64 = 26;

/// Draws it: a title, lines of text, and a row of whole pictures and one of each detail for every moment.
pub fn draw(title: &str, lines: &[String], views: &[View]) -> Result<Canvas> {
    let columns = views.iter().map(|view| view.pictures.len()).max();
    let columns = columns.unwrap_or(1) as i64;
    let measure = Canvas::new(1, 1, BACKGROUND)?;
    let longest = lines
        .iter()
        .map(|line| measure.text_width(15.0, line))
        .max();
    let width = (columns * (PANEL + GAP) - GAP).max(longest.unwrap_or(0)) + 2 * MARGIN;
    let head = 2 * MARGIN + 34 + lines.len() as i64 * LINE;
    let height = head + views.iter().map(height_of).sum::<i64>() + MARGIN;
    let mut canvas = Canvas::new(width, height, BACKGROUND)?;
    canvas.text(MARGIN, MARGIN - 6, 28.0, TEXT, title);
    let mut y = MARGIN + 34;
    for line in lines {
        canvas.text(MARGIN, y, 15.0, FAINT, line);
        y += LINE;
    }
    y = head;
    for view in views {
        moment(&mut canvas, view, y)?;
        y += height_of(view);
    }
    Ok(canvas)
}

/// Rows that whole pictures take.
fn whole(view: &View) -> i64 {
    let size = view.pictures.first().map(|(_, picture)| picture.size());
    size.map_or(0, |size| (PANEL * size[2] / size[3].max(1)).max(1))
}

fn height_of(view: &View) -> i64 {
    let details = view.details.iter();
    let details = details.map(|(_, part)| part.height * magnified(part) + CAPTION + GAP);
    2 * CAPTION + whole(view) + GAP + details.sum::<i64>()
}

/// How many times larger a detail is drawn.
fn magnified(part: &Rect) -> i64 {
    (PANEL / part.width.max(1)).max(1)
}

fn moment(canvas: &mut Canvas, view: &View, mut y: i64) -> Result<()> {
    canvas.text(MARGIN, y, 18.0, TEXT, &format!("at {:.3} s", view.at));
    y += CAPTION;
    let places = view
        .pictures
        .iter()
        .zip((MARGIN..).step_by((PANEL + GAP) as usize));
    let height = whole(view);
    for ((name, picture), x) in places.clone() {
        canvas.text(x, y, 16.0, TEXT, name);
        let small = bicubic_antialiased(picture, height, PANEL)?.f_clamp(0.0, 1.0)?;
        canvas.picture(x, y + CAPTION, &small)?;
        let scale = PANEL as f64 / picture.size()[3] as f64;
        for field in &view.fields {
            let at = |(p, q): (f64, f64)| (x as f64 + p * scale, (y + CAPTION) as f64 + q * scale);
            let colour = match field.lens {
                Lens::Wide => WIDE,
                Lens::Tele => TELE,
            };
            canvas.polygon(&field.corners.map(at), 2.0, colour);
        }
    }
    y += CAPTION + height + GAP;
    for (what, part) in &view.details {
        canvas.text(MARGIN, y, 15.0, FAINT, what);
        y += CAPTION;
        let by = magnified(part);
        let (w, h) = (part.width * by, part.height * by);
        for ((_, picture), x) in places.clone() {
            let detail = part.of(picture)?;
            let detail = detail.f_upsample_nearest2d([h, w], None::<f64>, None::<f64>)?;
            canvas.picture(x, y, &detail)?;
        }
        y += h + GAP;
    }
    Ok(())
}
