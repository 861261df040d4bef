
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "unit.h"
#include "../../ngx_d4_module/protocol/d4_base64.h"
#include "../../ngx_d4_module/protocol/d4_handler.h"


#define UUID  "0123456789ab4def8123456789abcdef"
#define DAY   UUID "/254/2024/03/05/"


typedef struct {
    char      path[512];
    char      other[512];
    uint8_t  *data;
    size_t    len;
    unsigned  gzip;
    unsigned  element;
} object_t;


static object_t   objects[300];
static size_t     nobjects;
static size_t     stop_at;                 /* 0: never */

static struct tm  day = { .tm_year = 124, .tm_mon = 2, .tm_mday = 5 };


static int
take(void *data, const d4_handler_object_t *o)
{
    object_t  *to;

    assert_ptr_equal(data, objects);
    assert_true(nobjects < sizeof(objects) / sizeof(objects[0]));
    assert_string_not_equal(o->path, o->other);

    to = &objects[nobjects++];
    to->data = malloc(o->len + 1);
    assert_non_null(to->data);

    snprintf(to->path, sizeof(to->path), "%s", o->path);
    snprintf(to->other, sizeof(to->other), "%s", o->other);
    memcpy(to->data, o->data, o->len);
    to->len = o->len;
    to->gzip = o->gzip;
    to->element = o->element;

    return nobjects == stop_at;
}


/* The objects of a line that has memory of its own. */

static d4_handler_status_t
run(const char *type, const d4_handler_meta_t *meta, const void *line,
    size_t len, d4_handler_out_t *out)
{
    char                 *copy;
    d4_handler_status_t   status;

    while (nobjects != 0) {
        free(objects[--nobjects].data);
    }

    copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, line, len);

    memset(out, 'x', sizeof(d4_handler_out_t));
    out->object = take;
    out->data = objects;

    status = d4_handler_line(d4_handler_find(type), meta, copy, len, out);

    free(copy);

    assert_true(nobjects == 0 || status != D4_HANDLER_REFUSED);
    assert_true((status == D4_HANDLER_REFUSED || out->skipped != 0)
                == (out->reason != NULL));

    return status;
}


static d4_handler_status_t
ja3(const char *line, d4_handler_out_t *out)
{
    d4_handler_meta_t  meta = { .uuid = UUID, .tm = &day };

    return run("ja3-jl", &meta, line, strlen(line), out);
}


static const char *
sha256(const void *p, size_t len)
{
    int                   i;
    unsigned char         digest[SHA256_DIGEST_LENGTH];

    static char           hex[2 * SHA256_DIGEST_LENGTH + 1];

    SHA256(p, len, digest);

    for (i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }

    return hex;
}


static void
test_table(void **state)
{
    size_t               i;
    const d4_handler_t  *h;

    static const struct {
        const char  *type;
        unsigned     disk, lines, objects;
        size_t       max;
    } want[] = {
        { "", 1, 1, 0, 1024 * 1024 },
        { "sysmon", 1, 1, 0, 1024 * 1024 },
        { "d4-telemetry", 1, 1, 0, 1024 * 1024 },
        { "fascia", 1, 1, 0, 1024 * 1024 },
        { "maltrail", 0, 1, 0, 1024 * 1024 },
        { "ja3-jl", 0, 0, 1, 16 * 1024 * 1024 },
        { "filewatcher", 0, 0, 1, 16 * 1024 * 1024 },
        { "filewatcherjson", 0, 0, 1, 16 * 1024 * 1024 },
        { "ja3-jl2", 1, 1, 0, 1024 * 1024 },
        { "JA3-JL", 1, 1, 0, 1024 * 1024 },
    };

    (void) state;

    for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        h = d4_handler_find(want[i].type);

        assert_int_equal(h->disk, want[i].disk);
        assert_int_equal(h->lines, want[i].lines);
        assert_int_equal(h->objects, want[i].objects);
        assert_int_equal(h->max, want[i].max);
        assert_true(h->objects == (h->line != NULL));
    }

    assert_string_equal(d4_handler_find("sysmon")->name, "");
    assert_string_equal(d4_handler_find("fascia")->name, "fascia");
}


