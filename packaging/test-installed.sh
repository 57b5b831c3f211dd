#!/bin/sh
# Installs the package that is named into this root, which packaging/test.sh has made for it, uses all of it, and takes it out.
set -eux
# One thread, because threads that wait for one another are slow on a machine that does something else as well.
export DEBIAN_FRONTEND=noninteractive HOME=/root LC_ALL=C.UTF-8 OMP_NUM_THREADS=1
# As apt does by itself; mmdebstrap's settings leave recommended packages out.
unset APT_CONFIG
apt-get install --yes -o APT::Install-Recommends=true "$1" </dev/null
folder=$(mktemp -d)
cd "$folder"

# All libraries are found, libtorch's in the package.
ldd /usr/bin/refvsr /usr/bin/refvsr-train /usr/lib/*/gstreamer-1.0/libgstrefvsr.so > libraries
[ "$(grep -c 'libtorch_cpu.so => /usr/[a-z0-9_/.-]*/refvsr/libtorch_cpu.so' libraries)" = 3 ]
if grep 'not found' libraries; then exit 1; fi

gst-inspect-1.0 refvsr > element
grep lookahead element
refvsr doctor
setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent refvsr doctor --quick

# Two cameras film one scene, the wide one its middle.
gst-launch-1.0 -q videotestsrc num-buffers=9 pattern=zone-plate kx2=12 ky2=12 kt=2 ! video/x-raw,width=256,height=144,framerate=30/1 ! tee name=scene \
    scene. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! videoscale ! video/x-raw,width=128,height=72 \
    ! x264enc ! h264parse ! mp4mux ! filesink location=uw.mp4 \
    scene. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! videocrop left=64 right=64 top=36 bottom=36 \
    ! x264enc ! h264parse ! mp4mux ! filesink location=w.mp4
refvsr transcode -u uw.mp4 -w w.mp4 -o out.mp4
refvsr transcode -u uw.mp4 -w w.mp4 -o frames/
[ "$(find frames -name '*.png' | wc -l)" = 9 ]
refvsr compare out.mp4 frames/

# The size, and the scripts and presets.
sh /usr/share/refvsr/scripts/files.sh uw.mp4 w.mp4 scripted.mkv
for film in out.mp4 scripted.mkv; do
    gst-launch-1.0 -v filesrc location=$film ! decodebin ! fakesink > caps
    grep -q 'width=(int)512, height=(int)288' caps
done
gst-launch-1.0 -q filesrc location=uw.mp4 ! decodebin ! videoconvert ! refvsr @preset=Recorder ! fakesink

# The trainer, the pages, the texts that the description speaks of.
refvsr-train pretrain tiny --set optimiser.steps=1 --show > shown
grep 'steps = 1$' shown
for page in refvsr refvsr-transcode refvsr-adapt refvsr-train refvsr-train-dataset-verify; do
    zcat /usr/share/man/man1/$page.1.gz > page
    grep -q '^.TH' page
done
[ -s /usr/share/doc/refvsr/packages.md ]
[ -s /usr/share/refvsr/training/tiny.toml ]

apt-get purge --yes refvsr </dev/null
for left in /usr/bin/refvsr /usr/lib/*/refvsr /usr/share/refvsr /usr/share/doc/refvsr; do [ ! -e "$left" ]; done
