//! `rtsp.sh`, with a server on this machine.

mod common;

use common::{Place, frames, said};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server, ended with the test.
struct Server {
    child: Child,
    port: String,
}

impl Server {
    /// Cameras, and a file for what is sent.
    fn start(output: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rtsp_server.py");
        // The system's own interpreter has the bindings (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0).
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(output)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut port).unwrap();
        let port = port.trim().to_owned();
        assert!(!port.is_empty(), "the server did not start");
        Self { child, port }
    }

    fn url(&self, name: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The script, which encodes what comes through `enough`.
fn script(arguments: &[&str], enough: &str) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_refvsr")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/rtsp.sh");
    // A stream that does not end must not hold up the tests. In the foreground, for an interrupt is
    // to come once: else `timeout` sends it to its child and again to the whole group, and a second
    // one kills gst-launch-1.0.
    let mut command = Command::new("timeout");
    command
        .args(["--foreground", "60", "sh"])
        .arg(script)
        .args(arguments)
        .env("GST_PLUGIN_PATH", built)
        .env(
            "GST_REGISTRY",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("rtsp-registry.bin"),
        )
        .env("OMP_NUM_THREADS", "1")
        .env(
            "ENCODER",
            format!("{enough} ! x264enc tune=zerolatency key-int-max=5"),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The film in a file is the enlarged one, of some frames.
fn is_enlarged(file: &str, most: usize) {
    let (film, info) = frames(file);
    assert_eq!((info.width(), info.height()), (128, 96));
    assert!(
        (1..=most).contains(&film.len()),
        "{file}: {} frames",
        film.len()
    );
}

#[test]
fn streams_of_cameras_become_a_file() {
    let place = Place::new();
    let model = format!("model-file={}", place.model());
    let server = Server::start(&place.text("sent.h264"));
    let (out, ultrawide, wide) = (
        place.text("out.mkv"),
        server.url("ultrawide"),
        server.url("wide"),
    );
    let arguments = [&out, &ultrawide, &wide, &model, "device=cpu", "lookahead=0"];
    let said = said(script(&arguments, "identity eos-after=6").output().unwrap());
    // On a busy machine the server now and then hangs up before GStreamer says goodbye, which it then calls an error.
    let errors = said.err.matches("ERROR: ").count();
    let hung_up = errors > 0 && said.err.matches("Received end-of-file").count() == errors;
    assert!(said.code == Some(0) || hung_up, "{said:?}");
    is_enlarged(&out, 6);
}

#[test]
fn streams_of_cameras_become_a_stream_until_it_is_interrupted() {
    let place = Place::new();
    let model = format!("model-file={}", place.model());
    let sent = place.text("sent.h264");
    let server = Server::start(&sent);
    let (out, ultrawide, wide) = (
        server.url("out"),
        server.url("ultrawide"),
        server.url("wide"),
    );
    let arguments = [&out, &ultrawide, &wide, &model, "device=cpu", "lookahead=0"];
    let mut sender = script(&arguments, "identity").spawn().unwrap();
    let length = || std::fs::metadata(&sent).map_or(0, |data| data.len());
    // Some seconds of the stream.
    while length() < 8000 && sender.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let interrupted = Command::new("kill")
        .args(["-INT", &sender.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let said = said(sender.wait_with_output().unwrap());
    for step in ["handling interrupt", "Freeing pipeline"] {
        assert!(said.out.contains(step), "{said:?}");
    }
    // In one of some forty runs on a busy machine rtspclientsink finds that its server hung up
    // first, says so, and the exit status is 1. No other error is taken.
    let hung_up = said.err.contains("Received end-of-file");
    let mut errors = said.err.lines().filter(|line| line.contains("ERROR"));
    assert!(
        errors.all(|line| hung_up && line.contains("GstRTSPClientSink")),
        "{said:?}"
    );
    assert_eq!(said.code, Some(i32::from(hung_up)), "{said:?}");
    is_enlarged(&sent, 300);
}

#[test]
fn mistakes_are_named() {
    for (arguments, text) in [
        (
            vec!["out.avi", "rtsp://a/", "rtsp://b/"],
            "out.avi is neither",
        ),
        (
            vec!["out.mkv", "rtsp://a/", "/dev/video0"],
            "/dev/video0 is no address",
        ),
        (vec!["out.mkv", "rtsp://a/", "device=cpu"], "usage: rtsp.sh"),
    ] {
        let said = said(script(&arguments, "identity").output().unwrap());
        assert!(said.code != Some(0) && said.err.contains(text), "{said:?}");
    }
}