static void
test_base64(void **state)
{
    size_t          i, n;
    uint8_t         out[16];
    char            text[EVP_ENCODE_LENGTH(256)];
    unsigned char   all[256], back[d4_base64_room(sizeof(text))];

    static const struct {
        const char  *text;
        const char  *bytes;            /* RFC 4648 section 10 */
    } good[] = {
        { "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm9v", "foo" },
        { "Zm9vYg==", "foob" }, { "Zm9vYmE=", "fooba" },
        { "Zm9vYmFy", "foobar" }, { "+/+/", "\xfb\xff\xbf" },
    };

    static const char *const  bad[] = {
        "Z", "Zg", "Zg=", "Zm9vYg", "Zm9 ", " Zm9v", "Zm9v ", "Zm9v\n",
        "Zm\n9", "=Zg=", "Z===", "====", "Zg==Zg==", "Zm8=Zm8=", "Zm9-",
        "Zm9_", "Zm9v\r\n\r\n", "Zm9\x80", "Zg=A", "Zm9v===="
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        n = strlen(good[i].bytes);
        assert_int_equal(d4_base64_decode(out, good[i].text,
                                          strlen(good[i].text)), n);
        assert_memory_equal(out, good[i].bytes, n);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(d4_base64_decode(out, bad[i], strlen(bad[i])), -1);
    }

    for (i = 0; i < sizeof(all); i++) {
        all[i] = (unsigned char) i;
    }

    for (n = 1; n <= sizeof(all); n++) {
        i = EVP_EncodeBlock((unsigned char *) text, all, (int) n);
        assert_int_equal(d4_base64_decode(back, text, i), n);
        assert_memory_equal(back, all, n);
    }
}


/*
 * A record as the sensor writes it, with a real certificate: an RSA modulus of
 * 2048 bits as a number of 617 digits, escapes of <, > and &.
 */

static char *
real_record(X509 *cert, const char *timestamp, unsigned char **der, int *size)
{
    char          *line, *raw;
    BIGNUM        *n;
    EVP_PKEY      *key;
    unsigned char *p;

    key = X509_get_pubkey(cert);
    n = NULL;
    assert_true(EVP_PKEY_get_bn_param(key, "n", &n) == 1);

    *size = i2d_X509(cert, NULL);
    *der = p = malloc(*size);
    assert_non_null(p);
    i2d_X509(cert, &p);

    raw = malloc(EVP_ENCODE_LENGTH(*size));
    line = malloc(EVP_ENCODE_LENGTH(*size) + 4096);
    assert_true(raw != NULL && line != NULL);
    EVP_EncodeBlock((unsigned char *) raw, *der, *size);

    p = (unsigned char *) BN_bn2dec(n);
    assert_true(strlen((char *) p) >= 616);

    sprintf(line, "{\"ServerIP\":\"192.0.2.80\",\"ServerPort\":\"443\","
            "\"TLSH\":\"\",\"Timestamp\":\"%s\",\"JA3\":\"771,\\u003c\","
            "\"Certificates\":[{\"CertHash\":\"x\",\"Raw\":\"%s\","
            "\"RawSubject\":\"MAA=\",\"PublicKey\":{\"N\":%s,\"E\":65537},"
            "\"SerialNumber\":1461501637330902918203684832716283019655932,"
            "\"Extensions\":[{\"Id\":[2,5,29,17],\"Raw\":\"inner\"}],"
            "\"Subject\":{\"Raw\":\"another\",\"Country\":null}}]}",
            timestamp, raw, (char *) p);

    OPENSSL_free(p);
    BN_free(n);
    EVP_PKEY_free(key);
    free(raw);

    return line;
}


static X509 *
certificate(void)
{
    X509      *cert;
    EVP_PKEY  *key;

    cert = X509_new();
    key = EVP_RSA_gen(2048);
    assert_true(cert != NULL && key != NULL);

    ASN1_INTEGER_set(X509_get_serialNumber(cert), 42);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);

    EVP_PKEY_free(key);

    return cert;
}


