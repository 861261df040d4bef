
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit.h"
#include "nomem.h"
#include "../../ngx_d4_module/protocol/d4_meta.h"


#define S(text)  text, sizeof(text) - 1


typedef struct {
    const char        *in;
    size_t             len;
    d4_meta_status_t   status;
    const char        *json;           /* of DONE */
} case_t;


/* The input in memory of exactly its size, so that a byte too many is seen. */

static d4_meta_status_t
add(d4_meta_t *m, const char *p, size_t len)
{
    char              *copy;
    d4_meta_status_t   status;

    copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, p, len);

    status = d4_meta_add(m, copy, len);
    assert_int_equal(m->status, status);

    free(copy);

    return status;
}


static void
ends(d4_meta_t *m, const case_t *c)
{
    assert_int_equal(m->status, c->status);

    if (c->status == D4_META_DONE) {
        assert_string_equal(d4_meta_json(m), c->json);

    } else {
        assert_null(d4_meta_json(m));
        assert_null(d4_meta_type(m));
        assert_null(d4_meta_tag(m, 0));
    }

    if (c->status != D4_META_DONE && c->status != D4_META_AGAIN) {
        assert_int_equal(m->text.pool->held, 0);
    }

    d4_meta_free(m);
    assert_int_equal(m->text.pool->held, 0);
}


/* The same answer at any split in two and byte by byte, and it stands. */

static void
check(const case_t *c)
{
    size_t             i;
    d4_meta_t          m;
    d4_pool_t          pool;
    d4_meta_status_t   status;

    d4_pool_init(&pool, 0);
    d4_meta_init(&m, &pool, 0);

    for (i = 0; i <= c->len; i++) {
        (void) add(&m, c->in, i);
        assert_int_equal(add(&m, c->in + i, c->len - i), c->status);
        ends(&m, c);
    }

    for (i = 0; i < c->len; i++) {
        (void) add(&m, c->in + i, 1);
    }

    if (c->status != D4_META_AGAIN) {
        status = add(&m, S("}}{\"type\":\"other\"}"));
        assert_int_equal(status, c->status);
    }

    ends(&m, c);

    /* and what was stored says it all again */

    if (c->status == D4_META_DONE) {
        assert_int_equal(add(&m, c->json, strlen(c->json)), D4_META_DONE);
        ends(&m, c);
    }
}


