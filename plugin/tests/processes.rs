//! The element in a player, and cameras that are other processes.

mod common;
use common::*;
use gst::prelude::*;
use std::{
    path::Path,
    process::{Child, Command},
};

#[test]
fn a_player_enlarges_one_cameras_film() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.mkv");
    gst_launch_well(&format!(
        "-q videotestsrc num-buffers=12 ! video/x-raw,width=32,height=24,framerate=25/1 ! jpegenc ! matroskamux ! filesink location={}",
        film.display()
    ));
    let refvsr = with_lookahead(1);
    let sink = gst::ElementFactory::make("fakesink").build().unwrap();
    let player = gst::ElementFactory::make("playbin")
        .property("uri", format!("file://{}", film.display()))
        .property("video-filter", &refvsr)
        .property("video-sink", &sink)
        .build()
        .unwrap();
    let player = player.downcast::<gst::Pipeline>().unwrap();
    // The frame that a player shows after a seek in a pause is the one that was sought.
    player.set_state(gst::State::Paused).unwrap();
    player.state(PATIENCE).0.unwrap();
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    player.seek_simple(flags, FRAME * 4).unwrap();
    player.state(PATIENCE).0.unwrap();
    assert_eq!(player.query_position::<gst::ClockTime>(), Some(FRAME * 4));
    let shown = sink.property::<gst::Sample>("last-sample");
    let caps = shown.caps().unwrap().structure(0).unwrap();
    assert_eq!(caps.get::<i32>("width"), Ok(128));
    assert_eq!(caps.get::<i32>("height"), Ok(96));
    play(&player).unwrap();
    let refs = ["frames-out", "missing-references"].map(|name| stat(&refvsr, name));
    assert!(refs[0] >= 8 && refs[1] == 0, "{refs:?}");
}

/// A camera that another process films.
struct Camera(Child);

impl Camera {
    fn film(socket: &Path, pattern: &str) -> Self {
        let description = format!(
            "-q videotestsrc is-live=true pattern={pattern} ! video/x-raw,format=RGB,width=16,height=12,framerate=10/1 \
             ! shmsink socket-path={} wait-for-connection=false sync=false shm-size=1000000",
            socket.display()
        );
        let film = Command::new("gst-launch-1.0")
            .args(description.split_whitespace())
            .spawn();
        Self(film.unwrap())
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn cameras_of_other_processes_are_paired_by_when_their_frames_come() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = ["ultrawide", "wide"].map(|name| folder.path().join(name));
    let cameras = [("ball", &sockets[0]), ("smpte", &sockets[1])];
    let cameras = cameras.map(|(pattern, socket)| Camera::film(socket, pattern));
    eventually("both cameras are there", || {
        sockets.iter().all(|socket| socket.exists())
    });
    let branch = |socket: &Path| {
        format!(
            "shmsrc is-live=true do-timestamp=true socket-path={} ! video/x-raw,format=RGB,width=16,height=12,framerate=10/1 ! queue",
            socket.display()
        )
    };
    let pipeline = parse(&format!(
        "{} ! r.ultrawide {} ! r.wide refvsr name=r device=cpu lookahead=0 model-file={} ! queue ! appsink name=s",
        branch(&sockets[0]),
        branch(&sockets[1]),
        model()
    ));
    let sink = pipeline.by_name("s").unwrap();
    let sink = sink.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut paired = 0;
    // How many of them depends on the machine; that they are paired does not.
    while paired < 10 {
        let sample = sink.try_pull_sample(PATIENCE).expect("a frame");
        let told = told_of(&sample.buffer_owned().unwrap());
        if let Ok(residual) = told.get::<i64>("wide-residual") {
            assert!(residual.abs() <= 1_000_000_000, "{told}");
            paired += 1;
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    drop(cameras);
}
