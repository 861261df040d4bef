# Sourced by embedded.sh.  The demonstration: what a sensor does, with a real
# capture of real traffic, or with a real log where capturing is not allowed.


# write_sensor DIRECTORY TYPE DESTINATION: the configuration of the client
write_sensor() {
    mkdir -p "$1"

    [ -e run/demo/uuid ] \
        || cat /proc/sys/kernel/random/uuid > run/demo/uuid
    [ -e run/demo/key ] \
        || openssl rand -base64 48 | tr '+/' '-_' > run/demo/key

    cp run/demo/uuid run/demo/key "$1/"
    cp run/tls/ca.crt "$1/rootCA.crt"
    echo 1 > "$1/version"
    echo "$2" > "$1/type"
    echo 65535 > "$1/snaplen"
    echo stdin > "$1/source"
    echo "$3" > "$1/destination"
}


# As any sensor is registered: through the API.  It may be there already.
register_sensor() {
    local answer key

    key=$(tr -d '\n' < run/demo/key)

    answer=$(api POST sensors "{\"uuid\":\"$uuid\",\"hmac_key\":\"$key\",
        \"name\":\"demonstration\"}") \
        || [[ $answer == *"already registered"* ]] \
        || die "the sensor was not registered: $answer"
}


# capture PORT: from tcpdump into the client; its pid is in $client
capture() {
    {
        tcpdump -i lo -n -U -c 40 -w - "tcp port $1" \
            2> run/demo/tcpdump.log \
        | tee run/demo/sent \
        | build/d4 -c run/demo/pcap
    } 2> run/demo/d4.log &

    client=$!

    until_true 10 grep -q 'listening on' run/demo/tcpdump.log \
        || die "tcpdump does not start: $(cat run/demo/tcpdump.log)"

    # traffic until tcpdump has its 40 packets
    until_true 30 eval "curl -s -o run/demo/page 'http://127.0.0.1:$1/'; \
                        ! kill -0 $client" \
        || die "the demonstration does not end, see run/demo/d4.log"
}


# log_lines PORT: the lines that nginx logs for some requests
log_lines() {
    local before i

    before=$(wc -l < run/logs/access.log)

    for i in 1 2 3 4 5; do
        curl -s -o run/demo/page "http://127.0.0.1:$1/?request=$i"
    done

    tail -n +$((before + 1)) run/logs/access.log > run/demo/sent
    build/d4 -c run/demo/log < run/demo/sent 2> run/demo/d4.log &
    client=$!
}


# The sensor's line in the access log after the first $1 of them.
session_line() {
    grep " $uuid " run/logs/sensors.log | tail -n "+$(($1 + 1))" | grep .
}