static void
test_objects(void **state)
{
    size_t  i;

    static const case_t  list[] = {
        { S("{\"type\":\"ja3-jl\"}"), D4_META_DONE, "{\"type\":\"ja3-jl\"}" },
        { S(" \t\r\n {\n \"type\" :\r\n\t\"a\" , \"b\":[ 1, true ] }\n"),
          D4_META_DONE, "{\"type\":\"a\",\"b\":[1,true]}" },
        { S("{\"type\":\"a\"}garbage\0{"), D4_META_DONE,
          "{\"type\":\"a\"}" },
        { S("{\"type\":\"a\"}{\"type\":\"b\"}"), D4_META_DONE,
          "{\"type\":\"a\"}" },

        /* in the order they came in, the last of two */
        { S("{\"z\":1,\"type\":\"a\",\"a\":2}"), D4_META_DONE,
          "{\"z\":1,\"type\":\"a\",\"a\":2}" },
        { S("{\"type\":\"a\",\"type\":\"b\"}"), D4_META_DONE,
          "{\"type\":\"b\"}" },
        { S("{\"type\":\"a\",\"type\":1}"), D4_META_TYPE, NULL },
        { S("{\"type\":\"../x\",\"type\":\"b\"}"), D4_META_DONE,
          "{\"type\":\"b\"}" },

        /* braces and quotes within strings */
        { S("{\"type\":\"a\",\"b\":\"}{][\\\"}\"}"), D4_META_DONE,
          "{\"type\":\"a\",\"b\":\"}{][\\\"}\"}" },
        { S("{\"type\":\"a\",\"b\":\"\\\\\"}"), D4_META_DONE,
          "{\"type\":\"a\",\"b\":\"\\\\\"}" },
        { S("{\"}\":{\"{\":[{}]},\"type\":\"a\"}"), D4_META_DONE,
          "{\"}\":{\"{\":[{}]},\"type\":\"a\"}" },

        /* line feeds are deleted, wherever they are */
        { S("{\"ty\npe\"\n:\n\"j\na\n3\n\"}"), D4_META_DONE,
          "{\"type\":\"ja3\"}" },
        { S("{\"type\":\"a\",\"b\":\"\\\n\"\"\n}"), D4_META_DONE,
          "{\"type\":\"a\",\"b\":\"\\\"\"}" },
        { S("{\"type\":\"a\",\"b\":1\n2}"), D4_META_DONE,
          "{\"type\":\"a\",\"b\":12}" },
        { S("\n\n\n{\"type\":\"a\"}"), D4_META_DONE, "{\"type\":\"a\"}" },

        /* escapes are undone */
        { S("{\"\\u0074ype\":\"\\u0061\",\"b\":\"\\u00e9\\/\\u0001\"}"),
          D4_META_DONE,
          "{\"type\":\"a\",\"b\":\"\xc3\xa9/\\u0001\"}" },
        { S("{\"type\":\"a\",\"b\":\"\\ud83d\\ude00\"}"), D4_META_DONE,
          "{\"type\":\"a\",\"b\":\"\xf0\x9f\x98\x80\"}" },

        /* numbers */
        { S("{\"type\":\"a\",\"b\":[0,-1,1.5,1e2,9223372036854775807]}"),
          D4_META_DONE,
          "{\"type\":\"a\",\"b\":[0,-1,1.5,100.0,9223372036854775807]}" },
        { S("{\"type\":\"a\",\"b\":9223372036854775808}"), D4_META_JSON,
          NULL },
        { S("{\"type\":\"a\",\"b\":1e999}"), D4_META_JSON, NULL },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        check(&list[i]);
    }
}


static void
test_refused(void **state)
{
    size_t  i;

    static const case_t  list[] = {
        { S(""), D4_META_AGAIN, NULL },
        { S("\n"), D4_META_AGAIN, NULL },
        { S(" \r\t"), D4_META_AGAIN, NULL },
        { S("{"), D4_META_AGAIN, NULL },
        { S("{\"type\":\"a\""), D4_META_AGAIN, NULL },
        { S("{\"type\":\"a}"), D4_META_AGAIN, NULL },
        { S("{\"type\":\"a\\\"}"), D4_META_AGAIN, NULL },

        { S("["), D4_META_OBJECT, NULL },
        { S("[{\"type\":\"a\"}]"), D4_META_OBJECT, NULL },
        { S("[\"type\"]"), D4_META_OBJECT, NULL },
        { S("\"type\""), D4_META_OBJECT, NULL },
        { S("null"), D4_META_OBJECT, NULL },
        { S("17"), D4_META_OBJECT, NULL },
        { S("}"), D4_META_OBJECT, NULL },
        { S("\0{\"type\":\"a\"}"), D4_META_OBJECT, NULL },
        { S("\v{\"type\":\"a\"}"), D4_META_OBJECT, NULL },
        { S("\xef\xbb\xbf{\"type\":\"a\"}"), D4_META_OBJECT, NULL },
        { S("\xff\xfe{"), D4_META_OBJECT, NULL },
        { S("GET / HTTP/1.1\r\n\r\n"), D4_META_OBJECT, NULL },

        { S("{}}"), D4_META_TYPE, NULL },
        { S("{\"a\":\"type\"}"), D4_META_TYPE, NULL },
        { S("{\"Type\":\"a\"}"), D4_META_TYPE, NULL },
        { S("{\"type\":1}"), D4_META_TYPE, NULL },
        { S("{\"type\":null}"), D4_META_TYPE, NULL },
        { S("{\"type\":true}"), D4_META_TYPE, NULL },
        { S("{\"type\":[\"a\"]}"), D4_META_TYPE, NULL },
        { S("{\"type\":{\"type\":\"a\"}}"), D4_META_TYPE, NULL },
        { S("{\"a\":{\"type\":\"a\"}}"), D4_META_TYPE, NULL },

        { S("{]"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\"]"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":[}}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",}"), D4_META_JSON, NULL },
        { S("{\"type\" \"a\"}"), D4_META_JSON, NULL },
        { S("{type:\"a\"}"), D4_META_JSON, NULL },
        { S("{'type':'a'}"), D4_META_JSON, NULL },
        { S("{\"type\":a}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":NaN}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":01}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\\x\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\"/**/}"), D4_META_JSON, NULL },

        /* zeros, control characters, what is not UTF-8 */
        { S("{\"type\":\"a\0b\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\"\0}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\\u0000b\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"\\u0000\":1}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\t\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\r\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\xff\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\xc3\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\xc0\xaf\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\xed\xa0\x80\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\xf4\x90\x80\x80\"}"), D4_META_JSON,
          NULL },
        { S("{\"type\":\"a\",\"b\":\"\\ud800\"}"), D4_META_JSON, NULL },
        { S("{\"type\":\"a\",\"b\":\"\\udc00\\ud800\"}"), D4_META_JSON, NULL },

        { S("{\"type\":\"\"}"), D4_META_UNSUPPORTED, NULL },
        { S("{\"type\":\"..\"}"), D4_META_UNSUPPORTED, NULL },
        { S("{\"type\":\"../../etc\"}"), D4_META_UNSUPPORTED, NULL },
        { S("{\"type\":\"a/b\"}"), D4_META_UNSUPPORTED, NULL },
        { S("{\"type\":\"a b\"}"), D4_META_UNSUPPORTED, NULL },
        { S("{\"type\":\"a\\nb\"}"), D4_META_UNSUPPORTED, NULL },
        { S("{\"type\":\"\xc3\xa9\"}"), D4_META_UNSUPPORTED, NULL },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        check(&list[i]);
    }
}


