//! Sound that is encoded anew, in a pipeline of its own: whatever happens to it does not end the picture.

use super::sound::{labels, source};
use crate::element::make;
use crate::media::messages::error_text;
use crate::media::stream::{Stream, Word};
use anyhow::{Context, Result};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};

/// Decodes a track and encodes it anew.
#[derive(Debug)]
pub struct Room {
    pipeline: gst::Pipeline,
    /// Where the track is fed in.
    pub input: AppSrc,
    output: AppSrc,
}

impl Room {
    /// A track comes out at `output` as `encoder` writes it, in a form that `taken` allows.
    pub fn new(track: &Stream, encoder: &str, taken: &gst::Caps, output: &AppSrc) -> Result<Self> {
        let pipeline = gst::Pipeline::new();
        let input = source(&track.caps, 1 << 20);
        let sink = AppSink::builder()
            .caps(taken)
            .sync(false)
            .max_buffers(64)
            .build();
        sink.set_property("enable-last-sample", false);
        pipeline.add(&input)?;
        let last = encode(&pipeline, input.upcast_ref(), encoder)?;
        pipeline.add(&sink)?;
        last.link(&sink)?;
        let (to, end) = (output.clone(), output.clone());
        let (mut begun, labels) = (false, labels(track));
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if !begun {
                        to.set_caps(sample.caps_owned().as_ref());
                        to.send_event(labels.clone());
                        begun = true;
                    }
                    let buffer = sample.buffer_owned().ok_or(gst::FlowError::Error)?;
                    to.push_buffer(buffer)
                })
                .eos(move |_| _ = end.end_of_stream())
                .build(),
        );
        Ok(Self {
            pipeline,
            input,
            output: output.clone(),
        })
    }

    /// Starts; an error ends the sound, and is told.
    pub fn start(&self, file: String, tell: impl Fn(Word) + Send + Sync + 'static) -> Result<()> {
        let bus = self.pipeline.bus().context("a pipeline without a bus")?;
        let output = self.output.clone();
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let why = error_text(error);
                tell(Word::Note(format!("{file}: its sound ends early: {why}")));
                _ = output.end_of_stream();
            }
            gst::BusSyncReply::Drop
        });
        self.pipeline.set_state(gst::State::Playing)?;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Adds what decodes the sound of `from` and encodes it anew, in the form in which it begins. Returns the last element.
pub fn encode(
    pipeline: &gst::Pipeline,
    from: &gst::Element,
    encoder: &str,
) -> Result<gst::Element> {
    let decoder = make("decodebin")?;
    let chain = ["audioconvert", "audioresample", "capsfilter", encoder];
    let mut chain = chain.map(make).into_iter().collect::<Result<Vec<_>>>()?;
    if encoder.contains("aac") {
        // Containers want AAC in different forms.
        chain.push(make("aacparse")?);
    }
    super::camera::stay(&chain[2]);
    pipeline.add(&decoder)?;
    pipeline.add_many(&chain)?;
    from.link(&decoder)?;
    gst::Element::link_many(&chain)?;
    let target = chain[0]
        .static_pad("sink")
        .context("an element without input")?;
    decoder.connect_pad_added(move |decoder, pad| {
        if let Err(error) = pad.link(&target) {
            gst::element_error!(
                decoder,
                gst::CoreError::Pad,
                ("the sound cannot be encoded anew: {error}")
            );
        }
    });
    let last = chain.into_iter().next_back();
    last.context("an empty chain")
}
