#!/bin/sh
# The quick start: films photos with three virtual cameras, trains a tiny model on the clips, and scores it beside bicubic enlargement on a photo it has
# not learnt from. Some minutes on a CPU, all from the Debian package forensics-samples-files.
#
#   training/quick-start.sh [FOLDER]      FOLDER (default: target/quick-start) takes 200 MB
set -eu
cd "$(dirname "$0")/.."
folder=${1:-target/quick-start}
photos=/usr/share/forensics-samples/original-files
[ -d $photos ] || { echo "quick-start: $photos is missing; apt-get install forensics-samples-files, or cargo xtask demo" >&2; exit 1; }
eval "$(cargo xtask env)"
cargo build --release -p refvsr-train
train=target/release/refvsr-train

clips() {
    "$train" synthesize --output "$folder/data" --frames 8 --size 640x384 --licence "Joao Eriberto Mota Filho and others, CC-BY-SA-4.0" "$@"
}
clips --split valid $photos/pic2/IMG_20200124_231153.jpg
clips --clips 4 $photos/pic1/IMG_20200827_231612.jpg $photos/pic2/IMG_20191224_234846.jpg $photos/pic2/IMG_20200608_111614.jpg

"$train" pretrain tiny --run "$folder/run" --set data.root="$folder/data"
"$train" score "$folder/run/best.safetensors" --data "$folder/data"