static void
test_names(void **state)
{
    int   ch, want;
    char  name[D4_META_NAME + 2];

    (void) state;

    for (ch = 0; ch < 256; ch++) {
        want = (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z')
               || (ch >= 'a' && ch <= 'z') || ch == '_' || ch == '-';

        name[0] = (char) ch;
        name[1] = 'a';
        assert_int_equal(d4_meta_name_ok(name, 1), want);
        assert_int_equal(d4_meta_name_ok(name, 2), want);

        name[0] = 'a';
        name[1] = (char) ch;
        assert_int_equal(d4_meta_name_ok(name, 2), want || ch == '.');
    }

    memset(name, 'x', sizeof(name));
    assert_int_equal(d4_meta_name_ok(name, 0), 0);
    assert_int_equal(d4_meta_name_ok(name, D4_META_NAME), 1);
    assert_int_equal(d4_meta_name_ok(name, D4_META_NAME + 1), 0);
}


static void
one(d4_meta_t *m, d4_pool_t *pool, const char *text)
{
    d4_pool_init(pool, 0);
    d4_meta_init(m, pool, 0);

    assert_int_equal(add(m, text, strlen(text)), D4_META_DONE);
}


static void
test_options(void **state)
{
    size_t     i;
    d4_meta_t  m;
    d4_pool_t  pool;

    static const struct {
        const char  *in;
        int          compress;
        int          segregate;
        const char  *extension;
        int          bad;
        const char  *encoding;
    } list[] = {
        { "{\"type\":\"a\"}", 0, 1, NULL, 0, NULL },
        { "{\"type\":\"a\",\"compress\":true,\"segregate\":false,"
          "\"extension\":\"pdf\",\"encoding\":\"utf-8\"}",
          1, 0, "pdf", 0, "utf-8" },
        { "{\"type\":\"a\",\"compress\":false,\"segregate\":true,"
          "\"extension\":\"0123456789ABCDEF\"}",
          0, 1, "0123456789ABCDEF", 0, NULL },

        /* what is no boolean is none */
        { "{\"type\":\"a\",\"compress\":1,\"segregate\":0}",
          0, 1, NULL, 0, NULL },
        { "{\"type\":\"a\",\"compress\":\"true\",\"segregate\":null}",
          0, 1, NULL, 0, NULL },

        { "{\"type\":\"a\",\"extension\":\"\"}", 0, 1, NULL, 1, NULL },
        { "{\"type\":\"a\",\"extension\":\"../x\"}", 0, 1, NULL, 1, NULL },
        { "{\"type\":\"a\",\"extension\":\"a/b\"}", 0, 1, NULL, 1, NULL },
        { "{\"type\":\"a\",\"extension\":\"a.b\"}", 0, 1, NULL, 1, NULL },
        { "{\"type\":\"a\",\"extension\":\"\xc3\xa9\"}", 0, 1, NULL, 1, NULL },
        { "{\"type\":\"a\",\"extension\":7}", 0, 1, NULL, 1, NULL },
        { "{\"type\":\"a\",\"extension\":[\"x\"]}", 0, 1, NULL, 1, NULL },
        { "{\"type\":\"a\",\"extension\":\"0123456789ABCDEFG\"}",
          0, 1, NULL, 1, NULL },

        { "{\"type\":\"a\",\"encoding\":\"a b\"}", 0, 1, NULL, 0, NULL },
        { "{\"type\":\"a\",\"encoding\":\"\"}", 0, 1, NULL, 0, NULL },
        { "{\"type\":\"a\","
          "\"encoding\":\"123456789012345678901234567890123\"}",
          0, 1, NULL, 0, NULL },
        { "{\"type\":\"a\","
          "\"encoding\":\"12345678901234567890123456789012\"}",
          0, 1, NULL, 0, "12345678901234567890123456789012" },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        one(&m, &pool, list[i].in);

        assert_string_equal(d4_meta_type(&m), "a");
        assert_int_equal(d4_meta_compress(&m), list[i].compress);
        assert_int_equal(d4_meta_segregate(&m), list[i].segregate);
        assert_int_equal(m.bad_extension, list[i].bad);

        if (list[i].extension == NULL) {
            assert_null(d4_meta_extension(&m));

        } else {
            assert_string_equal(d4_meta_extension(&m), list[i].extension);
        }

        if (list[i].encoding == NULL) {
            assert_null(d4_meta_encoding(&m));

        } else {
            assert_string_equal(d4_meta_encoding(&m), list[i].encoding);
        }

        d4_meta_free(&m);
        assert_int_equal(pool.held, 0);
        assert_null(d4_meta_json(&m));
    }
}


/* The tags, with a space between them, and how many were not taken. */

static void
tags(const char *text, const char *want, uint32_t ignored)
{
    char       got[1000];
    size_t     n;
    uint32_t   i;
    d4_meta_t  m;
    d4_pool_t  pool;

    one(&m, &pool, text);

    n = 0;
    got[0] = '\0';

    for (i = 0; d4_meta_tag(&m, i) != NULL; i++) {
        n += (size_t) snprintf(got + n, sizeof(got) - n, "%s%s",
                               i == 0 ? "" : " ", d4_meta_tag(&m, i));
        assert_in_range(n, 1, sizeof(got) - 1);
    }

    assert_int_equal(i, m.ntags);
    assert_string_equal(got, want);
    assert_int_equal(m.ignored, ignored);

    d4_meta_free(&m);
    assert_int_equal(pool.held, 0);
}


static void
test_tags(void **state)
{
    (void) state;

    tags("{\"type\":\"a\"}", "", 0);
    tags("{\"type\":\"a\",\"tags\":[]}", "", 0);
    tags("{\"type\":\"ja3-jl\",\"encoding\":\"utf-8\","
         "\"tags\":[\"tlp:white\"],"
         "\"misp:org\":\"5b642239-4db4-4580-adf4-4ebd950d210f\"}",
         "misp:org:5b642239-4db4-4580-adf4-4ebd950d210f tlp:white", 0);
    tags("{\"type\":\"a\",\"tags\":\"tlp:red\"}", "tlp:red", 0);
    tags("{\"type\":\"a\",\"tags\":[\"x\",\"y\",\"x\"]}", "x y x", 0);
    tags("{\"type\":\"a\",\"tags\":[\"\xc3\xa9\",\"\\u20ac\"]}",
         "\xc3\xa9 \xe2\x82\xac", 0);

    tags("{\"type\":\"a\",\"tags\":[1,null,\"x\",[\"y\"],{\"z\":\"z\"},\"\","
         "\"a\\nb\",\"\\u007f\",\"w\"]}", "x w", 7);
    tags("{\"type\":\"a\",\"tags\":7,\"misp:org\":7}", "", 2);
    tags("{\"type\":\"a\",\"tags\":{\"a\":\"b\"}}", "", 1);
    tags("{\"type\":\"a\",\"tags\":null,\"misp:org\":\"\"}", "", 2);
}


static void
test_tags_limit(void **state)
{
    char      *text, *p, *org;
    uint32_t   i;
    d4_meta_t  m;
    d4_pool_t  pool;

    (void) state;

    text = malloc(100000);
    assert_non_null(text);

    /* one more than there may be, with the organisation in front of them */

    p = text + sprintf(text, "{\"type\":\"a\",\"tags\":[");

    for (i = 0; i < D4_META_TAGS; i++) {
        p += sprintf(p, "%s\"t%u\"", i == 0 ? "" : ",", i);
    }

    sprintf(p, "],\"misp:org\":\"o\"}");
    one(&m, &pool, text);

    assert_int_equal(m.ntags, D4_META_TAGS);
    assert_int_equal(m.ignored, 1);
    assert_string_equal(d4_meta_tag(&m, 0), "misp:org:o");
    assert_string_equal(d4_meta_tag(&m, 1), "t0");
    assert_string_equal(d4_meta_tag(&m, D4_META_TAGS - 1), "t62");
    assert_null(d4_meta_tag(&m, D4_META_TAGS));
    d4_meta_free(&m);

    /* the longest, and a byte more */

    p = malloc(D4_META_TAG + 2);
    assert_non_null(p);
    memset(p, 'x', D4_META_TAG + 1);
    p[D4_META_TAG + 1] = '\0';

    sprintf(text, "{\"type\":\"a\",\"tags\":[\"%s\",\"%s\"]}", p, p + 1);
    one(&m, &pool, text);
    assert_int_equal(m.ntags, 1);
    assert_int_equal(m.ignored, 1);
    assert_string_equal(d4_meta_tag(&m, 0), p + 1);
    d4_meta_free(&m);

    org = p + 1 + sizeof("misp:org:") - 1;

    sprintf(text, "{\"type\":\"a\",\"misp:org\":\"%s\"}", org);
    one(&m, &pool, text);
    assert_int_equal(m.ntags, 1);
    assert_int_equal(strlen(d4_meta_tag(&m, 0)), D4_META_TAG);
    d4_meta_free(&m);

    sprintf(text, "{\"type\":\"a\",\"misp:org\":\"%s\"}", org - 1);
    one(&m, &pool, text);
    assert_int_equal(m.ntags, 0);
    assert_int_equal(m.ignored, 1);
    d4_meta_free(&m);

    free(p);
    free(text);
    assert_int_equal(pool.held, 0);
}


/* An object of n bytes: exactly max may be sent. */

static void
size(size_t max, size_t n, size_t piece, const char *fill,
    d4_meta_status_t want)
{
    char              *text;
    size_t             i, from;
    d4_meta_t          m;
    d4_pool_t          pool;
    d4_meta_status_t   status;

    static const char  head[] = "{\"type\":\"a\",\"b\":\"";

    text = malloc(n);
    assert_non_null(text);

    memcpy(text, head, sizeof(head) - 1);

    for (i = sizeof(head) - 1; i < n - 2; i++) {
        text[i] = fill[i % strlen(fill)];
    }

    memcpy(text + n - 2, "\"}", 2);

    d4_pool_init(&pool, 0);
    d4_meta_init(&m, &pool, max);
    status = D4_META_AGAIN;

    for (from = 0; from < n; from += piece) {
        assert_in_range(pool.held, 0, 2 * (max ? max : D4_META_MAX) + 256);
        status = add(&m, text + from, n - from < piece ? n - from : piece);
    }

    assert_int_equal(status, want);

    if (want != D4_META_DONE) {
        assert_int_equal(pool.held, 0);
    }

    d4_meta_free(&m);
    assert_int_equal(pool.held, 0);
    free(text);
}


static void
test_large(void **state)
{
    size_t  i;

    static const size_t  pieces[] = { 1, 17, 65536, 10000000 };

    (void) state;

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        size(0, D4_META_MAX, pieces[i], "x", D4_META_DONE);
        size(0, D4_META_MAX + 1, pieces[i], "x", D4_META_LARGE);
        size(100, 100, pieces[i], "x", D4_META_DONE);
        size(100, 101, pieces[i], "x", D4_META_LARGE);
        size(100, 1000000, pieces[i], "{[x", D4_META_LARGE);

        /* what is deleted counts, too */

        size(100, 100, pieces[i], "\n", D4_META_DONE);
        size(100, 101, pieces[i], "\n", D4_META_LARGE);
    }
}


