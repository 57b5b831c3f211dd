//! A stream of a recording that is handed over as it lies in the file: sound or subtitles.
//!
//! A pipeline of its own reads it. The picture and the sound of a file then never wait for one another, however late one of them begins.

use super::contents::{Kind, Listed, is_container};
use super::player::{Player, pass_by};
use super::stream::{Part, Stream, Word};
use crate::stop::Stop;
use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use std::path::Path;

/// Compressed pieces that wait.
const WAITING: u32 = 64;

/// A track, open, at its first piece.
#[derive(Debug)]
pub struct Track {
    player: Player,
    pub kind: Kind,
    pub stream: Stream,
}

impl Track {
    /// Opens a stream of a file.
    pub fn open(path: &Path, listed: &Listed, stop: &Stop) -> Result<Self> {
        let sink = AppSink::builder().sync(false).max_buffers(WAITING).build();
        sink.set_property("enable-last-sample", false);
        let (target, wanted) = (sink.clone(), listed.id.clone());
        let player = Player::new(
            path,
            |_, caps| is_container(caps),
            move |pipeline, pad| {
                let input = target.static_pad("sink").context("a sink without a pad")?;
                if pad.stream_id().as_deref() != Some(&wanted) || input.is_linked() {
                    pass_by(pad);
                    return Ok(());
                }
                if target.parent().is_none() {
                    pipeline.add(&target)?;
                }
                target.sync_state_with_parent()?;
                pad.link(&input)?;
                Ok(())
            },
        )?;
        player.begin(stop)?;
        ensure!(sink.parent().is_some(), "it is gone");
        ensure!(!sink.is_eos(), "nothing is in it");
        Ok(Self {
            player,
            kind: listed.kind,
            stream: Stream::open(sink)?,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.player.path()
    }

    /// Goes to a part of the file, as its picture does.
    pub fn seek(
        &self,
        from: gst::ClockTime,
        to: Option<gst::ClockTime>,
        stop: &Stop,
    ) -> Result<()> {
        if self.player.seek(from, to, stop).is_ok() {
            return Ok(());
        }
        stop.check()?;
        self.player.rewind(stop)?;
        self.stream.cut(Part::new(from, to));
        Ok(())
    }

    /// Reads, and hands all to `to`. An error ends the track, and is told.
    pub fn play(
        &self,
        to: &AppSrc,
        shift: i64,
        tell: impl Fn(Word) + Clone + Send + Sync + 'static,
    ) -> Result<()> {
        let bus = self
            .player
            .pipeline
            .bus()
            .context("a pipeline without a bus")?;
        let (end, path, say) = (to.clone(), self.path().to_owned(), tell.clone());
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let why = super::messages::error_text(error);
                say(Word::Note(format!(
                    "{}: sound or subtitles end early: {why}",
                    path.display()
                )));
                _ = end.end_of_stream();
            }
            gst::BusSyncReply::Drop
        });
        self.stream.connect(to.clone(), shift, None, tell);
        self.player.play()
    }
}
