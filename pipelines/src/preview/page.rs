//! All moments as one page that needs nothing beside it.

use super::Preview;
use super::view::View;
use crate::frames::jpeg;
use crate::transcode::estimate::{minutes, size};
use crate::transcode::options::Lens;
use anyhow::Result;
use refvsr::image::resize::bicubic_antialiased;
use std::fmt::Write;
use tch::Tensor;

/// The page, with a place for what is in it.
const PAGE: &str = include_str!("preview.html");
const PLACE: &str = "<!--CONTENT-->";
/// The most pixels a side of whole pictures; details are shown as they are.
const LARGEST: i64 = 1920;

/// The page.
pub fn text(preview: &Preview) -> Result<String> {
    let mut page = String::from("<table>\n");
    for (what, text) in &preview.found.rows {
        let (what, text) = (escaped(what), escaped(text));
        writeln!(page, "<tr><th>{what}</th><td>{text}</td></tr>")?;
    }
    writeln!(
        page,
        "</table>\n<h2>All {} frames</h2>\n<table>\n<tr><th>with</th><th>time, about</th><th>disk, about</th></tr>",
        preview.frames
    )?;
    for offer in &preview.offers {
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&offer.model),
            minutes(offer.estimate.seconds),
            size(offer.estimate.bytes)
        )?;
    }
    writeln!(page, "</table>\n<pre>{}</pre>", escaped(&preview.command))?;
    for view in &preview.views {
        moment(&mut page, view)?;
    }
    Ok(PAGE.replacen(PLACE, &page, 1))
}

fn moment(page: &mut String, view: &View) -> Result<()> {
    writeln!(page, "<h2>At {:.3} s</h2>\n<div class=\"row\">", view.at)?;
    for (name, picture) in &view.pictures {
        let (height, width) = (picture.size()[2], picture.size()[3]);
        let mut over = String::new();
        for field in &view.fields {
            let points = field.corners.map(|(x, y)| format!("{x:.1},{y:.1}"));
            let lens = field.lens.name();
            let title = match field.lens {
                Lens::Wide => "the wide camera's field",
                Lens::Tele => "the tele camera's field",
            };
            let points = points.join(" ");
            write!(
                over,
                "<polygon class=\"{lens}\" points=\"{points}\"><title>{title}</title></polygon>"
            )?;
        }
        let over = format!("<svg viewBox=\"0 0 {width} {height}\">{over}</svg>");
        figure(page, &format!("{name}, whole"), &shrunk(picture)?, &over)?;
    }
    writeln!(page, "</div>")?;
    for (what, part) in &view.details {
        writeln!(page, "<h3>{what}</h3>\n<div class=\"row close\">")?;
        for (name, picture) in &view.pictures {
            figure(page, name, &part.of(picture)?, "")?;
        }
        writeln!(page, "</div>")?;
    }
    Ok(())
}

fn figure(page: &mut String, name: &str, picture: &Tensor, over: &str) -> Result<()> {
    let (name, data) = (escaped(name), jpeg(picture)?);
    writeln!(
        page,
        "<figure><div><img alt=\"{name}\" src=\"data:image/jpeg;base64,{data}\">{over}</div><figcaption>{name}</figcaption></figure>"
    )?;
    Ok(())
}

/// A whole picture in a size that a page can hold.
fn shrunk(picture: &Tensor) -> Result<Tensor> {
    let (height, width) = (picture.size()[2], picture.size()[3]);
    let longest = height.max(width);
    if longest <= LARGEST {
        return Ok(picture.shallow_clone());
    }
    let side = |n: i64| (n * LARGEST / longest).max(1);
    Ok(bicubic_antialiased(picture, side(height), side(width))?)
}

/// Text in which nothing is taken for a tag.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::found::Found;

    #[test]
    fn names_are_no_tags() {
        let row = ("a<b>".to_owned(), "\"&\"".to_owned());
        let preview = Preview {
            found: Found { rows: vec![row] },
            views: vec![],
            frames: 3,
            offers: vec![],
            command: "refvsr transcode -u '</pre><script>'".into(),
        };
        let page = text(&preview).unwrap();
        assert!(page.contains("a&lt;b&gt;") && page.contains("&quot;&amp;&quot;"));
        assert!(!page.contains("<script>") && !page.contains(PLACE));
    }
}