/* What is not whole with max bytes will not be. */

static void
test_full(void **state)
{
    d4_meta_t  m;
    d4_pool_t  pool;

    (void) state;

    d4_pool_init(&pool, 0);
    d4_meta_init(&m, &pool, 20);

    assert_int_equal(add(&m, S("{\"type\":\"a\"\n\n\n\n\n\n\n\n")),
                     D4_META_AGAIN);
    assert_int_equal(add(&m, S(" ")), D4_META_LARGE);
    d4_meta_free(&m);

    assert_int_equal(add(&m, S("{\"type\":\"a\"        }")), D4_META_DONE);
    d4_meta_free(&m);
    assert_int_equal(pool.held, 0);
}


/* Numbers that take more bytes than they came in. */

static void
test_grows(void **state)
{
    char      *text;
    size_t     n, i;
    d4_meta_t  m;
    d4_pool_t  pool;

    (void) state;

    text = malloc(1000);
    assert_non_null(text);

    n = (size_t) sprintf(text, "{\"type\":\"a\",\"b\":[");

    for (i = 0; i < 100; i++) {
        n += (size_t) sprintf(text + n, "1e9,");
    }

    n += (size_t) sprintf(text + n, "1]}");

    d4_pool_init(&pool, 0);
    d4_meta_init(&m, &pool, 1000);
    assert_int_equal(add(&m, text, n), D4_META_LARGE);
    assert_int_equal(pool.held, 0);

    d4_meta_free(&m);
    d4_meta_init(&m, &pool, 2000);
    assert_int_equal(add(&m, text, n), D4_META_DONE);
    assert_int_equal(strlen(d4_meta_json(&m)), n + 100 * 9);

    d4_meta_free(&m);
    free(text);
}


