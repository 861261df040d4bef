#!/bin/bash
#
# cross.sh
#
# Proves that the sensors and the protocol do not depend on the byte order of
# the machine: builds them and their unit tests for s390x, Debian's
# big-endian architecture, and runs them under emulation.  Speaks TAP.
#
# Needs gcc-s390x-linux-gnu, libc6-dev-s390x-cross and qemu-user.  The few
# libraries come as Debian packages into build/cross, with apt's state there,
# too: the system does not learn of another architecture.

set -u
cd "$(dirname "$0")/.."

arch=s390x
triplet=$arch-linux-gnu
packages="libssl-dev libssl3 uuid-dev libuuid1 libcmocka-dev libcmocka0
    libjansson-dev libjansson4 zlib1g-dev zlib1g libcrypt-dev libcrypt1
    libldns-dev libldns3 libfstrm-dev libfstrm0"

top=$PWD/build/cross
root=$top/root
lib=$root/usr/lib/$triplet
n=0
failed=0

mkdir -p "$top"


# check NAME COMMAND...: one test; what the command says is shown if it fails
check() {
    local name=$1 log
    shift
    n=$((n + 1))
    log=$top/$n.log

    if "$@" > "$log" 2>&1 < /dev/null; then
        echo "ok $n - $name"
        return 0
    fi

    echo "not ok $n - $name"
    tail -n 30 "$log" | sed 's/^/# /'
    failed=1

    return 1
}


finish() {
    echo "1..$n"
    exit $failed
}


tools() {
    local tool missing=0

    for tool in $triplet-gcc qemu-$arch apt-get dpkg-deb perl; do
        command -v $tool > /dev/null && continue
        echo "$tool is missing"
        missing=1
    done

    return $missing
}


# apt with everything it writes under build/cross; sources are the system's
apt() {
    apt-get -q -y \
        -o APT::Architecture=$arch -o APT::Architectures::=$arch \
        -o Dir::State="$top/apt/state" -o Dir::State::status="$top/apt/status" \
        -o Dir::Cache="$top/apt/cache" -o Dir::Log="$top/apt/log" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none \
        -o Acquire::Retries=3 "$@"
}


fetch() {
    local deb

    [ "$(cat "$root/complete" 2> /dev/null)" = "$packages" ] && return 0

    rm -rf "$top/apt" "$top/deb" "$root"
    mkdir -p "$top"/apt/{state/lists/partial,cache/archives/partial,log} \
        "$top/deb" "$root" || return 1
    : > "$top/apt/status"

    apt update || return 1
    (cd "$top/deb" && apt download $packages) || return 1

    for deb in "$top"/deb/*.deb; do
        dpkg-deb -x "$deb" "$root" || return 1
    done

    echo "$packages" > "$root/complete"
}


compile() {
    local source object

    objects=()
    pdns=()

    # but for what captures: that is libpcap's
    for source in ngx_d4_module/{protocol,storage,api}/*.c \
        sensor/{,pdns/}*.c lookup/pdns/pdns_*.c; do
        object=$top/o/${source%.c}.o
        mkdir -p "$(dirname "$object")"

        case $source in
        */d4_pdns.c | */pds_capture.c)
            continue
            ;;
        sensor/pdns/*)
            pdns+=("$object")
            ;;
        sensor/d4.c)
            ;;
        *)
            objects+=("$object")
            ;;
        esac

        $triplet-gcc "${cflags[@]}" -c -o "$object" "$source" || return 1
    done

    $triplet-gcc -L"$lib" -o "$top/d4.$arch" "$top/o/sensor/d4.o" \
        "${objects[@]}" -lssl -lcrypto -luuid -ljansson -lz -lcrypt || return 1

    # what is emulated is started like any other program
    cat > "$top/d4" <<END
#!/bin/sh
exec qemu-$arch -L /usr/$triplet -E LD_LIBRARY_PATH='$lib' '$top/d4.$arch' "\$@"
END
    chmod +x "$top/d4"

    file_is_big_endian "$top/d4.$arch"
}


# byte 5 of an ELF file: 2 for big-endian
file_is_big_endian() {
    [ "$(od -An -tu1 -j5 -N1 "$1" | tr -d ' ')" = 2 ]
}


unit() {
    local with=("${objects[@]}" -lssl -lcrypto -luuid -ljansson -lz -lcrypt)

    case $1 in
    test_pdns_sensor_*)
        # the linker need not find what libldns is linked with
        with=("${pdns[@]}" -lldns -lfstrm -Wl,--allow-shlib-undefined)
        ;;
    esac

    $triplet-gcc "${cflags[@]}" -L"$lib" -o "$top/$1" "t/unit/$1.c" \
        "${with[@]}" -lcmocka || return 1

    timeout 120 qemu-$arch -L /usr/$triplet -E LD_LIBRARY_PATH="$lib" \
        -E CMOCKA_MESSAGE_OUTPUT=TAP "$top/$1"
}


client() {
    D4_CLIENT="$top/d4" timeout 300 prove --norc -It/lib "$1"
}


# an emulated process cannot be short of memory
cflags=(-std=gnu11 -O2 -DNOMEM_POSSIBLE=0 -Wall -Wextra -Werror -I. -Ingx_d4_module
        -Ingx_d4_module/protocol -Ingx_d4_module/storage -Ingx_d4_module/api -Ilookup/pdns
        -Isensor
        -isystem "$root/usr/include" -isystem "$root/usr/include/$triplet")
objects=()
pdns=()

check "the cross compiler and the emulator are there" tools || finish
check "libraries for $arch" fetch || finish
check "the client is built for $arch" compile || finish

for source in t/unit/test_*.c; do
    program=$(basename "$source" .c)
    check "$program on $arch" unit "$program"
done

check "the client on $arch: standard output" client t/client.t
check "the client on $arch: servers" client t/client-net.t

finish