# Lua for Redis: the session is the stream KEYS[1].
payload='local bytes = {}
for _, entry in ipairs(redis.call("XRANGE", KEYS[1], "-", "+")) do
    bytes[#bytes + 1] = entry[2][2]
end
return table.concat(bytes)'

first_entry='local entry = redis.call("XRANGE", KEYS[1], "-", "+", "COUNT", 1)[1]
local lines = { "id         " .. entry[1] }
for i = 1, #entry[2], 2 do
    local name, value = entry[2][i], entry[2][i + 1]
    if name == "message" then
        value = value:sub(1, 24):gsub(".", function (c)
            return string.format("%02x ", c:byte())
        end) .. "... (" .. #value .. " bytes)"
    end
    lines[#lines + 1] = name .. string.rep(" ", 11 - #name) .. value
end
return table.concat(lines, "\n")'


stored() {
    [ "$(redis 4 XLEN "$1")" -ge "$2" ]
}


# A queue of ours for each type that is shown: this, and the type's digit.
queue=d4d4d4d4-0000-4000-8000-00000000000

make_queue() {
    local answer

    answer=$(api POST queues "{\"type\":$1,\"id\":\"$queue$1\",
        \"max_size\":1000,\"description\":\"make run\"}") \
        || [[ $answer == *"queue exists"* ]] \
        || die "the queue was not made: $answer"
}


# how many elements a queue ever got
count() {
    local n

    n=$(redis 2 HGET "d4:queue:$1" pushed)
    echo "${n:-0}"
}


pushed() {
    [ "$(count "$1")" -ge "$2" ]
}


dispatched() {
    [ "$(redis 4 EXISTS "$1")" = 0 ]
}


# show_stream KEY FRAMES: what the session left in Redis for other consumers
show_stream() {
    until_true 15 stored "$1" "$2" \
        || die "$1 does not hold $2 frames"

    say "What arrived, in database 4 of Redis:"
    say "  key        $1"
    say "  entries    $(redis 4 XLEN "$1")"
    say "  the first:"
    redis 4 --raw EVAL "$first_entry" 1 "$1" | sed 's/^/    /'

    redis 4 --raw EVAL "$payload" 1 "$1" | head -c -1 > run/demo/received
}


# show_capture: the file of the capture, which its queue names
show_capture() {
    local list=analyzer:1:${queue}1 file

    until_true 20 pushed "$list" $((captures + 1)) \
        || die "no file was queued, see run/logs/error.log"

    file=$(redis 2 LINDEX "$list" 0)
    say "The file, as the queue $list names it to an analyzer:"
    say "  $file"
    zcat "$file" > run/demo/received
}


# show_lines: what a sensor of type 3 has to say, line by line
show_lines() {
    local list=analyzer:3:${queue}3 file

    until_true 15 pushed "$list" $((lines + $(wc -l < run/demo/sent))) \
        || die "not all lines were queued, see run/logs/error.log"

    say "Its lines, one element each, in the queue $list:"
    redis 2 LRANGE "$list" 0 $(($(wc -l < run/demo/sent) - 1)) \
        | tac > run/demo/received
    cut -c 1-76 run/demo/received | sed 's/^/  /'

    file=$(find "run/data/$uuid/3" -name '*.gz' | sort | tail -n 1)
    say "and in the file"
    say "  $file"
    zcat "$file" | cmp -s - run/demo/sent \
        || die "the file is not what was sent, see run/demo/"
}


# session KIND ...: waits for the client and its session; its line in $line
session() {
    wait "$client" || {
        cat run/demo/d4.log >&2
        tail -n 5 run/logs/error.log >&2
        die "the client failed"
    }

    until_true 15 session_line "$before" || {
        tail -n 5 run/logs/error.log >&2
        die "the session does not end, see run/logs/error.log"
    }

    line=$(session_line "$before" | tail -n 1)
    before=$((before + 1))

    read -r key frames <<< \
        "$(awk '{ print "stream:" $4 ":" $5, $6 }' <<< "$line")"

    say "In run/logs/sensors.log:"
    say "  $line"

    if [ $dispatch = off ]; then
        show_stream "$key" "$frames"

    else
        until_true 20 dispatched "$key" \
            || die "$key was not dispatched, see run/logs/error.log"
        "$1"
    fi

    cmp run/demo/sent run/demo/received \
        || die "what arrived is not what was sent, see run/demo/"
    say "Put together, it is what was sent: $(stat -c %s run/demo/sent) bytes."
}


# demonstrate D4_ADDRESS:PORT HTTP_PORT
demonstrate() {
    local before captures client frames key line lines reason uuid

    write_sensor run/demo/pcap 1 "$1"
    write_sensor run/demo/log 3 "$1"
    uuid=$(tr -d '\n-' < run/demo/uuid)
    register_sensor

    make_queue 1
    make_queue 3
    captures=$(count "analyzer:1:${queue}1")
    lines=$(count "analyzer:3:${queue}3")

    touch run/logs/sensors.log
    before=$(grep -c " $uuid " run/logs/sensors.log || :)

    say
    if reason=$(tcpdump -i lo -L 2>&1); then
        say "A sensor: tcpdump on loopback | build/d4 -c run/demo/pcap"
        capture "$2"
        session show_capture

        tcpdump -n -r - < run/demo/received > run/demo/page 2>/dev/null
        head -n 4 run/demo/page | cut -c 1-76 | sed 's/^/  /'
        say "  ... $(wc -l < run/demo/page) packets, read by tcpdump -r"

    else
        reason=${reason#tcpdump: }
        say "tcpdump may not capture here: ${reason%%$'\n'*}"
        say "It needs the right CAP_NET_RAW: run this as root, or have root do"
        say "  setcap cap_net_raw+ep $(command -v tcpdump || echo tcpdump)"
    fi

    say
    say "A sensor of lines: what nginx logs of some requests |" \
        "build/d4 -c run/demo/log"
    log_lines "$2"
    session show_lines

    if [ $dispatch = on ]; then
        demonstrate_pdns "$1" "$2"

    else
        say
        say "Passive DNS reads a queue: it is shown with DISPATCH=on."
    fi

    cat <<END

To look further:
  find run/data -name '$uuid*' | tail
  redis-cli -s run/redis.sock -n 2 LRANGE analyzer:3:${queue}3 0 9
  redis-cli -s run/redis.sock -n 0 HGETALL metadata_uuid:$uuid
  redis-cli -s run/redis.sock -n 0 XRANGE d4:refused - +
  tail -f run/logs/sensors.log run/logs/error.log
  curl http://127.0.0.1:$2/ca.crt
  curl http://127.0.0.1:$2/pdns/info
  make stop
END
}
