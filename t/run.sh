#!/bin/bash
#
# run.sh [FILE...]
#
# Runs everything that "make test" has built, or those of t/*.t that are given,
# and counts.  Every program speaks TAP; the whole output of each is kept under
# build/test.
#
#   LONG=1   more time for the fuzzers, and the tests that take minutes
#   LANES=5  so many tests at a time (five for two processors: they mostly wait)

set -u
cd "$(dirname "$0")/.."

out=build/test
lanes=${LANES:-$(($(nproc) * 5 / 2))}
running=0

[ "${LONG-}" = 1 ] || unset LONG

rm -rf "$out"
mkdir -p "$out"


# tap NAME COMMAND...: runs it and counts its lines "ok" and "not ok".  A
# program that fails without such a line, or shows none at all, failed once.
tap() {
    local name=$1 log rc ok not_ok skip start=$SECONDS
    shift

    log=$out/${name//[\/ ]/_}.log

    timeout -k 10 900 "$@" > "$log" 2>&1 < /dev/null
    rc=$?

    # cmocka says "not ok" of a test that it skips
    skip=$(grep -ciE '^(not )?ok\b.*# skip' "$log")
    ok=$(grep -E '^ok\b' "$log" | grep -civ '# skip')
    not_ok=$(grep -E '^not ok\b' "$log" | grep -ciEv '# (skip|todo)')

    if [ $not_ok -eq 0 ] && { [ $rc -ne 0 ] || [ $((ok + skip)) -eq 0 ]; }
    then
        not_ok=1
    fi

    echo $ok $not_ok $skip >> "$out/counts"

    if [ $not_ok -eq 0 ]; then
        printf 'ok      %-32s %5d passed%s, %d s\n' "$name" $ok \
            "$([ $skip -eq 0 ] || echo ", $skip skipped")" \
            $((SECONDS - start))
        return
    fi

    printf 'FAILED  %-32s %5d passed, %d failed, exit code %d, %d s: %s\n' \
        "$name" $ok $not_ok $rc $((SECONDS - start)) "$log"
    grep -vE '^(ok\b|1\.\.)' "$log" | tail -n 40 | sed 's/^/    /'
    return 0
}


# fuzz PROGRAM: one test, passed when nothing was found in its time
fuzz() {
    local name corpus seconds=10

    [ -z "${LONG-}" ] || seconds=120

    name=$(basename "$1")
    name=${name#fuzz_}
    corpus=build/corpus/$name
    mkdir -p "$corpus"

    if "$1" -max_total_time=$seconds -print_final_stats=1 \
        -artifact_prefix="$out/$name-" "$corpus" t/fuzz/corpus/"$name"
    then
        echo "ok 1 - nothing found"
    else
        echo "not ok 1 - see $out/$name-*"
    fi
}


unit() {
    local program name

    for program in "$1"/t/unit/*; do
        name=${program##*/}
        [ -e "t/unit/$name.c" ] || continue
        lane tap "$2unit $name" env CMOCKA_MESSAGE_OUTPUT=TAP "$program"
    done
}


# The tests that take longest begin first, so that all lanes end together.

slow='^t/(100|120|130|21[0-7]|227|231|08[0-5]|09[01]|11[013]|450|520|545|590|client-server)'

slow_first() {
    grep -E "$slow" <<< "$1"
    grep -vE "$slow" <<< "$1"
}


# perl_test PASS TEST: the modules as they are installed, or (asan) with
# sanitizers; the tools are not what is tested
perl_test() {
    if [ "$1" = asan ]; then
        D4_BUILD=build/asan D4_ASAN=1 D4SEND=$PWD/build/t/d4send \
            tap "asan ${2#t/}" prove --norc -v -I t/lib "$2"
    else
        D4_BUILD=build tap "${2#t/}" prove --norc -v -I t/lib "$2"
    fi
}


# with Valkey as the store of passive DNS, where there is one
valkey_tests() {
    local server test

    if ! server=$(t/valkey.sh build/valkey); then
        tap "valkey" printf 'ok 1 # skip %s\n' "$server"
        return
    fi

    for test in t/500-pdns-lookup.t t/520-pdns-ingest.t; do
        REDIS_SERVER=$server D4_BUILD=build tap "valkey ${test#t/}" \
            prove --norc -v -I t/lib "$test"
    done
}


# lane COMMAND...: runs it beside others, as soon as there is room
lane() {
    if [ $running -eq $lanes ]; then
        wait -n
        running=$((running - 1))
    fi

    # what was killed has not counted itself
    { "$@" || echo 0 1 0 >> "$out/counts"; } &
    running=$((running + 1))
}


export -f fuzz
export out LONG

if [ $# -gt 0 ]; then
    tests=("$@")

else
    mapfile -t tests < <(slow_first "$(find t -name '*.t' | sort)")

    unit build ""
    unit build/asan "asan "

    lane tap "big-endian" t/cross.sh
    lane valkey_tests
fi

for test in "${tests[@]}"; do
    lane perl_test plain "$test"
    lane perl_test asan "$test"
done

if [ $# -eq 0 ]; then
    for source in t/fuzz/*.c; do
        name=$(basename "$source" .c)
        lane tap "${name/_/ }" bash -c 'fuzz "$1"' - "build/t/fuzz/$name"
    done
fi

wait

read -r passed failed skipped < <(awk '
    { passed += $1; failed += $2; skipped += $3 }
    END { print passed + 0, failed + 0, skipped + 0 }' "$out/counts")

[ $skipped -eq 0 ] || echo "$skipped skipped:" \
    "$(grep -hiE '^(not )?ok\b.*# skip' "$out"/*.log \
        | sed 's/.*# *skip *//I' | sort -u | paste -sd ';')"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