static void
test_ja3_real(void **state)
{
    int               i, size;
    char             *line, *copy, path[512], hex[41];
    X509             *cert;
    unsigned          n;
    unsigned char    *der, digest[EVP_MAX_MD_SIZE];
    d4_handler_out_t  out;

    static const char *const  timestamps[] = {
        "2024-03-05T09:15:02.118734Z", "2024-03-05T09:15:02+02:00"
    };

    (void) state;

    cert = certificate();

    for (i = 0; i < 2; i++) {
        line = real_record(cert, timestamps[i], &der, &size);

        assert_int_equal(ja3(line, &out), D4_HANDLER_DONE);
        assert_int_equal(out.skipped, 0);
        assert_int_equal(nobjects, 2);

        /* the fingerprint that X.509 tools show is the name */

        assert_true(X509_digest(cert, EVP_sha1(), digest, &n) == 1);
        assert_int_equal(n, 20);

        for (n = 0; n < 20; n++) {
            snprintf(hex + 2 * n, 3, "%02x", digest[n]);
        }

        snprintf(path, sizeof(path), "datas/ja3-jl/certs/%s.crt", hex);
        assert_string_equal(objects[0].path, path);
        assert_int_equal(objects[0].len, size);
        assert_memory_equal(objects[0].data, der, size);
        assert_false(objects[0].element || objects[0].gzip);

        snprintf(path, sizeof(path), "datas/ja3-jl/jsons/%s.json",
                 timestamps[i]);
        assert_string_equal(objects[1].path, path);
        assert_int_equal(objects[1].len, strlen(line));
        assert_memory_equal(objects[1].data, line, strlen(line));
        assert_true(objects[1].element && !objects[1].gzip);

        snprintf(path, sizeof(path), "datas/ja3-jl/jsons/%s-%.16s.json",
                 timestamps[i], sha256(line, strlen(line)));
        assert_string_equal(objects[1].other, path);

        /* the same again gives the same */

        copy = strdup(objects[1].other);
        assert_int_equal(ja3(line, &out), D4_HANDLER_DONE);
        assert_int_equal(nobjects, 2);
        assert_string_equal(objects[1].other, copy);

        free(copy);
        free(line);
        free(der);
    }

    X509_free(cert);
}


static void
test_ja3_names(void **state)
{
    size_t             i;
    char               line[512], path[512];
    d4_handler_out_t   out;

    /* as JSON, and the name it gives; NULL: the digest */

    static const struct {
        const char  *value;
        const char  *name;
    } names[] = {
        { "\"2024-03-05T09:15:02Z\"", "2024-03-05T09:15:02Z" },
        { "\"2024-03-05T09:15:02\\u002b02:00\"", "2024-03-05T09:15:02+02:00" },
        { "\"x\"", "x" },
        { "\"a.b\"", "a.b" },
        { "\"\"", NULL },
        { "\".\"", NULL },
        { "\"..\"", NULL },
        { "\".hidden\"", NULL },
        { "\"../../../../etc/passwd\"", NULL },
        { "\"a/b\"", NULL },
        { "\"a\\/b\"", NULL },
        { "\"a\\u002fb\"", NULL },
        { "\"\\u002e\\u002e\"", NULL },
        { "\"a\\u0000\"", NULL },
        { "\"a b\"", NULL },
        { "\"a\\nb\"", NULL },
        { "\"caf\xc3\xa9\"", NULL },
        { "1709630102", NULL },
        { "null", NULL },
        { "{\"a\":[]}", NULL },
        { "\"0123456789012345678901234567890123456789012345678901234567890123"
          "\"",
          "0123456789012345678901234567890123456789012345678901234567890123" },
        { "\"01234567890123456789012345678901234567890123456789012345678901234"
          "\"", NULL },
        { "\"x\",\"Timestamp\":\"last\"", "last" },
        { "\"x\",\"Timestamp\":7", NULL },
        { "7,\"Timestamp\":\"x\"", "x" },
        { "\"x\",\"timestamp\":\"other\"", "x" },
        { "\"x\",\"a\":{\"Timestamp\":\"inner\"}", "x" },
    };

    (void) state;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(line, sizeof(line), "{\"Timestamp\":%s}", names[i].value);

        assert_int_equal(ja3(line, &out), D4_HANDLER_DONE);
        assert_int_equal(nobjects, 1);

        snprintf(path, sizeof(path), "datas/ja3-jl/jsons/%s.json",
                 names[i].name ? names[i].name : sha256(line, strlen(line)));
        assert_string_equal(objects[0].path, path);

        path[strlen(path) - 5] = '\0';
        snprintf(path + strlen(path), 64, "-%.16s.json",
                 sha256(line, strlen(line)));
        assert_string_equal(objects[0].other, path);
    }

    assert_int_equal(ja3("{}", &out), D4_HANDLER_DONE);
    assert_int_equal(nobjects, 1);
    snprintf(path, sizeof(path), "datas/ja3-jl/jsons/%s.json",
             sha256("{}", 2));
    assert_string_equal(objects[0].path, path);
}


