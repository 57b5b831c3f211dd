#!/bin/sh
# Two folders of PNG files in, a folder of 4x PNG files out: a clip of RealMCVSR, for instance.
set -eu

usage() {
    cat >&2 <<'END'
usage: png-sequence.sh ULTRAWIDE-FOLDER WIDE-FOLDER OUTPUT-FOLDER [PROPERTY=VALUE ...]

Enlarges the frames 0000.png, 0001.png, ... of ULTRAWIDE-FOLDER with detail from those of WIDE-FOLDER.
A clip of the RealMCVSR test set, as the paper evaluates it:

  png-sequence.sh test/LRx4/UW/0010 test/LRx4/W/0010 out/0010

Properties of the element may follow: device=cuda:0 model-file=my.safetensors (gst-inspect-1.0 refvsr lists all).
END
    exit 2
}

[ $# -ge 3 ] || usage
ultrawide=$1 wide=$2 output=$3
shift 3
for folder in "$ultrawide" "$wide"; do
    [ -r "$folder/0000.png" ] || { echo "png-sequence.sh: there is no $folder/0000.png" >&2; exit 1; }
done
mkdir -p "$output"

# The frame rate only pairs the frames; PNG files have none.
png=image/png,framerate=30/1
exec gst-launch-1.0 -e \
    multifilesrc location="$ultrawide/%04d.png" caps="$png" ! pngdec ! videoconvert ! video/x-raw,format=RGB ! queue ! sr.ultrawide \
    multifilesrc location="$wide/%04d.png" caps="$png" ! pngdec ! videoconvert ! video/x-raw,format=RGB ! queue ! sr.wide \
    refvsr name=sr "$@" ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 ! video/x-raw,format=RGB ! pngenc ! multifilesink location="$output/%04d.png"
