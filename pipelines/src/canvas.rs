//! A picture to draw on: frames, lines and text.

use crate::frames::{Rect, to_bytes};
use ab_glyph::{Font, FontRef, GlyphId, ScaleFont, point};
use anyhow::{Context, Result};
use image::{Rgb, RgbImage};
use std::io::Cursor;
use tch::Tensor;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// The picture. What is drawn beyond its edges is cut off.
pub struct Canvas {
    image: RgbImage,
    font: FontRef<'static>,
}

impl Canvas {
    /// A canvas of one colour.
    pub fn new(width: i64, height: i64, colour: Colour) -> Result<Self> {
        let font = FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR)
            .context("the built-in font is damaged")?;
        let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
        Ok(Self {
            image: RgbImage::from_pixel(width, height, Rgb(colour)),
            font,
        })
    }

    /// It as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        self.image
            .write_to(&mut Cursor::new(&mut file), image::ImageFormat::Png)
            .context("the picture cannot be packed as PNG")?;
        Ok(file)
    }

    /// Mixes `colour` into a pixel; `cover` from 0 (nothing) to 1 (all).
    fn blend(&mut self, x: i64, y: i64, colour: Colour, cover: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            for (old, new) in pixel.0.iter_mut().zip(colour) {
                *old = (f32::from(*old)
                    + (f32::from(new) - f32::from(*old)) * cover.clamp(0.0, 1.0))
                .round() as u8;
            }
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, x: i64, y: i64, width: i64, height: i64, colour: Colour) {
        for row in y..y + height {
            for column in x..x + width {
                self.blend(column, row, colour, 1.0);
            }
        }
    }

    /// Draws the edge of a rectangle, `thick` pixels wide, inwards.
    pub fn outline(&mut self, r: Rect, thick: i64, colour: Colour) {
        self.fill(r.x, r.y, r.width, thick, colour);
        self.fill(r.x, r.y + r.height - thick, r.width, thick, colour);
        self.fill(r.x, r.y, thick, r.height, colour);
        self.fill(r.x + r.width - thick, r.y, thick, r.height, colour);
    }

    /// Draws a closed polygon's edges, smooth, `thick` pixels wide.
    pub fn polygon(&mut self, corners: &[(f64, f64)], thick: f64, colour: Colour) {
        let reach = thick / 2.0 + 1.0;
        for (n, &a) in corners.iter().enumerate() {
            let b = corners[(n + 1) % corners.len()];
            let range = |p: f64, q: f64| {
                (p.min(q) - reach).floor() as i64..=(p.max(q) + reach).ceil() as i64
            };
            for y in range(a.1, b.1) {
                for x in range(a.0, b.0) {
                    let away = distance((x as f64 + 0.5, y as f64 + 0.5), a, b);
                    self.blend(x, y, colour, (thick / 2.0 + 0.5 - away) as f32);
                }
            }
        }
    }

    /// Puts a frame, RGB `[1, 3, H, W]` in \[0, 1\], with its top left corner at (x, y).
    pub fn picture(&mut self, x: i64, y: i64, frame: &Tensor) -> Result<()> {
        let width = frame.size()[3];
        for (n, pixel) in to_bytes(frame)?.chunks_exact(3).enumerate() {
            let n = n as i64;
            self.blend(
                x + n % width,
                y + n / width,
                [pixel[0], pixel[1], pixel[2]],
                1.0,
            );
        }
        Ok(())
    }

    /// Width of a line of text in pixels.
    pub fn text_width(&self, size: f32, text: &str) -> i64 {
        let (_, end) = self.lay_out(size, text);
        end.ceil() as i64
    }

    /// Glyphs with their places along the line, and the line's end.
    fn lay_out(&self, size: f32, text: &str) -> (Vec<(GlyphId, f32)>, f32) {
        let font = self.font.as_scaled(size);
        let mut x = 0.0;
        let glyphs = text
            .chars()
            .map(|c| {
                let id = font.glyph_id(c);
                let at = x;
                x += font.h_advance(id);
                (id, at)
            })
            .collect();
        (glyphs, x)
    }

    /// Writes a line of text `size` pixels high with its top left corner at (x, y).
    pub fn text(&mut self, x: i64, y: i64, size: f32, colour: Colour, text: &str) {
        let base = y as f32 + self.font.as_scaled(size).ascent();
        let (glyphs, _) = self.lay_out(size, text);
        for (id, along) in glyphs {
            let glyph = id.with_scale_and_position(size, point(x as f32 + along, base));
            if let Some(outline) = self.font.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                let (left, top) = (corner.x as i64, corner.y as i64);
                outline.draw(|dx, dy, cover| {
                    self.blend(left + i64::from(dx), top + i64::from(dy), colour, cover)
                });
            }
        }
    }

    /// Text on a filled tag.
    pub fn label(&mut self, x: i64, y: i64, size: f32, colour: Colour, tag: Colour, text: &str) {
        let width = self.text_width(size, text) + 10;
        self.fill(x, y, width, size as i64 + 6, tag);
        self.text(x + 5, y + 3, size, colour, text);
    }
}