static void
test_ja3_certs(void **state)
{
    size_t             i;
    char               line[8192];
    d4_handler_out_t   out;

    /* how many files of certificates, how many that gave none */

    static const struct {
        const char  *value;
        size_t       files;
        unsigned     skipped;
    } certs[] = {
        { "null", 0, 0 },
        { "[]", 0, 0 },
        { "{}", 0, 1 },
        { "\"MAA=\"", 0, 1 },
        { "5", 0, 1 },
        { "[null]", 0, 1 },
        { "[[],{},\"MAA=\",1]", 0, 4 },
        { "[{\"Raw\":null}]", 0, 1 },
        { "[{\"Raw\":\"\"}]", 0, 1 },
        { "[{\"Raw\":\"MAA\"}]", 0, 1 },
        { "[{\"Raw\":\"MA A=\"}]", 0, 1 },
        { "[{\"Raw\":{\"Raw\":\"MAA=\"}}]", 0, 1 },
        { "[{\"Raw\":\"MAA=\"}]", 1, 0 },
        { "[{\"raw\":\"x\",\"Raw\":\"MAA=\"},{\"Raw\":\"MAE=\"}]", 2, 0 },
        { "[{\"Raw\":\"?\"},{\"Raw\":\"MAE=\"},7]", 1, 2 },
        { "[{\"Raw\":\"?\",\"Raw\":\"MAE=\"}]", 1, 0 },
        { "[{\"Raw\":\"MAE=\",\"Raw\":0}]", 0, 1 },
        { "[{\"\\u0052aw\":\"\\u004dAE=\"}]", 1, 0 },
        { "[{\"Raw\":\"MA\\/=\"}]", 1, 0 },
        { "[{\"Raw\":\"MAA=\"}],\"Certificates\":null", 0, 0 },
        { "null,\"Certificates\":[{\"Raw\":\"MAA=\"}]", 1, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(certs) / sizeof(certs[0]); i++) {
        snprintf(line, sizeof(line), "{\"Timestamp\":\"t\","
                 "\"Certificates\":%s}", certs[i].value);

        assert_int_equal(ja3(line, &out), D4_HANDLER_DONE);
        assert_int_equal(nobjects, certs[i].files + 1);
        assert_int_equal(out.skipped, certs[i].skipped);
        assert_true(objects[nobjects - 1].element);

        if (certs[i].files) {
            assert_true(objects[0].len == 2 && objects[0].data[0] == 0x30);
        }
    }

    /* sha1sum of 30 00 */

    assert_int_equal(ja3("{\"Certificates\":[{\"Raw\":\"MAA=\"}]}", &out),
                     D4_HANDLER_DONE);
    assert_string_equal(objects[0].path, "datas/ja3-jl/certs/"
                        "f944dcd635f9801f7ac90a407fbc479964dec024.crt");
    assert_string_equal(objects[0].other, "datas/ja3-jl/certs/"
                        "f944dcd635f9801f7ac90a407fbc479964dec024-1.crt");

    /* as many as there may be, and one more */

    strcpy(line, "{\"Certificates\":[");

    for (i = 0; i <= D4_HANDLER_CERTS; i++) {
        strcat(line, i ? ",{\"Raw\":\"MAA=\"}" : "{\"Raw\":\"MAA=\"}");
    }

    strcat(line, "]}");
    assert_int_equal(ja3(line, &out), D4_HANDLER_DONE);
    assert_int_equal(nobjects, D4_HANDLER_CERTS + 1);
    assert_int_equal(out.skipped, 1);
    assert_string_equal(out.reason, "too many certificates");
}


static void
test_ja3_refused(void **state)
{
    size_t             i;
    d4_handler_meta_t  meta = { .uuid = UUID, .tm = &day };
    d4_handler_out_t   out;

    static const char *const  bad[] = {
        "x", "{", "{}}", "{\"Certificates\":[{\"Raw\":\"MAA=\"}]",
        "{\"Timestamp\":\"t\",}", "{\"a\":\"\xff\"}", "{\"Certificates\":[{]}",
        "{\"Timestamp\":\"\\x\"}", " "
    };

    static const char *const  other[] = { "[]", "1", "null", "\"{}\"" };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(ja3(bad[i], &out), D4_HANDLER_REFUSED);
        assert_string_equal(out.reason, "not valid JSON");
        assert_int_equal(nobjects, 0);
    }

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        assert_int_equal(ja3(other[i], &out), D4_HANDLER_REFUSED);
        assert_string_equal(out.reason, "not a JSON object");
    }

    assert_int_equal(run("ja3-jl", &meta, "{\"a\":\"\0\"}", 9, &out),
                     D4_HANDLER_REFUSED);

    /* no line, nothing of it */

    assert_int_equal(ja3("", &out), D4_HANDLER_DONE);
    assert_int_equal(nobjects, 0);
    assert_int_equal(ja3("{}\r", &out), D4_HANDLER_DONE);
    assert_int_equal(nobjects, 1);
    assert_int_equal(objects[0].len, 3);
}


