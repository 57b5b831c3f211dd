#!/bin/sh
# Scores models over 300 frames on held-out sources: what stands still or hardly moves, noise, and real video encoders.
# Hours of two CPU cores: for the night. Interrupt it and start it again as you like.
#
#   models/long.sh [FOLDER] [MODEL...]   FOLDER (default: data/long) gets the tables and rows; MODEL (default: all bundled ones)
#   SHORT=1 models/long.sh               two photos on a tripod and two quantizers, 60 frames: some minutes
#   TRAIN=FILE                           a refvsr-train that is built already
#
# Needs, on Debian: forensics-samples-files python3-imageio
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-data/long}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- "$root/models/light.safetensors" "$root/models/quality.safetensors" "$root/models/live.safetensors"
mkdir -p "$folder"
train=${TRAIN:-}
if [ -z "$train" ]; then
    eval "$(cd "$root" && cargo xtask env)"
    (cd "$root" && cargo build --release -p refvsr-train)
    train=$root/target/release/refvsr-train
fi
phone=/usr/share/forensics-samples/original-files
# None of these is learnt from. IMG_1054 and the photos of pic2 chose nothing; the video plays in `test` too.
photos="$phone/pic1/IMG_1054.JPG $phone/pic2/IMG_20191224_234846.jpg $phone/pic2/IMG_20200608_111614.jpg"
first=$1
shift
score() {
    name=$1
    shift
    "$train" score "$first" --long --json "$folder/$name.jsonl" --csv "$folder/$name.csv" "$@" > "$folder/$name.md"
    cat "$folder/$name.md"
}
against() { for model; do printf '%s\n' --against "$model"; done; }
others=$(against "$@")
# Paths of models must not hold blanks, since sh has no lists.
if [ -n "${SHORT:-}" ]; then
    # shellcheck disable=SC2086
    score short $others --sources $phone/pic1/IMG_1054.JPG $phone/pic2/IMG_20191224_234846.jpg --frames 60 --only tripod --noise 1 \
        --quantizer none,28 --size 256x160
    exit
fi
# shellcheck disable=SC2086
{
    score still $others --sources $photos --noise 0,2
    score recorded $others --sources $photos --only hand-held,stop-and-go --noise 0,4 --quantizer 18,23,28,33 --encoder x264,x265,vp9
    score processed $others --sources $photos --only hand-held --noise 1 --quantizer none,23 --references wide --processing
    score hours $others --sources "$phone/pic1/IMG_1054.JPG" --only tripod --noise 2 --frames 3000 --references none
    score files $others --sources /usr/lib/python3/dist-packages/imageio/resources/images/cockatoo.mp4 --only tripod --noise 0 \
        --as-recorded $phone/movie1/VID_20191220_170832.mp4
}