static void
test_deep(void **state)
{
    char              *text;
    size_t             n, i, depth;
    d4_meta_t          m;
    d4_pool_t          pool;
    d4_meta_status_t   want;

    (void) state;

    text = malloc(100000);
    assert_non_null(text);
    d4_pool_init(&pool, 0);

    for (depth = D4_META_DEPTH - 2; depth < D4_META_DEPTH + 3; depth++) {
        n = (size_t) sprintf(text, "{\"type\":\"a\",\"b\":");

        for (i = 1; i < depth; i++) {
            n += (size_t) sprintf(text + n, i % 2 ? "[" : "{\"c\":");
        }

        n += (size_t) sprintf(text + n, "1");

        for (i = depth - 1; i >= 1; i--) {
            n += (size_t) sprintf(text + n, i % 2 ? "]" : "}");
        }

        n += (size_t) sprintf(text + n, "}");

        want = (depth <= D4_META_DEPTH) ? D4_META_DONE : D4_META_DEEP;

        d4_meta_init(&m, &pool, 0);
        assert_int_equal(add(&m, text, n), want);
        d4_meta_free(&m);
    }

    memset(text, '{', 100000);
    assert_int_equal(add(&m, text, 100000), D4_META_DEEP);
    assert_int_equal(pool.held, 0);
    d4_meta_free(&m);

    /* many in a row do not nest */

    n = (size_t) sprintf(text, "{\"type\":\"a\",\"b\":[");

    for (i = 0; i < 30000; i++) {
        n += (size_t) sprintf(text + n, "{},");
    }

    n += (size_t) sprintf(text + n, "{}]}");
    assert_int_equal(add(&m, text, n), D4_META_DONE);
    assert_int_equal(strlen(d4_meta_json(&m)), n);
    d4_meta_free(&m);
    assert_int_equal(pool.held, 0);

    free(text);
}


