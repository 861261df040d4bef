#!/bin/bash
#
# valkey.sh DIR
#
# Prints the path of a valkey-server: the one that is installed, or that of the
# package in Debian's backports, unpacked under DIR.  Nothing is installed, and
# no list of packages outside of DIR is touched.  Where there is none it says
# why and fails.

set -u

mkdir -p "$1/root" || exit 1

dir=$(cd "$1" && pwd)
server=$dir/root/usr/bin/valkey-server

none() {
    echo "no valkey-server: $*"
    exit 1
}

if command -v valkey-server; then
    exit 0
fi

if [ -x "$server" ] && "$server" --version > /dev/null 2>&1; then
    echo "$server"
    exit 0
fi

command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null \
    || none "it is not installed, and this is not Debian"

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)

# the mirror that this machine has Debian itself from

uri=$(apt-get indextargets --format \
    '$(REPO_URI)|$(ORIGIN)|$(CODENAME)|$(COMPONENT)' 'Created-By: Packages' \
    2> /dev/null \
    | awk -F'|' -v c="$codename" '$2 == "Debian" && $3 == c && $4 == "main" {
          print $1; exit }')

[ -n "$uri" ] || none "it is not installed, and apt knows no mirror of Debian"

mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"

key=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $key ] && key="[signed-by=$key] " || key=

echo "deb $key$uri $codename-backports main" \
    > "$dir/sources.list"

apt() {
    timeout 120 apt-get -q -o Dir::Etc::SourceList="$dir/sources.list" \
        -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$dir/lists" \
        -o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root "$@"
}

{ apt update && (cd "$dir" && apt download valkey-server valkey-tools); } \
    > "$dir/log" 2>&1 \
    || none "it is not installed, and $codename-backports does not give it:" \
            "$(grep -E '^[EW]: ' "$dir/log" | head -n 1)"

for package in "$dir"/valkey-*.deb; do
    dpkg-deb -x "$package" "$dir/root" || none "$package cannot be unpacked"
done

"$server" --version > "$dir/log" 2>&1 \
    || none "that of $codename-backports does not run here: $(head -n 1 "$dir/log")"

echo "$server"
