
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Any order of begins, pieces, commits, rollbacks, splits, commands and
 * rekeys leaves a batch that reads as RESP, with the payloads that were
 * committed, under the session id it was last given.
 */


#include "../unit/unit.h"
#include "../../ngx_d4_module/protocol/d4_batch.h"

#include <stdio.h>


#define PAYLOADS_MAX  400000
#define FRAMES_MAX    256

#define SID_A  "5f0c7b1e-3a52-4d68-9b07-c2e1f4a6d890"
#define SID_B  "00112233-4455-4677-8899-aabbccddeeff"

/* what a payload may hold to lead a reader of RESP astray */

#define TRAP                                                                  \
    "\r\n*11\r\n$4\r\nXADD\r\n$45\r\nstream:8:" SID_A "\r\n$36\r\n" SID_B     \
    "\r\n*3\r\n$4\r\nSADD\r\n$1\r\nx\r\n$36\r\n" SID_A "\r\n:" SID_A "\r\n"


/* what a batch should hold: a command has no payload, but counts as a frame */

typedef struct {
    int          command;
    d4_header_t  header;
    int          create;
    size_t       at;                   /* of its payload in all of them */
} expect_t;


typedef struct {
    d4_batch_t   batch;
    int          sid;
    uint64_t     n;
    size_t       count;
    size_t       got;                  /* bytes of the open frame's payload */
    size_t       used;
    expect_t     open;
    expect_t     all[FRAMES_MAX];
    uint8_t      payloads[PAYLOADS_MAX];
} model_t;


static model_t             model;
static const char * const  sids[] = { SID_A, SID_B };


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static void
check_frame(const unit_word_t *w, int argc, const expect_t *e, uint64_t n)
{
    char  text[80];

    require(argc == (e->create ? 11 : 12));
    require(unit_word_is(&w[0], "XADD"));

    snprintf(text, sizeof(text), "stream:%u:%s", e->header.type,
             sids[model.sid]);
    require(unit_word_is(&w[1], text));

    if (!e->create) {
        require(unit_word_is(&w[2], "NOMKSTREAM"));
        w++;
    }

    snprintf(text, sizeof(text), "9-%llu", (unsigned long long) n);
    require(unit_word_is(&w[2], text));
    require(unit_word_is(&w[3], "message"));
    require(w[4].len == e->header.size);
    require(memcmp(w[4].p, model.payloads + e->at, w[4].len) == 0);
    require(unit_word_is(&w[5], "uuid"));
    require(w[6].len == 32);
    require(unit_word_is(&w[7], "timestamp"));
    snprintf(text, sizeof(text), "%llu",
             (unsigned long long) e->header.timestamp);
    require(unit_word_is(&w[8], text));
    require(unit_word_is(&w[9], "version"));
    snprintf(text, sizeof(text), "%u", e->header.version);
    require(unit_word_is(&w[10], text));
}


/* Reads the batch, but for an open frame, against what it should hold. */

static void
check(void)
{
    int             argc;
    size_t          i, frames, bytes;
    uint8_t        *flat;
    uint64_t        first;
    unit_word_t     w[16];
    d4_batch_t     *b;
    const uint8_t  *p, *end;

    b = &model.batch;
    flat = unit_flat(&b->out);
    p = flat;
    end = flat + (b->open ? b->border.bytes : b->out.bytes);
    frames = 0;
    bytes = 0;

    for (i = 0; i < model.count; i++) {
        frames += !model.all[i].command;
        bytes += model.all[i].command ? 0 : model.all[i].header.size;
    }

    require(b->commands == model.count);
    require(b->frames == frames && b->bytes == bytes);

    if (model.count > 0) {
        require(unit_resp(&p, end, w, 16) == 1);
        require(unit_word_is(&w[0], "MULTI"));
    }

    first = model.n - frames;

    for (i = 0; i < model.count; i++) {
        argc = unit_resp(&p, end, w, 16);

        if (model.all[i].command) {
            require(argc == 3 && unit_word_is(&w[0], "SADD"));
            require(unit_word_is(&w[2], sids[model.sid]));
            continue;
        }

        check_frame(w, argc, &model.all[i], ++first);
    }

    if (b->sealed) {
        require(unit_resp(&p, end, w, 16) == 1);
        require(unit_word_is(&w[0], "EXEC"));
    }

    require(p == end);
    free(flat);
}


