#!/bin/bash
#
# embedded.sh start | stop
#
# The embedded instance: an nginx and two redis-servers of its own (one of the
# D4 server, one of passive DNS), everything under run/.  start is harmless
# when it runs; it ends with a demonstration.
#
# D4_PORT (4443), HTTP_PORT (8080), D4_BIND (127.0.0.1): where it listens.
# DISPATCH (on): off leaves the streams to other consumers.

set -eu
umask 077

# Everything is named relative to this directory, so that the path of the
# Redis socket is short wherever the directory is.
cd "$(dirname "$0")/.."
top=$(pwd -P)

PATH=$PATH:/usr/sbin:/sbin

# to nginx it means that there are sockets to take over
unset NGINX

d4_port=${D4_PORT:-4443}
http_port=${HTTP_PORT:-8080}
bind=${D4_BIND:-127.0.0.1}
dispatch=${DISPATCH:-on}

. conf/demo.sh
. conf/demo-pdns.sh


say() {
    printf '%s\n' "$*"
}


die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}


# until SECONDS COMMAND...: repeats the command until it succeeds
until_true() {
    local deadline=$((SECONDS + $1))
    shift

    while ! "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}


# The process of a pid file, if it is ours: by its name and where it runs.
pid_of() {
    local pid

    case $1 in
    nginx)
        pid=$(cat run/nginx.pid 2>/dev/null) && [ -n "$pid" ] \
            && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = nginx ] \
            && [ "$(readlink "/proc/$pid/cwd")" = "$top" ] || return 1
        ;;
    redis | pdns)
        pid=$(cat "run/$1.pid" 2>/dev/null) && [ -n "$pid" ] \
            && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = redis-server ] \
            && [ "$(readlink "/proc/$pid/cwd")" = "$top/run" ] \
            && grep -qa "$1\.sock" "/proc/$pid/cmdline" || return 1
        ;;
    esac

    echo "$pid"
}


gone() {
    ! pid_of "$1" >/dev/null
}


# redis DB COMMAND...
redis() {
    redis-cli -s run/redis.sock -n "$@"
}


# api METHOD PATH [BODY]: what the API answers; fails unless that is 2xx
api() {
    local status

    status=$(curl -s -o run/demo/answer -w '%{http_code}' -X "$1" \
        -H @run/demo/auth -H 'Content-Type: application/json' --data-binary @- \
        "http://$http_listen/api/v1/$2" <<< "${3-}")
    cat run/demo/answer

    [ "${status:0:1}" = 2 ]
}


redis_answers() {
    [ "$(redis-cli -s "run/$1.sock" PING)" = PONG ]
}


listens() {
    (exec 3<> "/dev/tcp/$1/$2") 2>/dev/null
}


prepare() {
    local owner

    if [ -e run ]; then
        owner=$(stat -c %U run)
        [ -w run ] && [ "$owner" = "$(id -un)" ] \
            || die "run/ belongs to $owner, who has to run this"
    fi

    mkdir -p run/{data,demo,logs,tls,tmp}
    chmod 755 run run/tls
}


# A certificate authority of our own, once, and a certificate for the names
# this host has, again when these change; sensors know the authority only.
make_certificates() {
    local names

    names=DNS:localhost,IP:127.0.0.1,IP:::1,DNS:$(hostname)

    case $bind in
    127.0.0.1 | 0.0.0.0 | :: | ::1)
        ;;
    *)
        names=$names,IP:$bind
        ;;
    esac

    cd run/tls

    if [ ! -e ca.crt ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
            -nodes -days 7300 -subj "/CN=embedded D4 server, authority" \
            -keyout ca.key -out ca.new -extensions ca \
            -config <(printf '%s\n' "[req]" "distinguished_name = dn" "[dn]" \
                "[ca]" "basicConstraints = critical, CA:TRUE" \
                "keyUsage = critical, keyCertSign, cRLSign" \
                "subjectKeyIdentifier = hash") 2>openssl.log \
            || { cat openssl.log >&2; die "cannot make run/tls/ca.crt"; }

        chmod 644 ca.new
        mv ca.new ca.crt
        rm -f server.crt
    fi

    if [ ! -e server.crt ] || [ "$(cat names 2>/dev/null)" != "$names" ]; then
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
            -nodes -subj "/CN=embedded D4 server" -keyout server.key \
            -out server.csr 2>openssl.log \
        && openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key \
            -CAcreateserial -days 7300 -out server.new \
            -extfile <(printf '%s\n' "subjectAltName = $names" \
                "basicConstraints = CA:FALSE" \
                "extendedKeyUsage = serverAuth") 2>>openssl.log \
        || { cat openssl.log >&2; die "cannot make run/tls/server.crt"; }

        chmod 644 server.new
        mv server.new server.crt
        echo "$names" > names
    fi

    rm -f openssl.log server.csr
    cd "$top"
}


# start_redis NAME [OPTION...]: one that listens on run/NAME.sock
start_redis() {
    local name=$1
    shift

    if pid_of "$name" >/dev/null; then
        return
    fi

    sed "s|@NAME@|$name|" conf/redis.conf > "run/$name.conf"
    (cd run && exec redis-server "$name.conf" "$@")

    # a large append-only file takes its time
    until_true 60 redis_answers "$name" || {
        tail -n 5 "run/logs/$name.log" >&2
        die "redis-server does not answer, see run/logs/$name.log"
    }
}


