"""Two cameras and a place to send to, on an RTSP server of its own.

usage: rtsp_server.py OUTPUT

Serves test pictures at /ultrawide and /wide, and writes what is sent to /out to the file OUTPUT. Prints its port.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

(output,) = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service("0")
mounts = server.get_mount_points()
for name in ("ultrawide", "wide"):
    camera = GstRtspServer.RTSPMediaFactory()
    camera.set_launch(
        "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=32,height=24,framerate=5/1 "
        "! x264enc tune=zerolatency key-int-max=5 ! rtph264pay name=pay0 pt=96 config-interval=1 )"
    )
    camera.set_shared(True)
    mounts.add_factory(f"/{name}", camera)
place = GstRtspServer.RTSPMediaFactory()
place.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
place.set_launch(f"( rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=byte-stream ! filesink async=false buffer-mode=unbuffered location={output} )")
mounts.add_factory("/out", place)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