static void
test_stopped(void **state)
{
    d4_handler_meta_t  meta = { .uuid = UUID, .tm = &day };
    d4_handler_out_t   out;

    static const char  line[] = "{\"Certificates\":[{\"Raw\":\"MAA=\"},"
                                "{\"Raw\":\"MAE=\"}]}";

    (void) state;

    for (stop_at = 1; stop_at <= 3; stop_at++) {
        assert_int_equal(ja3(line, &out), D4_HANDLER_STOPPED);
        assert_int_equal(nobjects, stop_at);
    }

    stop_at = 1;
    assert_int_equal(run("filewatcher", &meta, "MAA=", 4, &out),
                     D4_HANDLER_STOPPED);
    assert_int_equal(run("filewatcherjson", &meta, "{}", 2, &out),
                     D4_HANDLER_STOPPED);
    stop_at = 0;
}


static void
test_filewatcher(void **state)
{
    size_t             i;
    char               path[512];
    d4_handler_meta_t  meta = { .uuid = UUID, .tm = &day };
    d4_handler_out_t   out;

    static const char *const  bad[] = {
        "Zm9vYmF", "Zm9v Zm9", "hello, world", "\r\r", "Zm9v\r\r", "====",
        "Zm9vYmFy\rx"
    };

    /* sha256sum of "foobar" */

    static const char  sum[] = "c3ab8ff13720e8ad9047dd39466b3c89"
                               "74e592c2fa383d4a3960714caef0c4f2";

    static const struct {
        const char  *extension;
        unsigned     compress, shared;
        const char  *before, *after, *after_other;
    } want[] = {
        { NULL, 0, 0, DAY "filewatcher/files/", ".", "-1." },
        { "", 0, 0, DAY "filewatcher/files/", ".", "-1." },
        { "log", 0, 0, DAY "filewatcher/files/", ".log", "-1.log" },
        { "log", 1, 0, DAY "filewatcher/files/", ".log.gz", "-1.log.gz" },
        { "log", 0, 1, "datas/filewatcher/files/", ".log", "-1.log" },
        { NULL, 1, 1, "datas/filewatcher/files/", "..gz", "-1..gz" },
        { "../x", 0, 1, "datas/filewatcher/files/", "._._x", "-1._._x" },
    };

    (void) state;

    for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        meta.extension = want[i].extension;
        meta.compress = want[i].compress;
        meta.shared = want[i].shared;

        assert_int_equal(run("filewatcher", &meta, "Zm9vYmFy", 8, &out),
                         D4_HANDLER_DONE);
        assert_int_equal(nobjects, 1);
        snprintf(path, sizeof(path), "%s%s%s", want[i].before, sum,
                 want[i].after);
        assert_string_equal(objects[0].path, path);
        snprintf(path, sizeof(path), "%s%s%s", want[i].before, sum,
                 want[i].after_other);
        assert_string_equal(objects[0].other, path);
        assert_int_equal(objects[0].len, 6);
        assert_memory_equal(objects[0].data, "foobar", 6);
        assert_int_equal(objects[0].gzip, want[i].compress);
        assert_true(objects[0].element);
    }

    /* ended as other systems do */

    assert_int_equal(run("filewatcher", &meta, "Zm9vYmFy\r", 9, &out),
                     D4_HANDLER_DONE);
    assert_int_equal(objects[0].len, 6);
    assert_int_equal(run("filewatcher", &meta, "\r", 1, &out),
                     D4_HANDLER_DONE);
    assert_int_equal(nobjects, 0);
    assert_int_equal(run("filewatcher", &meta, "", 0, &out), D4_HANDLER_DONE);
    assert_int_equal(nobjects, 0);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(run("filewatcher", &meta, bad[i], strlen(bad[i]),
                             &out), D4_HANDLER_REFUSED);
        assert_string_equal(out.reason, "not base64");
        assert_int_equal(nobjects, 0);
    }

    /* what is no uuid names no directory, unless none is needed */

    meta.uuid = "../../../../tmp/0123456789abcdef";
    assert_int_equal(run("filewatcher", &meta, "Zm9vYmFy", 8, &out),
                     D4_HANDLER_DONE);
    meta.shared = 0;
    assert_int_equal(run("filewatcher", &meta, "Zm9vYmFy", 8, &out),
                     D4_HANDLER_REFUSED);
    assert_int_equal(run("filewatcherjson", &meta, "{}", 2, &out),
                     D4_HANDLER_REFUSED);
}


