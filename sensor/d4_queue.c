
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdlib.h>
#include <string.h>

#include "d4_queue.h"


static int d4_queue_make_room(d4_queue_t *q, size_t need,
    const d4_piece_t *piece);
static void d4_queue_drop_run(d4_queue_t *q, d4_item_t **from);
static d4_item_t **d4_queue_first(d4_queue_t *q);
static d4_item_t **d4_queue_last(d4_queue_t *q);
static void d4_queue_forget(d4_queue_t *q);
static void d4_queue_count(d4_queue_t *q, size_t size);


void
d4_queue_init(d4_queue_t *q, size_t limit, d4_overflow_t overflow)
{
    memset(q, 0, sizeof(d4_queue_t));

    q->limit = limit;
    q->overflow = overflow;
}


void
d4_queue_free(d4_queue_t *q)
{
    d4_item_t  *item;

    while (q->head != NULL) {
        item = q->head;
        q->head = item->next;
        free(item);
    }

    memset(q, 0, sizeof(d4_queue_t));
}


int
d4_queue_full(const d4_queue_t *q)
{
    return q->overflow == D4_QUEUE_BLOCK && q->bytes >= q->limit;
}


int
d4_queue_push(d4_queue_t *q, const d4_piece_t *piece, uint64_t timestamp,
    const uint8_t *header)
{
    size_t      need;
    d4_item_t  *item;

    if (!piece->start && !q->open) {

        /* the rest of a run whose beginning was dropped */

        d4_queue_count(q, piece->len);
        return 0;
    }

    need = sizeof(d4_item_t) + piece->len;

    if (q->overflow != D4_QUEUE_BLOCK && q->bytes + need > q->limit
        && d4_queue_make_room(q, need, piece) != 0)
    {
        d4_queue_count(q, piece->len);
        return 0;
    }

    item = malloc(need);

    if (item == NULL) {
        if (q->open) {
            d4_queue_break(q);
        }

        d4_queue_count(q, piece->len);
        return -1;
    }

    item->next = NULL;
    item->timestamp = timestamp;
    item->size = piece->len;
    item->start = piece->start;
    item->end = piece->end;
    item->fresh = piece->start && q->cut;
    item->has_header = (header != NULL);

    memset(item->header, 0, D4_PCAP_HEADER);

    if (header != NULL) {
        memcpy(item->header, header, D4_PCAP_HEADER);
    }

    memcpy(item->data, piece->data, piece->len);

    if (q->tail != NULL) {
        q->tail->next = item;

    } else {
        q->head = item;
    }

    q->tail = item;

    if (q->next == NULL) {
        q->next = item;
    }

    q->bytes += need;
    q->frames++;
    q->open = !item->end;

    if (item->start) {
        q->cut = 0;
    }

    return 0;
}


void
d4_queue_end(d4_queue_t *q)
{
    if (!q->open) {
        return;
    }

    q->open = 0;

    if (q->tail != NULL) {
        q->tail->end = 1;
    }

    if (q->next == NULL) {
        q->done = 1;

        if (!q->hold) {
            d4_queue_forget(q);
        }
    }
}


void
d4_queue_break(d4_queue_t *q)
{
    d4_queue_end(q);
    q->cut = 1;
}


d4_item_t *
d4_queue_peek(d4_queue_t *q)
{
    return q->next;
}


void
d4_queue_begin(d4_queue_t *q)
{
    q->busy = 1;
}


void
d4_queue_sent(d4_queue_t *q)
{
    d4_item_t  *item;

    item = q->next;

    q->next = item->next;
    q->frames--;
    q->busy = 0;

    q->done = item->end || (q->next != NULL && q->next->start);

    if (!q->hold && (q->done || q->bytes >= q->limit)) {
        d4_queue_forget(q);
    }
}


void
d4_queue_hold(d4_queue_t *q)
{
    q->hold = 1;
}


void
d4_queue_release(d4_queue_t *q)
{
    q->hold = 0;

    if (q->done || q->bytes >= q->limit) {
        d4_queue_forget(q);
    }
}


