
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "d4_batch.h"
#include "d4_uuid.h"

#include <stdlib.h>
#include <string.h>


/*
 * All that can stand before a payload: MULTI, the words of XADD, the longest
 * key, id and length.  What stands behind it is shorter.
 */
#define D4_BATCH_TEXT     256
#define D4_BATCH_WORD     64           /* one key or id */

#define D4_BATCH_XADD     11           /* words of an entry's command */
#define D4_BATCH_TAIL     6            /* of them behind the payload */

/* appends a literal, without its final zero, at p */
#define d4_put(p, s)                                                          \
    ((char *) memcpy(p, s, sizeof(s) - 1) + sizeof(s) - 1)


typedef struct {                       /* a place to read or write at */
    d4_block_t  *block;
    uint32_t     pos;
} d4_cursor_t;


static char *d4_put_number(char *p, uint64_t n);
static char *d4_put_word(char *p, const char *word, const char *end);
static int d4_batch_words(d4_batch_t *b, int argc, const char **argv);
static int d4_batch_word(d4_batch_t *b, char mark, size_t n);
static int d4_cursor_byte(d4_cursor_t *c);
static size_t d4_cursor_number(d4_cursor_t *c);
static void d4_cursor_skip(d4_cursor_t *c, size_t n);
static size_t d4_cursor_read(d4_cursor_t *c, char *out, size_t n);
static void d4_cursor_word(d4_cursor_t *c, char *out);
static void d4_cursor_words(d4_cursor_t *c, size_t n);
static void d4_cursor_write(d4_cursor_t *c, const char *p, size_t n);
static void d4_rekey_command(d4_cursor_t *c, const char *from,
    const char *to);
static void d4_rekey_word(d4_cursor_t c, size_t len, const char *from,
    const char *to);


static const char  d4_batch_multi[] = "*1\r\n$5\r\nMULTI\r\n";
static const char  d4_batch_exec[] = "*1\r\n$4\r\nEXEC\r\n";


void
d4_batch_init(d4_batch_t *b, d4_pool_t *pool)
{
    memset(b, 0, sizeof(d4_batch_t));
    d4_blocks_init(&b->out, pool);
}


int
d4_batch_begin(d4_batch_t *b, const char *sid, const d4_header_t *h,
    uint64_t ms, uint64_t n, int create)
{
    char   text[D4_BATCH_TEXT], word[D4_BATCH_WORD];
    char  *p, *w;

    p = text;

    if (b->out.bytes == 0) {
        p = d4_put(p, d4_batch_multi);
    }

    if (create) {
        p = d4_put(p, "*11\r\n$4\r\nXADD\r\n");

    } else {
        p = d4_put(p, "*12\r\n$4\r\nXADD\r\n");
    }

    w = d4_put(word, "stream:");
    w = d4_put_number(w, h->type);
    *w++ = ':';
    memcpy(w, sid, D4_SID);
    w += D4_SID;
    p = d4_put_word(p, word, w);

    if (!create) {
        p = d4_put(p, "$10\r\nNOMKSTREAM\r\n");
    }

    w = d4_put_number(word, ms);
    *w++ = '-';
    w = d4_put_number(w, n);
    p = d4_put_word(p, word, w);

    p = d4_put(p, "$7\r\nmessage\r\n$");
    p = d4_put_number(p, h->size);
    p = d4_put(p, "\r\n");

    if (d4_blocks_write(&b->out, text, (size_t) (p - text)) != 0) {
        return -1;
    }

    b->open = 1;

    return 0;
}


int
d4_batch_data(d4_batch_t *b, const uint8_t *p, size_t len)
{
    return d4_blocks_write(&b->out, p, len);
}


int
d4_batch_commit(d4_batch_t *b, const d4_header_t *h)
{
    char   text[D4_BATCH_TEXT], word[D4_BATCH_WORD];
    char  *p, *w;

    p = d4_put(text, "\r\n$4\r\nuuid\r\n$32\r\n");
    d4_uuid_hex(p, h->uuid);
    p += D4_UUID_HEX;

    p = d4_put(p, "\r\n$9\r\ntimestamp\r\n");
    w = d4_put_number(word, h->timestamp);
    p = d4_put_word(p, word, w);

    p = d4_put(p, "$7\r\nversion\r\n");
    w = d4_put_number(word, h->version);
    p = d4_put_word(p, word, w);

    if (d4_blocks_write(&b->out, text, (size_t) (p - text)) != 0) {
        return -1;
    }

    b->open = 0;
    b->commands++;
    b->frames++;
    b->bytes += h->size;

    d4_blocks_mark(&b->out, &b->border);

    return 0;
}