static void
test_large(void **state)
{
    size_t             i, len;
    char              *text;
    uint8_t           *file;
    d4_handler_meta_t  meta = { .uuid = UUID, .tm = &day, .shared = 1 };
    d4_handler_out_t   out;

    (void) state;

    /* the longest line there is */

    len = d4_base64_room(d4_handler_find("filewatcher")->max);
    file = malloc(len);
    text = malloc(len / 3 * 4 + 1);
    assert_true(file != NULL && text != NULL);

    for (i = 0; i < len; i++) {
        file[i] = (uint8_t) (i * 31 + i / 256);
    }

    i = EVP_EncodeBlock((unsigned char *) text, file, (int) len);
    assert_int_equal(i, d4_handler_find("filewatcher")->max);
    assert_int_equal(run("filewatcher", &meta, text, i, &out),
                     D4_HANDLER_DONE);
    assert_int_equal(objects[0].len, len);
    assert_memory_equal(objects[0].data, file, len);

    free(file);
    free(text);
}


static void
test_filewatcherjson(void **state)
{
    size_t             i, len;
    char               path[512];
    d4_handler_meta_t  meta = { .uuid = UUID, .tm = &day, .extension = "x",
                                .compress = 1, .shared = 1 };
    d4_handler_out_t   out;

    static const char *const  lines[] = {
        "{\"a\":1}", "not json", "{}\r", "\xff", " "
    };

    (void) state;

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        len = strlen(lines[i]);

        assert_int_equal(run("filewatcherjson", &meta, lines[i], len, &out),
                         D4_HANDLER_DONE);
        assert_int_equal(nobjects, 1);
        snprintf(path, sizeof(path), DAY "filewatcherjson/files/%s.json",
                 sha256(lines[i], len));
        assert_string_equal(objects[0].path, path);
        snprintf(path, sizeof(path), DAY "filewatcherjson/files/%s-1.json",
                 sha256(lines[i], len));
        assert_string_equal(objects[0].other, path);
        assert_int_equal(objects[0].len, len);
        assert_memory_equal(objects[0].data, lines[i], len);
        assert_true(objects[0].element && !objects[0].gzip);
    }
}


static void
test_lines(void **state)
{
    d4_handler_meta_t  meta = { .uuid = UUID, .tm = &day };
    d4_handler_out_t   out;

    (void) state;

    assert_int_equal(run("maltrail", &meta, "a line", 6, &out),
                     D4_HANDLER_DONE);
    assert_int_equal(nobjects, 0);
    assert_int_equal(run("anything", &meta, "a line", 6, &out),
                     D4_HANDLER_DONE);
    assert_int_equal(nobjects, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_ja3_real),
        cmocka_unit_test(test_ja3_names),
        cmocka_unit_test(test_ja3_certs),
        cmocka_unit_test(test_ja3_refused),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_filewatcher),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_filewatcherjson),
        cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
