//! `rtsp.sh`, with a server on this machine.

mod common;

use common::{Place, Said, frames, said};
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

fn rtsp(arguments: &[&str], enough: usize) -> Said {
    let built = Path::new(env!("CARGO_BIN_EXE_refvsr")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/rtsp.sh");
    // A stream that does not end must not hold up the tests.
    let output = Command::new("timeout")
        .args(["60", "sh"])
        .arg(script)
        .args(arguments)
        .env("GST_PLUGIN_PATH", built)
        .env(
            "GST_REGISTRY",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("rtsp-registry.bin"),
        )
        .env("OMP_NUM_THREADS", "1")
        // However fast the machine is, so many frames are enough.
        .env(
            "ENCODER",
            format!("identity eos-after={enough} ! x264enc tune=zerolatency key-int-max=5"),
        )
        .output()
        .unwrap();
    said(output)
}

#[test]
fn streams_of_cameras_become_a_file_or_a_stream() {
    let place = Place::new();
    let model = format!("model-file={}", place.model());
    let sent = place.text("sent.h264");
    for out in ["file", "server"] {
        let server = Server::start(&sent);
        // rtspclientsink never ends if its stream does before the server has said that it records: one
        // frame hangs every time, six did once.
        let (to, enough) = match out {
            "file" => (place.text("out.mkv"), 6),
            _ => (server.url("out"), 30),
        };
        let (ultrawide, wide) = (server.url("ultrawide"), server.url("wide"));
        let arguments = [&to, &ultrawide, &wide, &model, "device=cpu", "lookahead=0"];
        let said = rtsp(&arguments, enough);
        assert_eq!(said.code, Some(0), "{said:?}");
        let file = if out == "file" { &to } else { &sent };
        // What was sent may still be on its way through the server.
        while std::fs::metadata(file).map_or(0, |data| data.len()) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let (film, info) = frames(file);
        assert_eq!((info.width(), info.height()), (128, 96));
        assert!(
            (1..=enough).contains(&film.len()),
            "{out}: {} frames",
            film.len()
        );
    }
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
        let said = rtsp(&arguments, 6);
        assert!(said.code != Some(0) && said.err.contains(text), "{said:?}");
    }
}
