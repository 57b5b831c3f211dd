//! The streams that lie in a recording, before any of them is decoded.

use super::atoms;
use super::player::{Player, pass_by};
use crate::stop::Stop;
use anyhow::{Context, Result};
use gst::prelude::*;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Picture,
    Sound,
    /// Subtitles, as text or as pictures.
    Subtitles,
    Other,
}

/// A stream, as it lies in the file.
#[derive(Debug, Clone)]
pub struct Listed {
    /// By which it is known in every pipeline that reads the file.
    pub id: String,
    pub kind: Kind,
    pub caps: gst::Caps,
    /// The file marks it as the one to play.
    pub default: bool,
}

/// All streams of a file.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    pub streams: Vec<Listed>,
    /// Its chapters.
    pub chapters: Option<gst::Toc>,
    /// It has chapters that are not among those.
    pub other_chapters: bool,
}

impl Contents {
    /// Lists a file's.
    pub fn of(path: &Path, stop: &Stop) -> Result<Self> {
        let found = Arc::new(Mutex::new(Self::default()));
        let list = found.clone();
        let player = Player::new(
            path,
            |_, caps| is_container(caps),
            move |_, pad| {
                pass_by(pad);
                let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
                list.streams.extend(listed(pad));
                if let Some(event) = pad.sticky_event::<gst::event::Toc>(0) {
                    list.chapters = Some(event.toc().0.to_owned());
                }
                Ok(())
            },
        )?;
        player.begin(stop)?;
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            other_chapters: found.chapters.is_none() && atoms::has_chapters(path),
            ..found.clone()
        })
    }

    /// The streams of a kind, in the file's order.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Listed> {
        self.streams
            .iter()
            .filter(move |listed| listed.kind == kind)
    }

    /// Of several pictures the one to enlarge: the file's default, if that is one, else the largest.
    pub fn picture(&self) -> Option<&Listed> {
        let several = self.of_kind(Kind::Picture).nth(1).is_some();
        let defaults = self
            .of_kind(Kind::Picture)
            .filter(|picture| picture.default);
        let only_default = Some(defaults.count() == 1).filter(|one| *one);
        self.of_kind(Kind::Picture)
            .filter(|picture| several && (only_default.is_none() || picture.default))
            .reduce(|best, next| {
                if next.pixels() > best.pixels() {
                    next
                } else {
                    best
                }
            })
    }
}

impl Listed {
    /// The size of a picture, where the file says it.
    pub fn size(&self) -> Option<(i32, i32)> {
        let structure = self.caps.structure(0)?;
        Some((structure.get("width").ok()?, structure.get("height").ok()?))
    }

    fn pixels(&self) -> i64 {
        self.size().map_or(0, |(w, h)| i64::from(w) * i64::from(h))
    }
}

fn listed(pad: &gst::Pad) -> Option<Listed> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let start = pad.sticky_event::<gst::event::StreamStart>(0);
    let flags = start.map(|event| event.stream_flags());
    Some(Listed {
        id: pad.stream_id()?.to_string(),
        kind: kind(&caps),
        caps,
        default: flags.is_some_and(|flags| flags.contains(gst::StreamFlags::SELECT)),
    })
}

/// What streams of this form are for.
pub fn kind(caps: &gst::Caps) -> Kind {
    let Some(structure) = caps.structure(0) else {
        return Kind::Other;
    };
    let name = structure.name().as_str();
    let subtitles = ["ass", "ssa", "usf", "subtitle", "teletext"];
    let is_subtitle = |name: &str| subtitles.iter().any(|start| name.starts_with(start));
    match name.split_once('/').unwrap_or_default() {
        ("audio", _) => Kind::Sound,
        ("video" | "image", _) => Kind::Picture,
        ("text" | "subtitle" | "subpicture", _) => Kind::Subtitles,
        ("application", rest) if rest.strip_prefix("x-").is_some_and(is_subtitle) => {
            Kind::Subtitles
        }
        _ => Kind::Other,
    }
}

/// Whether other streams lie in a stream of this form.
pub fn is_container(caps: &gst::Caps) -> bool {
    let all = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::DEMUXER,
        gst::Rank::MARGINAL,
    );
    all.into_iter()
        .any(|factory| factory.can_sink_any_caps(caps))
}

/// Lists a file's streams; a file that cannot be listed is said to be unreadable.
pub fn list(path: &Path, stop: &Stop) -> Result<Contents> {
    Contents::of(path, stop).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(id: &str, width: i32, default: bool) -> Listed {
        Listed {
            id: id.into(),
            kind: Kind::Picture,
            caps: gst::Caps::builder("video/x-h264")
                .field("width", width)
                .field("height", 10)
                .build(),
            default,
        }
    }

    #[test]
    fn the_default_picture_is_taken_or_else_the_largest() {
        gst::init().unwrap();
        let chosen = |pictures: &[Listed]| {
            let contents = Contents {
                streams: pictures.to_vec(),
                ..Contents::default()
            };
            contents.picture().map(|picture| picture.id.clone())
        };
        assert_eq!(chosen(&[]), None);
        assert_eq!(
            chosen(&[picture("a", 10, true)]),
            None,
            "there is no choice"
        );
        let [small, large] = [picture("a", 10, false), picture("b", 20, false)];
        assert_eq!(
            chosen(&[small.clone(), large.clone()]).as_deref(),
            Some("b")
        );
        let first = picture("c", 5, true);
        assert_eq!(chosen(&[small, large, first]).as_deref(), Some("c"));
        let both = [picture("a", 10, true), picture("b", 20, true)];
        assert_eq!(chosen(&both).as_deref(), Some("b"));
    }

    #[test]
    fn kinds_are_told_by_their_names() {
        gst::init().unwrap();
        for (name, expected) in [
            ("audio/x-gst-fourcc-apac", Kind::Sound),
            ("image/jpeg", Kind::Picture),
            ("application/x-ass", Kind::Subtitles),
            ("subpicture/x-pgs", Kind::Subtitles),
            ("application/x-yuv4mpeg", Kind::Other),
            ("meta/x-klv", Kind::Other),
        ] {
            assert_eq!(kind(&gst::Caps::new_empty_simple(name)), expected, "{name}");
        }
        assert!(is_container(&gst::Caps::new_empty_simple(
            "video/quicktime"
        )));
        assert!(!is_container(&gst::Caps::new_empty_simple("video/x-h265")));
    }
}
