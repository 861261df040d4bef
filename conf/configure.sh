#!/bin/bash
#
# configure.sh BUILD [NGINX_SRC]
#
# Runs nginx's configure for the D4 modules, from nginx-dev or from the full
# sources in NGINX_SRC, so that BUILD/Makefile builds them, and those that only
# tests load, into BUILD; it is to be run in BUILD/tree.

set -eu

top=$(pwd)
build=$top/$1
log=$build/configure.log

if [ -n "${2-}" ]; then
    source=$(cd "$2" && pwd)
    flags=(--with-compat --with-threads --with-http_ssl_module ${NGINX_FLAGS-})

else
    conf_flags=$(dpkg -L nginx-dev 2>/dev/null | grep '/conf_flags$') || {
        echo "nginx-dev is not installed (make deps, or NGINX_SRC=DIR)" >&2
        exit 1
    }

    source=${conf_flags%/*}
    . "$conf_flags"
    flags=("${NGX_CONF_FLAGS[@]}")
fi

mkdir -p "$build"
rm -rf "$build/tree"
mkdir "$build/tree"

for file in "$source"/*; do
    case ${file##*/} in
    Makefile | objs)
        ;;
    *)
        ln -s "$file" "$build/tree/"
        ;;
    esac
done

cd "$build/tree"

# where the sources are from git, configure is still in auto/
configure=./configure
[ -e "$configure" ] || configure=auto/configure

if [ -n "${SANITIZE-}" ]; then
    # nginx adds nothing to NULL, and copies nothing from it, all the time
    cc_opt="$SANITIZE -fno-sanitize=nonnull-attribute,pointer-overflow -fPIC"
    ld_opt="$SANITIZE -fPIC"

    # configure's own probes leak
    export ASAN_OPTIONS=detect_leaks=0

elif command -v dpkg-buildflags >/dev/null; then
    get() { (unset CFLAGS LDFLAGS; dpkg-buildflags --get "$1"); }
    cc_opt="$(get CFLAGS) -fPIC $(get CPPFLAGS)"
    ld_opt="$(get LDFLAGS) -Wl,-z,now -fPIC"

else
    cc_opt="-g -O2 -fPIC"
    ld_opt=-fPIC
fi

modules=("$top")

for config in "$top"/t/modules/*/config; do
    [ ! -e "$config" ] || modules+=("${config%/config}")
done

if ! "$configure" "${flags[@]}" --with-stream --with-stream_ssl_module \
    --with-cc="${CC:-cc}" \
    --with-cc-opt="$cc_opt -ffile-prefix-map=$top=. ${CFLAGS-}" \
    --with-ld-opt="$ld_opt ${LDFLAGS-}" \
    "${modules[@]/#/--add-dynamic-module=}" --builddir="$build" \
    > "$log" 2>&1
then
    tail -n 15 "$log" >&2
    echo "(all of it: $log)" >&2
    rm -f "$build/Makefile"
    exit 1
fi
