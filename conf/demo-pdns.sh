# Sourced by embedded.sh.  The demonstration of passive DNS: a resolver of its
# own with a zone of its own is asked, the sensor watches its answers, and what
# became of them is looked up.

dns=run/demo/dns
zone=demo.example

# not local: whatever ends this script, these end
resolver=
collector=


write_zone() {
    cat > $dns/zone <<END
\$ORIGIN $zone.
\$TTL 300
@     SOA    ns hostmaster $(date +%s) 7200 3600 1209600 300
@     NS     ns
@     MX     10 mail
@     TXT    "v=spf1 mx -all"
ns    A      192.0.2.53
mail  A      192.0.2.25
www   A      192.0.2.80
www   A      198.51.100.80
www   AAAA   2001:db8::80
www   HTTPS  1 . alpn=h2,h3
shop  CNAME  www
END

    cat > $dns/questions <<END
$zone SOA
$zone MX
$zone TXT
ns.$zone A
mail.$zone A
shop.$zone A
www.$zone AAAA
www.$zone HTTPS
END
}


# Records as "name type data", without the dots at the ends of names.

without_dots() {
    sed 's/\([a-z]\)\.\( \|$\)/\1\2/g' | sort -u
}


records_of_dig() {
    awk '{ $2 = $3 = ""; print }' $dns/answers | tr -s ' ' | without_dots
}


records_of_lines() {
    awk -F '[|][|]' '{ print $5, $6, $7 }' run/demo/sent | without_dots
}


# ask PORT DIG'S-ARGUMENT...
ask() {
    local port=$1
    shift

    dig -r @127.0.0.1 -p "$port" +noall +answer +nosplit +time=1 +tries=2 "$@"
}


# The resolver is ours only if it has what has just been written.
resolves() {
    ! kill -0 "$resolver" 2>/dev/null \
        || ask "$1" $zone SOA | grep -q " $(awk '/SOA/ { print $5 }' \
            $dns/zone) "
}


# start_resolver: unbound; its pid is in $resolver, its port in $port
start_resolver() {
    # a copy, because AppArmor lets the installed one read /etc only
    cp "$(command -v unbound)" $dns/unbound

    for port in $(shuf -i 20000-32000 -n 5); do
        cat > $dns/unbound.conf <<END
server:
    interface: 127.0.0.1@$port
    directory: ""
    pidfile: ""
    use-syslog: no
    username: ""
    chroot: ""
    num-threads: 1
    so-reuseport: no
    module-config: "iterator"
auth-zone:
    name: $zone
    zonefile: "zone"
    for-downstream: yes
    for-upstream: no
remote-control:
    control-enable: no
dnstap:
    dnstap-enable: yes
    dnstap-socket-path: "dnstap.sock"
    dnstap-log-client-response-messages: yes
END
        (cd $dns && exec ./unbound -d -p -c unbound.conf) \
            > $dns/unbound.log 2>&1 &
        resolver=$!

        until_true 10 resolves "$port" || break
        ! kill -0 "$resolver" 2>/dev/null || return 0
        # another program has the port
    done

    die "unbound does not answer, see $dns/unbound.log"
}


# Until the sensor has written a line, or ended.
sees() {
    ask "$port" $zone SOA
    [ -s run/demo/sent ] || ! kill -0 "$collector"
}


# watch D4-PDNS'-ARGUMENT...: its pid is in $collector; fails when it ends
watch() {
    build/d4-pdns "$@" > $dns/lines 2> $dns/d4-pdns.log 3>&- &
    collector=$!

    until_true 15 sees || die "d4-pdns sees nothing, see $dns/d4-pdns.log"
    kill -0 "$collector" 2>/dev/null
}


seen_all() {
    cmp <(records_of_lines) <(records_of_dig)
}


end_of() {
    ! kill -0 "$1"
}


