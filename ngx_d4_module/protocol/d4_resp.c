
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_resp.h"

#include <stdio.h>
#include <string.h>


#define D4_RESP_NUMBER  32


static char *d4_words_decimal(char *end, uint64_t n);


void
d4_words_init(d4_words_t *w, d4_pool_t *pool)
{
    memset(w, 0, sizeof(d4_words_t));
    d4_blocks_init(&w->out, pool);
}


int
d4_words_add(d4_words_t *w, const void *p, size_t len)
{
    char       head[D4_RESP_NUMBER], *end, *start;
    d4_mark_t  mark;

    end = head + sizeof(head);

    start = end;
    *--start = '\n';
    *--start = '\r';
    start = d4_words_decimal(start, len);
    *--start = '$';

    d4_blocks_mark(&w->out, &mark);

    if (d4_blocks_write(&w->out, start, (size_t) (end - start)) != 0
        || d4_blocks_write(&w->out, p, len) != 0
        || d4_blocks_write(&w->out, "\r\n", 2) != 0)
    {
        d4_blocks_rewind(&w->out, &mark);
        return -1;
    }

    w->count++;
    w->bytes += len;

    return 0;
}


int
d4_words_text(d4_words_t *w, const char *text)
{
    return d4_words_add(w, text, strlen(text));
}


int
d4_words_number(d4_words_t *w, uint64_t n)
{
    char  text[D4_RESP_NUMBER], *end, *start;

    end = text + sizeof(text);
    start = d4_words_decimal(end, n);

    return d4_words_add(w, start, (size_t) (end - start));
}


/*
 * Writes n so that it ends before end, and returns where it begins; there are
 * so many words that snprintf() would cost a tenth of what a line costs.
 */

static char *
d4_words_decimal(char *end, uint64_t n)
{
    do {
        *--end = (char) ('0' + n % 10);
        n /= 10;
    } while (n != 0);

    return end;
}


void
d4_words_join(d4_words_t *w, d4_words_t *src)
{
    d4_blocks_join(&w->out, &src->out);

    w->count += src->count;
    w->bytes += src->bytes;

    src->count = 0;
    src->bytes = 0;
}


int
d4_words_head(d4_words_t *w)
{
    int          n;
    char         head[D4_RESP_NUMBER];
    d4_blocks_t  out;

    n = snprintf(head, sizeof(head), "*%u\r\n", w->count);

    d4_blocks_init(&out, w->out.pool);

    if (d4_blocks_write(&out, head, (size_t) n) != 0) {
        return -1;
    }

    d4_blocks_join(&out, &w->out);
    w->out = out;

    return 0;
}


void
d4_words_free(d4_words_t *w)
{
    d4_blocks_free(&w->out);

    w->count = 0;
    w->bytes = 0;
}