void
d4_batch_rollback(d4_batch_t *b)
{
    d4_blocks_rewind(&b->out, &b->border);
    b->open = 0;
}


int
d4_batch_command(d4_batch_t *b, int argc, const char **argv)
{
    if (d4_batch_words(b, argc, argv) != 0) {
        d4_blocks_rewind(&b->out, &b->border);
        return -1;
    }

    b->commands++;
    d4_blocks_mark(&b->out, &b->border);

    return 0;
}


static int
d4_batch_words(d4_batch_t *b, int argc, const char **argv)
{
    int     i;
    size_t  len;

    if (d4_batch_word(b, '*', (size_t) argc) != 0) {
        return -1;
    }

    for (i = 0; i < argc; i++) {
        len = strlen(argv[i]);

        if (d4_batch_word(b, '$', len) != 0
            || d4_blocks_write(&b->out, argv[i], len) != 0
            || d4_blocks_write(&b->out, "\r\n", 2) != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
d4_batch_word(d4_batch_t *b, char mark, size_t n)
{
    char   text[23];
    char  *p;

    text[0] = mark;
    p = d4_put_number(text + 1, n);
    p = d4_put(p, "\r\n");

    return d4_blocks_write(&b->out, text, (size_t) (p - text));
}


int
d4_batch_split(d4_batch_t *b, d4_batch_t *next)
{
    if (!b->open) {
        return 0;
    }

    /* a frame that is the first of its batch takes MULTI along */

    if (b->commands != 0
        && d4_blocks_write(&next->out, d4_batch_multi,
                           sizeof(d4_batch_multi) - 1)
           != 0)
    {
        return -1;
    }

    if (d4_blocks_split(&b->out, &b->border, &next->out) != 0) {
        d4_blocks_free(&next->out);
        return -1;
    }

    b->open = 0;
    next->open = 1;

    return 0;
}


int
d4_batch_seal(d4_batch_t *b)
{
    if (d4_blocks_write(&b->out, d4_batch_exec, sizeof(d4_batch_exec) - 1)
        != 0)
    {
        return -1;
    }

    b->sealed = 1;

    return 0;
}


void
d4_batch_rekey(d4_batch_t *b, const char *from, const char *to)
{
    d4_cursor_t  c;

    c.block = b->out.first;
    c.pos = 0;

    while (d4_cursor_byte(&c) != -1) {                     /* the '*' */
        d4_rekey_command(&c, from, to);
    }
}


static void
d4_rekey_command(d4_cursor_t *c, const char *from, const char *to)
{
    char    name[4];
    size_t  i, argc, len;

    argc = d4_cursor_number(c);
    memset(name, 0, sizeof(name));

    for (i = 0; i < argc && d4_cursor_byte(c) != -1; i++) {    /* the '$' */
        len = d4_cursor_number(c);

        if (i == 0 && len == sizeof(name)) {
            d4_cursor_read(c, name, len);
            d4_cursor_skip(c, 2);
            continue;
        }

        if (i == 1 || (i > 1 && memcmp(name, "XADD", 4) != 0)) {
            d4_rekey_word(*c, len, from, to);
        }

        d4_cursor_skip(c, len);
        d4_cursor_skip(c, 2);
    }
}


/* Replaces the id in which the word of len bytes at c ends, if it does. */

static void
d4_rekey_word(d4_cursor_t c, size_t len, const char *from, const char *to)
{
    char         word[D4_SID];
    d4_cursor_t  at;

    if (len < D4_SID) {
        return;
    }

    if (len > D4_SID) {
        d4_cursor_skip(&c, len - D4_SID - 1);

        if (d4_cursor_byte(&c) != ':') {
            return;
        }
    }

    at = c;

    if (d4_cursor_read(&c, word, D4_SID) == D4_SID
        && memcmp(word, from, D4_SID) == 0)
    {
        d4_cursor_write(&at, to, D4_SID);
    }
}


void
d4_batch_clear(d4_batch_t *b)
{
    d4_pool_t  *pool;

    pool = b->out.pool;

    d4_blocks_free(&b->out);
    d4_batch_init(b, pool);
}


void
d4_payloads_init(d4_payloads_t *it, const d4_batch_t *b)
{
    memset(it, 0, sizeof(d4_payloads_t));
    it->block = b->out.first;
}


int
d4_payloads_entry(d4_payloads_t *it)
{
    char         word[D4_BATCH_WORD], *p;
    size_t       argc;
    d4_cursor_t  c;

    c.block = it->block;
    c.pos = it->pos;

    if (it->words) {
        d4_cursor_skip(&c, it->left + 2);
        d4_cursor_words(&c, it->words);
        it->words = 0;
        it->left = 0;
    }

    while (d4_cursor_byte(&c) == '*') {
        argc = d4_cursor_number(&c);

        d4_cursor_word(&c, word);

        if (memcmp(word, "XADD", sizeof("XADD")) != 0) {
            d4_cursor_words(&c, argc - 1);
            continue;
        }

        d4_cursor_word(&c, word);                          /* the key */
        it->type = (unsigned) strtoul(word + sizeof("stream:") - 1, NULL, 10);

        if (argc == D4_BATCH_XADD + 1) {
            d4_cursor_words(&c, 1);                        /* NOMKSTREAM */
        }

        d4_cursor_word(&c, word);                          /* the id */
        it->ms = strtoull(word, &p, 10);
        it->n = strtoull(p + 1, NULL, 10);

        d4_cursor_words(&c, 1);                            /* message */

        d4_cursor_skip(&c, 1);
        it->size = d4_cursor_number(&c);
        it->left = it->size;
        it->words = D4_BATCH_TAIL;
        it->block = c.block;
        it->pos = c.pos;

        return 1;
    }

    it->block = NULL;

    return 0;
}


size_t
d4_payloads_piece(d4_payloads_t *it, const uint8_t **p, size_t max)
{
    size_t  n;

    if (it->left == 0) {
        return 0;
    }

    while (it->pos == it->block->used) {
        it->block = it->block->next;
        it->pos = 0;
    }

    n = it->block->used - it->pos;

    if (n > it->left) {
        n = it->left;
    }

    if (n > max) {
        n = max;
    }

    *p = it->block->data + it->pos;
    it->pos += (uint32_t) n;
    it->left -= n;

    return n;
}


static char *
d4_put_number(char *p, uint64_t n)
{
    char    digits[20];
    size_t  i;

    i = sizeof(digits);

    do {
        digits[--i] = (char) ('0' + n % 10);
        n /= 10;
    } while (n != 0);

    memcpy(p, digits + i, sizeof(digits) - i);

    return p + sizeof(digits) - i;
}


static char *
d4_put_word(char *p, const char *word, const char *end)
{
    size_t  len;

    len = (size_t) (end - word);

    *p++ = '$';
    p = d4_put_number(p, len);
    p = d4_put(p, "\r\n");
    memcpy(p, word, len);

    return d4_put(p + len, "\r\n");
}


/* The next byte, or -1 at the end of the buffer. */

static int
d4_cursor_byte(d4_cursor_t *c)
{
    while (c->block != NULL && c->pos == c->block->used) {
        c->block = c->block->next;
        c->pos = 0;
    }

    return (c->block != NULL) ? c->block->data[c->pos++] : -1;
}


/* Reads a decimal and the line's end. */

static size_t
d4_cursor_number(d4_cursor_t *c)
{
    int     ch;
    size_t  n;

    n = 0;

    for (ch = d4_cursor_byte(c); ch >= '0'; ch = d4_cursor_byte(c)) {
        n = n * 10 + (size_t) (ch - '0');
    }

    d4_cursor_skip(c, 1);

    return n;
}


static void
d4_cursor_skip(d4_cursor_t *c, size_t n)
{
    size_t  here;

    while (c->block != NULL) {
        here = c->block->used - c->pos;

        if (n <= here) {
            c->pos += (uint32_t) n;
            return;
        }

        n -= here;
        c->block = c->block->next;
        c->pos = 0;
    }
}


/* Reads n bytes, or fewer at the end of the buffer. */

static size_t
d4_cursor_read(d4_cursor_t *c, char *out, size_t n)
{
    int     ch;
    size_t  i;

    for (i = 0; i < n; i++) {
        ch = d4_cursor_byte(c);

        if (ch == -1) {
            break;
        }

        out[i] = (char) ch;
    }

    return i;
}


/* Reads a whole word of fewer than D4_BATCH_WORD bytes, ended with a zero. */

static void
d4_cursor_word(d4_cursor_t *c, char *out)
{
    size_t  len, n;

    d4_cursor_skip(c, 1);                                  /* the '$' */

    len = d4_cursor_number(c);
    n = (len < D4_BATCH_WORD) ? len : D4_BATCH_WORD - 1;

    n = d4_cursor_read(c, out, n);
    out[n] = '\0';

    d4_cursor_skip(c, len - n + 2);
}


static void
d4_cursor_words(d4_cursor_t *c, size_t n)
{
    size_t  len;

    while (n--) {
        d4_cursor_skip(c, 1);
        len = d4_cursor_number(c);
        d4_cursor_skip(c, len + 2);
    }
}


/* Overwrites n bytes. */

static void
d4_cursor_write(d4_cursor_t *c, const char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n && d4_cursor_byte(c) != -1; i++) {
        c->block->data[c->pos - 1] = (uint8_t) p[i];
    }
}