static void
begin(uint8_t a, uint8_t b)
{
    expect_t  *e;

    e = &model.open;
    memset(e, 0, sizeof(*e));
    e->header.type = a;
    e->header.version = b;
    e->header.timestamp = (uint64_t) a << (b % 57);
    e->header.size = (b & 1) ? (uint32_t) (a * b) : a;
    e->create = b >> 7;
    e->at = model.used;

    if (model.used + e->header.size > PAYLOADS_MAX
        || model.count == FRAMES_MAX)
    {
        return;
    }

    require(d4_batch_begin(&model.batch, sids[model.sid], &e->header, 9,
                           model.n + 1, e->create) == 0);
    model.got = 0;
}


/* Adds to the open frame: of the input, or a trap, or much of one byte. */

static void
data(uint8_t kind, const uint8_t *p, size_t len)
{
    size_t    n, left, from;
    uint8_t  *to;

    left = model.open.header.size - model.got;
    to = model.payloads + model.used + model.got;
    from = kind / 3 % 80;

    switch (kind % 3) {

    case 0:
        n = (len < left) ? len : left;
        memcpy(to, p, n);
        break;

    case 1:
        n = sizeof(TRAP) - 1 - from;
        n = (n < left) ? n : left;
        memcpy(to, &TRAP[from], n);
        break;

    default:
        n = (left > from * 100) ? left - from * 100 : left;
        memset(to, kind, n);
        break;
    }

    require(d4_batch_data(&model.batch, to, n) == 0);
    model.got += n;
}


static void
commit(void)
{
    if (model.got < model.open.header.size) {
        data(2, NULL, 0);
    }

    require(model.got == model.open.header.size);
    require(d4_batch_commit(&model.batch, &model.open.header) == 0);

    model.all[model.count++] = model.open;
    model.used += model.got;
    model.n++;
}


/* What is whole is checked and dropped; the open frame goes on elsewhere. */

static void
split(d4_pool_t *pool)
{
    int         open;
    d4_batch_t  next;

    open = model.batch.open;
    d4_batch_init(&next, pool);
    require(d4_batch_split(&model.batch, &next) == 0);
    require(next.open == open && !model.batch.open);

    if (model.count > 0) {
        require(d4_batch_seal(&model.batch) == 0);
        check();

    } else {
        require(model.batch.out.bytes == 0);
    }

    d4_batch_clear(&model.batch);
    require(pool->held == next.out.held);

    model.batch = next;
    model.count = 0;

    if (open) {
        memmove(model.payloads, model.payloads + model.used, model.got);
    }

    model.used = 0;
    model.open.at = 0;
}


static void
command(uint8_t c)
{
    const char  *argv[] = { "SADD", "session_uuid:8", NULL };

    if (model.count == 0 || model.count == FRAMES_MAX) {
        return;
    }

    argv[1] = (c & 1) ? "ended_session" : argv[1];
    argv[2] = sids[model.sid];
    require(d4_batch_command(&model.batch, 3, argv) == 0);

    model.all[model.count].command = 1;
    model.count++;
}


static void
rekey(void)
{
    d4_batch_rekey(&model.batch, sids[model.sid], sids[1 - model.sid]);
    model.sid = 1 - model.sid;
    check();
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    d4_pool_t  pool;

    d4_pool_init(&pool, 2 * D4_BLOCK_LARGE);
    d4_batch_init(&model.batch, &pool);
    model.sid = 0;
    model.n = 0;
    model.count = 0;
    model.used = 0;

    for ( /* void */ ; size >= 3; p += 3, size -= 3) {
        switch (p[0] % 8) {

        case 0:
        case 1:
            if (!model.batch.open) {
                begin(p[1], p[2]);
            }
            break;

        case 2:
            if (model.batch.open) {
                data(p[1], p + 3, (size - 3 < p[2]) ? size - 3 : p[2]);
            }
            break;

        case 3:
            if (model.batch.open) {
                commit();
            }
            break;

        case 4:
            if (model.batch.open) {
                d4_batch_rollback(&model.batch);
                check();
            }
            break;

        case 5:
            split(&pool);
            break;

        case 6:
            if (!model.batch.open) {
                command(p[1]);
            }
            break;

        case 7:
            rekey();
            break;
        }
    }

    if (model.batch.open) {
        commit();
    }

    split(&pool);
    d4_batch_clear(&model.batch);
    require(pool.held == 0);
    d4_pool_clear(&pool);

    return 0;
}