/// How far `p` is from the stretch between `a` and `b`.
fn distance(p: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let along = ((p.0 - a.0) * dx + (p.1 - a.1) * dy) / (dx * dx + dy * dy).max(f64::MIN_POSITIVE);
    let along = along.clamp(0.0, 1.0);
    (p.0 - a.0 - along * dx).hypot(p.1 - a.1 - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: Colour = [0; 3];
    const WHITE: Colour = [255; 3];

    fn lit(canvas: &Canvas) -> usize {
        canvas.image.pixels().filter(|p| p.0 != BLACK).count()
    }

    #[test]
    fn nothing_is_drawn_out_of_bounds() {
        let mut canvas = Canvas::new(20, 10, BLACK).unwrap();
        canvas.text(-30, -4, 16.0, WHITE, "beyond every edge of it");
        canvas.text(15, 8, 16.0, WHITE, "Äß→\u{1F600}");
        canvas.outline(
            Rect {
                x: -5,
                y: -5,
                width: 100,
                height: 100,
            },
            3,
            WHITE,
        );
        canvas.polygon(&[(-50.0, 5.0), (50.0, -90.0), (5.0, 60.0)], 3.0, WHITE);
        canvas
            .picture(
                15,
                5,
                &Tensor::ones([1, 3, 30, 30], (tch::Kind::Float, tch::Device::Cpu)),
            )
            .unwrap();
        assert_eq!(canvas.image.dimensions(), (20, 10));
    }

    #[test]
    fn text_stays_in_the_box_it_reports() {
        let mut canvas = Canvas::new(400, 60, BLACK).unwrap();
        let text = "PSNR gyÄ| 31.25 dB";
        let width = canvas.text_width(20.0, text);
        canvas.text(10, 10, 20.0, WHITE, text);
        assert!(lit(&canvas) > 200);
        for (x, y, pixel) in canvas.image.enumerate_pixels() {
            let within = (10..=10 + width as u32).contains(&x) && (9..=31).contains(&y);
            assert!(within || pixel.0 == BLACK, "({x}, {y})");
        }
    }

    #[test]
    fn outlines_are_hollow_and_polygons_follow_their_corners() {
        let mut canvas = Canvas::new(12, 12, BLACK).unwrap();
        canvas.outline(
            Rect {
                x: 2,
                y: 2,
                width: 6,
                height: 5,
            },
            1,
            WHITE,
        );
        assert_eq!(lit(&canvas), 2 * 6 + 2 * 3);
        let mut canvas = Canvas::new(40, 40, BLACK).unwrap();
        canvas.polygon(
            &[(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0)],
            2.0,
            WHITE,
        );
        assert_eq!(canvas.image.get_pixel(20, 10).0, WHITE);
        assert_eq!(canvas.image.get_pixel(30, 20).0, WHITE);
        assert_eq!(canvas.image.get_pixel(20, 20).0, BLACK);
    }
}