/* A megabyte of anything is refused without being kept. */

static void
test_garbage(void **state)
{
    char              *text;
    size_t             i, n;
    unsigned           round, seed;
    d4_meta_t          m;
    d4_pool_t          pool;
    d4_meta_status_t   status;

    (void) state;

    n = 1024 * 1024;
    text = malloc(n);
    assert_non_null(text);
    d4_pool_init(&pool, 0);
    seed = 3;

    for (round = 0; round < 20; round++) {
        for (i = 0; i < n; i++) {
            seed = seed * 1103515245 + 12345;
            text[i] = (char) (seed >> 16);
        }

        if (round % 2) {
            text[0] = '{';
        }

        d4_meta_init(&m, &pool, 0);
        status = D4_META_AGAIN;

        for (i = 0; i < n; i += 4096) {
            status = d4_meta_add(&m, text + i, 4096);
        }

        assert_int_not_equal(status, D4_META_AGAIN);
        assert_int_not_equal(status, D4_META_DONE);
        assert_int_not_equal(status, D4_META_NOMEM);
        assert_int_equal(pool.held, 0);
        d4_meta_free(&m);
    }

    free(text);
}


static void
test_texts(void **state)
{
    int  i, j;

    (void) state;

    for (i = D4_META_AGAIN; i <= D4_META_UNSUPPORTED; i++) {
        for (j = D4_META_AGAIN; j < i; j++) {
            assert_string_not_equal(d4_meta_text(i), d4_meta_text(j));
        }
    }
}


