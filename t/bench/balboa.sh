#!/bin/bash
#
# balboa.sh DIR
#
# Prints where the programs and libraries of Debian's balboa are: "/usr" when
# it is installed, or the directory below DIR into which its packages were
# unpacked, without being installed, with those that it needs.  Where there is
# none it says why and fails.

set -u

none() {
    echo "balboa: $*"
    exit 1
}

if [ -x /usr/bin/balboa ] && [ -x /usr/bin/balboa-rocksdb ]; then
    echo /usr
    exit 0
fi

mkdir -p "$1/root" || exit 1

dir=$(cd "$1" && pwd)

runs() {
    LD_LIBRARY_PATH=$(echo "$dir"/root/usr/lib/*-linux-gnu) \
        "$dir/root/usr/bin/balboa-rocksdb" --version > "$dir/log" 2>&1

    grep -q '^balboa-rocksdb v' "$dir/log" && [ -x "$dir/root/usr/bin/balboa" ]
}

if runs; then
    echo "$dir/root/usr"
    exit 0
fi

command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null \
    || none "it is not installed, and this is not Debian"

missing=$(apt-get -s -o Debug::NoLocking=1 install --no-install-recommends \
              balboa balboa-backend-rocksdb 2> "$dir/log" \
              | awk '/^Inst / { print $2 }')

[ -n "$missing" ] || none "not installed, nor to be had: $(head -n 1 "$dir/log")"

# shellcheck disable=SC2086
(cd "$dir" && timeout 120 apt-get -q -o APT::Sandbox::User=root \
    download $missing) > "$dir/log" 2>&1 \
    || none "not installed, nor to be had: $(grep -m 1 '^[EW]: ' "$dir/log")"

for package in "$dir"/*.deb; do
    dpkg-deb -x "$package" "$dir/root" || none "$package cannot be unpacked"
done

runs || none "it does not run here: $(head -n 1 "$dir/log")"

echo "$dir/root/usr"
