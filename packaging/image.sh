#!/bin/sh
# Makes an OCI image of Debian 12 with the package in it, of Debian's packages alone: the layout OUTPUT/image, tag latest.
#
#   packaging/image.sh REFVSR.deb OUTPUT
#
# Next: skopeo copy oci:OUTPUT/image:latest docker://REGISTRY/refvsr:latest
#   or: skopeo copy oci:OUTPUT/image:latest docker-archive:refvsr.tar:refvsr:latest      for docker, podman and ctr to load
set -eu
[ $# = 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
deb=$(realpath "$1")
mkdir -p "$2"
output=$(cd "$2" && pwd)
for tool in mmdebstrap umoci; do
    command -v "$tool" > /dev/null || { echo "image.sh: $tool is missing; on Debian: apt-get install mmdebstrap umoci" >&2; exit 1; }
done

part=$output/image.part
rm -rf "$part"
mkdir "$part"
trap 'rm -rf "$part"' EXIT
# Under a name without anything that a hook's words could break at.
cp --reflink=auto "$deb" "$part/refvsr.deb"
(
    cd "$part"
    mmdebstrap --variant=apt --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
        --customize-hook='copy-in refvsr.deb /tmp' \
        --customize-hook='chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends /tmp/refvsr.deb \
            gstreamer1.0-libav gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-tools' \
        --customize-hook='rm "$1/tmp/refvsr.deb"' \
        bookworm root.tar
    umoci init --layout image
    umoci new --image image:latest
    umoci raw add-layer --image image:latest root.tar
    umoci config --image image:latest --config.entrypoint refvsr --config.cmd --help \
        --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    umoci gc --layout image
)
rm -rf "$output/image"
mv "$part/image" "$output/image"
echo "The image is oci:$output/image:latest"
