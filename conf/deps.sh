#!/bin/bash
#
# deps.sh PACKAGE...
#
# Installs those Debian packages that are missing.  A service that a package
# brings is neither started nor left enabled: what runs on this machine, now
# and after its next start, is what ran before.

set -eu

policy=/usr/sbin/policy-rc.d


installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}


missing=()

if command -v dpkg-query >/dev/null; then
    for package; do
        installed "$package" || missing+=("$package")
    done
else
    echo "This is not Debian; what its packages $* hold has to be there."
fi

[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install --no-install-recommends ${missing[*]}"

if [ "$(id -u)" != 0 ]; then
    echo "Missing packages: ${missing[*]}" >&2
    echo "Only root can install them:  $install" >&2
    exit 1
fi


# No maintainer script may start, stop or restart anything meanwhile; a policy
# of the administrator's comes back afterwards.

restore() {
    rm -f "$policy"

    if [ -e "$policy.before-d4" ]; then
        mv "$policy.before-d4" "$policy"
    fi
}

if [ -e "$policy" ] && [ ! -e "$policy.before-d4" ]; then
    mv "$policy" "$policy.before-d4"
fi

trap restore EXIT
trap 'exit 130' INT TERM HUP

printf '#!/bin/sh\n# made by %s while it installs packages\nexit 101\n' \
    "$0" > "$policy"
chmod 755 "$policy"

services=" $(ls /etc/init.d) "
services=${services//$'\n'/ }

echo "Installing: ${missing[*]}"

export DEBIAN_FRONTEND=noninteractive

# the package lists may be missing, or older than what the mirror still has
if ! $install -y -q; then
    apt-get update -q
    $install -y -q
fi

for service in $(ls /etc/init.d); do
    case $services in
    *" $service "*)
        ;;
    *)
        update-rc.d "$service" disable
        echo "$service was installed and left disabled" \
            "(to use it: systemctl enable --now $service)"
        ;;
    esac
done