# dns_lines: from d4-pdns into the client; its pid is in $client
dns_lines() {
    local arguments

    : > run/demo/sent
    rm -f $dns/lines
    mkfifo -m 600 $dns/lines

    # held open, so that the client waits for whichever sensor may watch
    exec 3<> $dns/lines
    { tee run/demo/sent < $dns/lines | build/d4 -c run/demo/pdns; } \
        2> run/demo/d4.log 3>&- &
    client=$!

    arguments="-i lo -p $port"
    [ "$(id -u)" != 0 ] || arguments="$arguments -u nobody"

    if watch $arguments; then
        say "A passive DNS sensor: d4-pdns $arguments |" \
            "build/d4 -c run/demo/pdns"

    else
        say "d4-pdns may not capture here:"
        sed 's/^d4-pdns: /  /' $dns/d4-pdns.log
        say "so that the resolver tells it its answers itself, by dnstap:"
        arguments="-d $dns/dnstap.sock"

        watch $arguments || die "d4-pdns ended: $(cat $dns/d4-pdns.log)"
        say "A passive DNS sensor: d4-pdns $arguments |" \
            "build/d4 -c run/demo/pdns"
    fi

    exec 3>&-

    say "and what the resolver, an unbound with a zone of its own, answers" \
        "to dig:"
    ask "$port" -f $dns/questions > $dns/answers
    sed 's/[[:space:]]\+/ /g; s/^/  /' $dns/answers

    # dnstap comes about a second later
    until_true 15 seen_all || {
        diff <(records_of_lines) <(records_of_dig) >&2 || :
        die "d4-pdns saw (<) what dig was not shown (>)"
    }

    stop_dns
    until_true 10 end_of "$collector" || die "d4-pdns does not end"
}


stop_dns() {
    kill $resolver $collector 2>/dev/null || :
}


# show_dns: the file of the lines; they are queued, too
show_dns() {
    local file

    until_true 15 pushed "analyzer:8:${queue}8" \
        $((queued + $(wc -l < run/demo/sent))) \
        || die "not all lines were queued, see run/logs/error.log"

    file=$(find "run/data/$uuid/8" -name '*.gz' | sort | tail -n 1)
    say "Its lines, in the queue analyzer:8:${queue}8," \
        "which passive DNS reads, and in the file"
    say "  $file"
    zcat "$file" > run/demo/received
    cut -c 1-76 run/demo/received | sed 's/^/  /'
}


records_of_cof() {
    sed 's/.*"rrname":"\([^"]*\)".*/\1/' $dns/cof > $dns/names
    sed 's/.*"rrtype":"\([^"]*\)".*/\1/' $dns/cof > $dns/types
    sed 's/.*"rdata":"\(\(\\"\|[^"]\)*\)".*/\1/; s/\\"/"/g' $dns/cof \
        > $dns/data

    paste -d ' ' $dns/names $dns/types $dns/data | sort
}


# Those seen since this demonstration has begun.
found() {
    curl -sfg -o $dns/cof "$url/$1?time_last_after=$begin" \
        && cmp -s <(records_of_cof) $dns/expected
}


# look_up WHAT VALUE AWK-PATTERN: the records are those that dig was shown and
# that fit the pattern, and no others
look_up() {
    records_of_dig | awk "$3" > $dns/expected
    [ -s $dns/expected ] || die "dig was shown no records of $2"

    # the first of them may still be on their way
    until_true 15 found "$2" || {
        diff $dns/expected <(records_of_cof) >&2 || :
        die "these (<) and no others were asked for at $url/$2"
    }

    say "$1: curl '$url/$2'"
    sed 's/^/  /' $dns/cof
}


# demonstrate_pdns D4_ADDRESS:PORT HTTP_PORT
demonstrate_pdns() {
    local begin port queued url

    url=http://127.0.0.1:$2/pdns/query
    begin=$(date +%s)

    mkdir -p $dns
    write_sensor run/demo/pdns 8 "$1"
    make_queue 8
    queued=$(count "analyzer:8:${queue}8")

    say
    write_zone
    trap stop_dns EXIT
    start_resolver
    dns_lines
    trap - EXIT

    session show_dns

    say
    say "What passive DNS knows of it, in the Common Output Format:"
    look_up "A name" "www.$zone" "\$1 == \"www.$zone\""
    look_up "An address" 192.0.2.80 '$3 == "192.0.2.80"'
    look_up "A wildcard" "*.$zone" 1
    look_up "A network" 192.0.2.0/24 '$3 ~ /^192\.0\.2\./'
}
