//! The report: one page that needs nothing beside it, with the figures, and pictures to compare.

use super::tables::Results;
use crate::frames::jpeg;
use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tch::Tensor;

/// The page, with a place for the data.
const PAGE: &str = include_str!("report.html");
const PLACE: &str = "/*DATA*/";

/// Frames of each clip that are shown, where there is room.
const FRAMES: usize = 8;
/// Pixels of all pictures, where the user does not say how many frames: about 60 MB of text.
const PIXELS: usize = 120_000_000;

/// The pictures of the frames that are shown.
#[derive(Debug, Default)]
pub struct Gallery {
    /// Frames of each clip, where the user says.
    frames: Option<usize>,
    /// How many clips there are, and pictures of each frame.
    of: (usize, usize),
    clips: BTreeMap<String, Album>,
}

/// Of a clip: its size and its frames.
#[derive(Debug, Default)]
struct Album {
    width: i64,
    height: i64,
    frames: BTreeMap<usize, Shown>,
}

/// One frame: JPEG files in base64, by what made them.
#[derive(Debug, Default, Serialize)]
struct Shown {
    of: BTreeMap<String, String>,
    confidence: BTreeMap<String, String>,
}

impl Gallery {
    /// For at most `frames` frames of each of so many clips, each shown by so many methods; by itself, for as many as a page can hold.
    pub fn new(frames: Option<usize>, clips: usize, methods: usize) -> Self {
        Self {
            frames,
            // The truth, and about as many confidence maps as there are methods with references.
            of: (clips, 1 + methods + methods / 2),
            clips: BTreeMap::new(),
        }
    }

    /// Whether a frame is shown: number `index` of `len` of a clip, of that many pixels. Those that are lie evenly over the clip.
    pub fn wants(&self, clip: usize, index: usize, len: usize, pixels: usize) -> bool {
        let (clips, pictures) = self.of;
        let room = PIXELS / (pixels * pictures).max(1);
        match self.frames.unwrap_or(FRAMES.min(room / clips.max(1))) {
            // Some clips are shown by their first frame.
            0 if self.frames.is_none() => index == 0 && chosen(clip, clips, room.max(1)),
            frames => chosen(index, len, frames),
        }
    }

    /// How many frames and clips are shown.
    pub fn shown(&self) -> (usize, usize) {
        let frames = self.clips.values().map(|album| album.frames.len());
        (frames.sum(), self.clips.len())
    }

    /// Keeps a picture, RGB `[1, 3, H, W]` in \[0, 1\].
    pub fn add(&mut self, clip: &str, index: usize, what: &str, picture: &Tensor) -> Result<()> {
        let album = self.clips.entry(clip.to_owned()).or_default();
        (album.height, album.width) = (picture.size()[2], picture.size()[3]);
        let shown = album.frames.entry(index).or_default();
        if !shown.of.contains_key(what) {
            shown.of.insert(what.to_owned(), jpeg(picture)?);
        }
        Ok(())
    }

    /// Keeps a confidence map, `[1, 1, H, W]`, as black over red and yellow to white.
    pub fn add_confidence(
        &mut self,
        clip: &str,
        index: usize,
        method: &str,
        map: &Tensor,
    ) -> Result<()> {
        let channel = |offset: f64| {
            map.f_mul_scalar(3.0)?
                .f_sub_scalar(offset)?
                .f_clamp(0.0, 1.0)
        };
        let heat = Tensor::f_cat(&[channel(0.0)?, channel(1.0)?, channel(2.0)?], 1)?;
        let album = self.clips.entry(clip.to_owned()).or_default();
        let shown = album.frames.entry(index).or_default();
        shown.confidence.insert(method.to_owned(), jpeg(&heat)?);
        Ok(())
    }

    /// The page.
    pub fn page(&self, results: &Results, tele: bool) -> Result<String> {
        let clips: Vec<Value> = results
            .clips()
            .into_iter()
            .map(|name| self.clip(results, name, self.clips.get(name)))
            .collect();
        let data = json!({
            "data": results.data, "device": results.device, "methods": results.methods,
            "clips": clips, "tele": tele, "of": results.of_what(),
        });
        // Nothing in a name may end the script.
        let text = serde_json::to_string(&data)?.replace('<', "\\u003c");
        Ok(PAGE.replacen(PLACE, &text, 1))
    }

    fn clip(&self, results: &Results, name: &str, album: Option<&Album>) -> Value {
        let none = Album::default();
        let album = album.unwrap_or(&none);
        let methods = results.methods.iter().map(|method| method.name.as_str());
        let (mut means, mut frames) = (BTreeMap::new(), BTreeMap::new());
        for method in methods {
            let own = results
                .frames
                .iter()
                .filter(|record| record.clip == name && record.method == method);
            let whole: Vec<_> = own
                .map(|record| record.figures.as_ref().map(|figures| figures.whole))
                .collect();
            means.insert(
                method,
                results.mean(Some(name), method).map(|mean| mean.whole),
            );
            frames.insert(method, whole);
        }
        let length = frames.values().map(Vec::len).max().unwrap_or(0);
        let pictures: Vec<Value> = album
            .frames
            .iter()
            .map(|(frame, shown)| json!({"frame": frame, "of": shown.of, "confidence": shown.confidence}))
            .collect();
        json!({
            "name": name, "length": length, "width": album.width, "height": album.height, "means": means, "frames": frames,
            "pictures": pictures,
        })
    }
}

/// Whether a place is one of at most `shown` that lie evenly in `len`: those where a count of `shown` over them steps.
fn chosen(index: usize, len: usize, shown: usize) -> bool {
    let shown = shown.min(len);
    shown > 0 && (index * shown).div_ceil(len) * len / shown == index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_shown_lie_evenly() {
        let shown = |frames, len| -> Vec<usize> {
            let gallery = Gallery::new(Some(frames), 1, 2);
            (0..len)
                .filter(|n| gallery.wants(0, *n, len, 100))
                .collect()
        };
        assert_eq!(shown(3, 3), [0, 1, 2]);
        assert_eq!(shown(9, 3), [0, 1, 2]);
        assert_eq!(shown(3, 30), [0, 10, 20]);
        assert_eq!(shown(4, 10).len(), 4);
        assert_eq!(shown(0, 10).len(), 0);
        for (frames, len) in [(7, 30), (30, 31), (29, 30), (1, 5)] {
            assert_eq!(shown(frames, len).len(), frames, "{frames} of {len}");
        }
    }

    #[test]
    fn a_page_holds_what_a_browser_can() {
        let shown = |clips, pixels| {
            let gallery = Gallery::new(None, clips, 3);
            let places = (0..clips).flat_map(|clip| (0..100).map(move |n| (clip, n)));
            places
                .filter(|(clip, n)| gallery.wants(*clip, *n, 100, pixels))
                .count()
        };
        assert_eq!(shown(3, 480 * 270), 3 * 8);
        assert_eq!(shown(20, 1920 * 1080), 11);
        assert_eq!(shown(4, 1920 * 1080), 4 * 2);
        assert_eq!(shown(2, 7680 * 4320), 1);
    }

    #[test]
    fn names_cannot_end_the_script() {
        let results = Results {
            data: "</script><b>".into(),
            ..Results::default()
        };
        let page = Gallery::new(None, 1, 1).page(&results, false).unwrap();
        assert!(page.contains("\\u003c/script>\\u003cb>") && !page.contains(PLACE));
    }
}