write_nginx_conf() {
    local user modules load address

    address=$bind
    case $bind in
    *:*)
        address="[$bind]"
        ;;
    esac

    # workers that are not root could not enter run/
    user=
    [ "$(id -u)" != 0 ] || user="user root;"

    modules=$(nginx -V 2>&1 \
        | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')

    case " $(nginx -V 2>&1 | tail -n 1) " in
    *" --with-stream "*)
        load=
        ;;
    *)
        load="load_module $modules/ngx_stream_module.so;"
        ;;
    esac

    sed -e "s|^@USER@|$user|" -e "s|^@LOAD_STREAM@|$load|" \
        -e "s|@D4_LISTEN@|$address:$d4_port|" \
        -e "s|@HTTP_LISTEN@|127.0.0.1:$http_port|" \
        -e "s|@DISPATCH@|$dispatch|" \
        conf/nginx.conf.in > run/nginx.conf
}


nginx_ready() {
    curl -sf "http://127.0.0.1:$http_port/pdns/info" \
        && [ -n "$(redis 0 GET d4:seeded)" ]
}


start_nginx() {
    local port

    for port in "$bind $d4_port D4_PORT" "127.0.0.1 $http_port HTTP_PORT"; do
        set -- $port

        if listens "$1" "$2"; then
            stop_redis
            die "port $2 is taken by another program, choose one with $3="
        fi
    done

    write_nginx_conf
    ulimit -Sn "$(ulimit -Hn)"

    if ! nginx -p run/ -c nginx.conf -e logs/error.log; then
        stop_redis
        die "nginx did not start, see above and run/logs/error.log"
    fi

    until_true 15 nginx_ready || {
        tail -n 10 run/logs/error.log >&2
        stop
        die "nginx does not work, see run/logs/error.log"
    }
}


# Once: a type that is removed later stays removed.
accept_types() {
    if [ "$(redis 0 SET d4:embedded 1 NX)" = OK ]; then
        redis 0 SADD server:accepted_type 1 2 3 4 5 6 7 8 254 >/dev/null
        redis 0 PUBLISH d4:control types >/dev/null
    fi
}


# Once: without any administrator, the first one, whose token is shown.  What
# the demonstration does, it does with a token of its own.
make_admin() {
    local token

    if [ -z "$(redis 1 SMEMBERS user_role:admin)" ]; then
        token=$(conf/d4-admin -s run/redis.sock -n 1 admin@localhost)
        say "The administrator's token, shown this once (conf/d4-admin makes" \
            "another):"
        say "  $token"
    fi

    if [ ! -e run/demo/auth ] || ! api GET me >/dev/null; then
        token=$(conf/d4-admin -s run/redis.sock -n 1 admin@localhost)
        echo "Authorization: $token" > run/demo/auth
    fi
}


# stop_process NAME SIGNAL SECONDS ...: from the mildest signal on
stop_process() {
    local name=$1 pid
    shift

    pid=$(pid_of "$name") || return 0

    while [ $# -gt 0 ]; do
        kill "-$1" "$pid" 2>/dev/null || :

        if until_true "$2" gone "$name"; then
            say "$name stopped"
            return 0
        fi

        shift 2
    done

    die "$name (process $pid) does not stop"
}


stop_redis() {
    stop_process redis TERM 30 KILL 5
    stop_process pdns TERM 30 KILL 5
}


stop() {
    stop_process nginx QUIT 15 TERM 5 KILL 5
    stop_redis
}


start() {
    local program d4_listen http_listen

    case $dispatch in
    on | off)
        ;;
    *)
        die "DISPATCH is on or off"
        ;;
    esac

    for program in nginx redis-server redis-cli openssl curl unbound dig; do
        command -v "$program" >/dev/null || die "no $program here (make deps)"
    done

    prepare

    if pid_of nginx >/dev/null && pid_of redis >/dev/null \
        && pid_of pdns >/dev/null
    then
        say "The embedded instance is running."

        if [ build/ngx_d4_module.so -nt run/nginx.pid ]; then
            say "It runs modules older than those in build/:" \
                "make stop run takes the new ones."
        fi

    else
        make_certificates
        start_redis redis
        start_redis pdns --appendfilename pdns.aof
        pid_of nginx >/dev/null || start_nginx
        accept_types
        say "The embedded instance was started."
    fi

    grep -q '^ *pdns_queue' run/nginx.conf \
        || die "nginx was started by an older version: make stop run"

    http_listen=$(sed -n 's/^ *listen \([^ ;]*\);/\1/p' run/nginx.conf)
    make_admin

    # as it runs, which need not be as it was asked for this time
    d4_listen=$(sed -n 's/^ *listen \([^ ;]*\) ssl.*/\1/p' run/nginx.conf)
    dispatch=$(sed -n 's/^ *dispatch \([a-z]*\);/\1/p' run/nginx.conf)

    say "  sensors  $d4_listen (TLS, authority run/tls/ca.crt)"
    say "  http     http://$http_listen/"
    say "  api      http://$http_listen/api/v1/ (docs/api.md)"
    say "  pdns     http://$http_listen/pdns/ (docs/pdns.md)"
    say "  redis    run/redis.sock, of passive DNS run/pdns.sock"
    say "  data     run/data (dispatch $dispatch)"

    # an address that a client can connect to
    case $d4_listen in
    0.0.0.0:*)
        d4_listen=127.0.0.1:${d4_listen##*:}
        ;;
    "[::]":*)
        d4_listen=[::1]:${d4_listen##*:}
        ;;
    esac

    demonstrate "$d4_listen" "${http_listen##*:}"
}


case ${1-} in
start)
    start
    ;;
stop)
    if gone nginx && gone redis && gone pdns; then
        say "The embedded instance does not run."
    fi
    stop
    ;;
*)
    die "usage: $0 start | stop"
    ;;
esac
