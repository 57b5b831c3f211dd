#!/bin/sh
# Tries the package and the image where there is no checkout, from a clean machine: builds both, installs the package with apt
# into a bare root of Debian 12, and uses it there; unpacks the image and uses that. As root, or as a user with subordinate ids.
#
#   packaging/test.sh
set -eu
cd "$(dirname "$0")/.."
cargo xtask package --image
output=$(pwd)/target/package
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$output"/refvsr_*.deb "$work/refvsr.deb"
cp packaging/test-installed.sh "$work/"

echo "== the package, in a bare root"
(
    cd "$work"
    mmdebstrap --variant=apt --dpkgopt=force-unsafe-io --format=null \
        --customize-hook='copy-in refvsr.deb test-installed.sh /tmp' \
        --customize-hook='chroot "$1" sh /tmp/test-installed.sh /tmp/refvsr.deb' \
        bookworm /dev/null
)

echo "== the image"
skopeo copy --quiet "oci:$output/image:latest" "docker-archive:$work/image.tar:refvsr:latest"
rootless=
[ "$(id -u)" = 0 ] || rootless=--rootless
umoci unpack $rootless --image "$output/image:latest" "$work/bundle"
unshare --map-root-user --mount sh -euc '
    for folder in proc dev; do mount --rbind /$folder "$1/$folder"; done
    OMP_NUM_THREADS=1 chroot "$1" refvsr doctor --quick' sh "$work/bundle/rootfs"
echo "The package and the image are in order."