/* Without memory nothing is taken; the same call later succeeds. */

static void
test_nomem(void **state)
{
    char              *text;
    size_t             n, len;
    d4_meta_t          m;
    d4_pool_t          pool;
    d4_meta_status_t   rc[3];

    (void) state;

    if (!NOMEM_POSSIBLE) {
        skip();
    }

    n = 8 * 1024 * 1024;
    text = malloc(n);
    assert_non_null(text);

    /* a string, of which jansson would keep as much as it can */

    len = (size_t) sprintf(text, "{\"type\":\"a\",\"b\":\"");
    memset(text + len, 'x', n - len);
    memcpy(text + n - 2, "\"}", 2);

    d4_pool_init(&pool, 0);
    d4_meta_init(&m, &pool, n);
    assert_int_equal(d4_meta_add(&m, text, len), D4_META_AGAIN);

    /* no memory to keep what comes */

    nomem(1);
    rc[0] = d4_meta_add(&m, text + len, n - len);
    rc[1] = d4_meta_add(&m, text + len, n - len - 1);
    nomem(0);

    assert_int_equal(rc[0], D4_META_NOMEM);
    assert_int_equal(rc[1], D4_META_NOMEM);
    assert_int_equal(m.status, D4_META_AGAIN);
    assert_int_equal(m.text.len, len);

    /* none to parse it: all is there but the last byte */

    assert_int_equal(d4_meta_add(&m, text + len, n - len - 1),
                     D4_META_AGAIN);

    nomem(1);
    rc[2] = d4_meta_add(&m, text + n - 1, 1);
    nomem(0);

    assert_int_equal(rc[2], D4_META_NOMEM);
    assert_int_equal(m.status, D4_META_AGAIN);
    assert_int_equal(m.text.len, n - 1);

    /* with it */

    assert_int_equal(d4_meta_add(&m, text + n - 1, 1), D4_META_DONE);
    assert_int_equal(strlen(d4_meta_json(&m)), n);
    assert_memory_equal(d4_meta_json(&m), text, n);

    d4_meta_free(&m);
    assert_int_equal(pool.held, 0);
    free(text);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_tags_limit),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