uint64_t
d4_queue_rewind(d4_queue_t *q)
{
    int         sent;
    uint64_t    again;
    d4_item_t  *item;

    /* a run whose beginning is no longer there cannot be sent once more */

    sent = 1;

    while (q->head != NULL && !q->head->start) {
        item = q->head;

        if (item == q->next) {
            sent = 0;
            q->busy = 0;
        }

        q->head = item->next;
        q->bytes -= sizeof(d4_item_t) + item->size;

        if (!sent) {
            q->next = q->head;
            q->frames--;
            d4_queue_count(q, item->size);
        }

        free(item);
    }

    again = q->busy;
    q->busy = 0;

    for (item = q->head; item != NULL && item != q->next; item = item->next) {
        again++;
        q->frames++;
    }

    q->next = q->head;
    q->hold = 0;
    q->done = 0;

    if (q->head == NULL) {
        q->tail = NULL;
        q->open = 0;
        q->cut = 0;
    }

    return again;
}


/* Returns 0 when the new payload may be taken, -1 when it is to be dropped. */

static int
d4_queue_make_room(d4_queue_t *q, size_t need, const d4_piece_t *piece)
{
    d4_item_t  **run;

    /* what is only kept in case the session is lost goes first */

    d4_queue_forget(q);

    while (q->bytes + need > q->limit && q->head != NULL) {

        if (q->overflow == D4_QUEUE_DROP_OLDEST) {
            run = d4_queue_first(q);

            if (run != NULL) {
                d4_queue_drop_run(q, run);

                if (!piece->start && !q->open) {
                    return -1;
                }

                continue;
            }
        }

        if (piece->start) {
            q->open = 0;
            return -1;
        }

        /* the run that this payload goes on with cannot be finished */

        run = d4_queue_last(q);

        if (run != NULL) {
            d4_queue_drop_run(q, run);

        } else {
            d4_queue_break(q);
        }

        return -1;
    }

    return 0;
}


/* Drops the run that begins at *from, up to its end or the tail. */

static void
d4_queue_drop_run(d4_queue_t *q, d4_item_t **from)
{
    int         fresh;
    d4_item_t  *item, *prev;

    prev = NULL;

    if (from != &q->head) {
        prev = (d4_item_t *) ((char *) from - offsetof(d4_item_t, next));
    }

    fresh = (*from)->fresh;

    do {
        item = *from;
        *from = item->next;

        if (q->next == item) {
            q->next = item->next;
        }

        q->bytes -= sizeof(d4_item_t) + item->size;
        q->frames--;
        d4_queue_count(q, item->size);
        free(item);

    } while (*from != NULL && !(*from)->start);

    if (*from == NULL) {
        q->tail = prev;
        q->open = 0;
        q->cut |= fresh;

    } else {
        (*from)->fresh |= fresh;
    }
}


/* The oldest run of which nothing was sent, NULL: none. */

static d4_item_t **
d4_queue_first(d4_queue_t *q)
{
    d4_item_t  **p;

    for (p = &q->head; *p != NULL && *p != q->next; p = &(*p)->next) {
        /* sent */
    }

    if (*p != NULL && q->busy) {
        p = &(*p)->next;
    }

    while (*p != NULL && !(*p)->start) {
        p = &(*p)->next;
    }

    return *p != NULL ? p : NULL;
}


/* The run at the tail, if nothing of it was sent, else NULL. */

static d4_item_t **
d4_queue_last(d4_queue_t *q)
{
    d4_item_t  **p, **last;

    last = NULL;

    for (p = d4_queue_first(q); p != NULL && *p != NULL; p = &(*p)->next) {
        if ((*p)->start) {
            last = p;
        }
    }

    return last;
}


/* Frees what was sent. */

static void
d4_queue_forget(d4_queue_t *q)
{
    d4_item_t  *item;

    while (q->head != q->next) {
        item = q->head;
        q->head = item->next;
        q->bytes -= sizeof(d4_item_t) + item->size;
        free(item);
    }

    if (q->head == NULL) {
        q->tail = NULL;
    }
}


static void
d4_queue_count(d4_queue_t *q, size_t size)
{
    q->dropped_frames++;
    q->dropped_bytes += size;
}
