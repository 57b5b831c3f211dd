#!/bin/sh
# Packs what cargo has built into OUTPUT/refvsr_VERSION_amd64.deb. `cargo xtask package` builds it and calls this.
#
#   packaging/deb.sh BUILT OUTPUT      BUILT: cargo's folder, as target/release
set -eu
[ $# = 2 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
CHECKOUT=$(cd "$(dirname "$0")/.." && pwd)
BUILT=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
export CHECKOUT BUILT
for tool in dpkg-buildpackage dh patchelf; do
    command -v "$tool" > /dev/null || { echo "deb.sh: $tool is missing; on Debian: apt-get install debhelper patchelf" >&2; exit 1; }
done

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$CHECKOUT/Cargo.toml" | head -n 1)
date=$(git -C "$CHECKOUT" log -1 --format=%aD 2> /dev/null || date -R)
work=$output/refvsr-$version
rm -rf "$work"
mkdir "$work"
cp -R "$CHECKOUT/packaging/debian" "$work/debian"
cat > "$work/debian/changelog" << END
refvsr ($version) unstable; urgency=medium

  * The changes are in https://github.com/refvsr/refvsr/blob/main/CHANGELOG.md

 -- refvsr developers <refvsr@users.noreply.github.com>  $date
END
# rustup's cargo is no package: what building needs is not looked for.
(cd "$work" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --no-pre-clean)
rm -rf "$work"
echo "The package is $output/refvsr_${version}_amd64.deb"
