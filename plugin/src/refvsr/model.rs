//! Loading the model, with PROGRESS messages.

use super::{
    enums,
    log::CAT,
    networks::{self, Key, Source},
    rehearsal::warm_up,
    settings::Settings,
};
use ::refvsr::{
    Bundled, DeviceChoice, Error, ModelConfig, Network, Precision, Session, checkpoint::Checkpoint,
    config::Variant,
};
use gst::prelude::*;
use std::{
    path::Path,
    thread::{Builder, JoinHandle},
    time::Duration,
};

/// Code of the PROGRESS messages.
const PROGRESS_CODE: &str = "load-model";
/// So many of a list of names are told.
const FEW: usize = 5;

/// A session, and what is known of it.
#[derive(Debug)]
pub struct Loaded {
    pub session: Session,
    /// What the model is, in words.
    pub model: String,
    /// The size of frames that it has been set up for, and how long one takes; nobody knows where that took too long.
    pub warm: Option<([i64; 4], Option<Duration>)>,
}

/// A model that is being loaded on a thread of its own, as these settings say.
#[derive(Debug)]
pub struct Loading {
    settings: Settings,
    pub thread: JoinHandle<Result<Loaded, gst::ErrorMessage>>,
}

impl Loading {
    pub fn begin(element: gst::Element, settings: Settings) -> std::io::Result<Self> {
        let own = settings.clone();
        let thread = Builder::new().name("refvsr-load".into());
        let thread = thread.spawn(move || load(&element, &own))?;
        Ok(Self { settings, thread })
    }

    /// What came of it, once that is known; loaded anew where the settings are others by now.
    pub fn finish(
        loading: Option<Self>,
        element: &gst::Element,
        settings: &Settings,
    ) -> Result<Loaded, gst::ErrorMessage> {
        let is_of_these = loading
            .as_ref()
            .is_some_and(|own| own.settings == *settings);
        // A panic of that thread is on stderr.
        let outcome = loading.and_then(|loading| loading.thread.join().ok());
        match outcome {
            Some(outcome) if is_of_these => outcome,
            // `outcome` lives on meanwhile: its network may be the one.
            _ => load(element, settings),
        }
    }
}

/// Loads the model and starts a session on it.
fn load(element: &gst::Element, settings: &Settings) -> Result<Loaded, gst::ErrorMessage> {
    let progress = |kind, text: &str| {
        let message = gst::message::Progress::builder(kind, PROGRESS_CODE, text)
            .src(element)
            .build();
        if element.post_message(message).is_err() {
            gst::debug!(CAT, obj = element, "No bus takes the PROGRESS messages");
        }
    };
    let file = settings.model_file.as_deref().map(Path::to_string_lossy);
    let file = file.unwrap_or("bundled with the plugin".into());
    progress(gst::ProgressType::Start, &format!("Loading model {file}"));
    match open(settings, &progress) {
        Ok((loaded, unused)) => {
            let model = &loaded.model;
            if !unused.is_empty() {
                let (count, some) = (unused.len(), &unused[..unused.len().min(FEW)]);
                gst::warning!(
                    CAT,
                    obj = element,
                    "{file} has {count} tensors that the network does not, as {some:?}"
                );
            }
            progress(gst::ProgressType::Complete, &format!("Loaded {model}"));
            gst::info!(CAT, obj = element, "Loaded {model} from {file}");
            Ok(loaded)
        }
        Err(error) => {
            progress(gst::ProgressType::Error, &error.to_string());
            Err(match error {
                Error::Checkpoint { .. } => {
                    gst::error_msg!(gst::ResourceError::OpenRead, ("{error}"))
                }
                Error::DeviceUnavailable { .. } => {
                    gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
                }
                _ => gst::error_msg!(gst::LibraryError::Settings, ("{error} (model {file})")),
            })
        }
    }
}

/// The session, and the names of tensors in the model's file that are of no use.
fn open(
    settings: &Settings,
    progress: &dyn Fn(gst::ProgressType, &str),
) -> Result<(Loaded, Vec<String>), Error> {
    let prewarmed = settings.prewarmed()?;
    let precision = Precision::from(settings.precision);
    let device = settings.device.parse::<DeviceChoice>()?.resolve()?;
    let source = match &settings.model_file {
        Some(path) => Source::file(path),
        None => Source::Bundled(Bundled::choose(settings.model.into(), device)?),
    };
    let key = Key {
        source: source.clone(),
        device,
        precision: precision.on(device),
    };
    let mut unused = Vec::new();
    let network = networks::shared(key, || {
        let checkpoint = match source {
            Source::Bundled(model) => model.checkpoint()?,
            Source::File { path, .. } => Checkpoint::read(&path)?,
        };
        let network = Network::from_checkpoint(&checkpoint, device)?;
        unused = checkpoint.unused(&network);
        Ok(network)
    })?;
    let model = describe(network.config(), precision.on(device), &device_name(device));
    progress(gst::ProgressType::Continue, &model);
    let options = settings.session_options(&network);
    let session = Session::new(network, options)?;
    let warm = prewarmed.map(|size| {
        progress(gst::ProgressType::Continue, "Setting the network up");
        Ok::<_, Error>((size, warm_up(session.sibling(), &size)?))
    });
    let loaded = Loaded {
        warm: warm.transpose()?,
        session,
        model,
    };
    Ok((loaded, unused))
}

/// A session with the live model for a viewfinder, where `auto` chose another model on a CPU that is too slow there, and
/// what it is in words. `None` where something else is asked for.
pub fn lighter(settings: &Settings, session: &Session) -> Result<Option<(Session, String)>, Error> {
    let chosen = settings.model_file.is_some() || settings.model != enums::Model::Auto;
    let network = session.network();
    let is_light =
        network.device() == tch::Device::Cpu && network.config().variant == Variant::Registered;
    if chosen || !is_light || Bundled::Live.content().is_none() {
        return Ok(None);
    }
    let settings = Settings {
        model: enums::Model::Live,
        prewarm: None,
        ..settings.clone()
    };
    let (loaded, _) = open(&settings, &|_, _| ())?;
    Ok(Some((loaded.session, loaded.model)))
}

/// As in "RefVSR, 48 channels, 30 blocks, fp32 on cpu".
fn describe(config: &ModelConfig, precision: Precision, device: &str) -> String {
    let family = match config.variant {
        Variant::RefVsr => "RefVSR",
        Variant::RefVsrIr => "RefVSR-IR",
        Variant::Registered => "registered",
        Variant::Live => "live",
    };
    let hd = if config.hd { " hd" } else { "" };
    format!(
        "{family}{hd}, {} channels, {} blocks, {precision} on {device}",
        config.mid_channels, config.num_blocks
    )
}

fn device_name(device: tch::Device) -> String {
    match device {
        tch::Device::Cuda(n) => format!("cuda:{n}"),
        tch::Device::Cpu => "cpu".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
