
/*
 * Handler "ja3-jl": each line is a TLS session, one JSON object, of which two
 * members are looked at (passive-ssl.md section 1.1): "Timestamp" names its
 * file, and each "Raw" in the objects of the array "Certificates" is the
 * base64 of a certificate, which becomes a file named by its SHA-1.  All is
 * shared by all sensors.  Of a member that comes twice the last counts.
 */


#include "d4_handler.h"
#include "d4_base64.h"
#include "d4_jread.h"
#include "../storage/d4_path.h"

#include <stdlib.h>
#include <string.h>


#define D4_JA3_NAME  64                /* longest Timestamp that is a name */
#define D4_JA3_TAIL  16                /* digits that tell equal ones apart */


typedef struct {
    d4_jread_t  certs;                 /* before the value */
    unsigned    has_certs:1;
    char        name[D4_HANDLER_SHA256 + 1];
} d4_ja3_t;


static const char *d4_ja3_read(d4_ja3_t *j, const char *line, size_t len);
static void d4_ja3_timestamp(d4_ja3_t *j, const d4_jread_t *r);
static d4_handler_status_t d4_ja3_certs(d4_jread_t *r, char *room,
    d4_handler_out_t *out);
static int d4_ja3_raw(d4_jread_t *r, d4_jread_kind_t kind, d4_jread_t *raw);
static d4_handler_status_t d4_ja3_cert(const d4_jread_t *raw, char *room,
    d4_handler_out_t *out);
static d4_handler_status_t d4_ja3_record(d4_ja3_t *j, const char *line,
    size_t len, const char *sha256, d4_handler_out_t *out);
static void d4_ja3_skip(d4_handler_out_t *out, const char *reason);
static d4_handler_status_t d4_ja3_give(d4_handler_out_t *out,
    const d4_handler_object_t *o);


d4_handler_status_t
d4_handler_ja3(const d4_handler_meta_t *meta, const char *line, size_t len,
    d4_handler_out_t *out)
{
    char                  sha256[D4_HANDLER_SHA256 + 1], *room;
    d4_ja3_t              j;
    d4_handler_status_t   status;

    (void) meta;

    out->reason = d4_ja3_read(&j, line, len);

    if (out->reason != NULL) {
        return D4_HANDLER_REFUSED;
    }

    if (d4_handler_sha256(sha256, line, len) != 0) {
        return D4_HANDLER_NOMEM;
    }

    if (j.has_certs) {

        /* for the text of the longest certificate there may be, and its DER */

        room = malloc(len + d4_base64_room(len));
        if (room == NULL) {
            return D4_HANDLER_NOMEM;
        }

        status = d4_ja3_certs(&j.certs, room, out);

        free(room);

        if (status != D4_HANDLER_DONE) {
            return status;
        }
    }

    /* last, so that what it speaks of is there */

    return d4_ja3_record(&j, line, len, sha256, out);
}


/* Reads all of the line; what is wrong with it, or NULL. */

static const char *
d4_ja3_read(d4_ja3_t *j, const char *line, size_t len)
{
    int               timestamp;
    d4_jread_t        r;
    d4_jread_kind_t   kind;

    memset(j, 0, sizeof(d4_ja3_t));

    d4_jread_init(&r, line, len);

    kind = d4_jread_next(&r);

    if (kind != D4_JREAD_OBJECT) {
        return (kind == D4_JREAD_BAD) ? "not valid JSON" : "not a JSON object";
    }

    while ((kind = d4_jread_next(&r)) == D4_JREAD_NAME) {

        timestamp = d4_jread_is(&r, "Timestamp");

        if (d4_jread_is(&r, "Certificates")) {
            j->certs = r;
            j->has_certs = 1;
        }

        kind = d4_jread_next(&r);

        if (timestamp) {
            j->name[0] = '\0';

            if (kind == D4_JREAD_STRING) {
                d4_ja3_timestamp(j, &r);
            }
        }

        if (kind == D4_JREAD_BAD || d4_jread_skip(&r, kind) != 0) {
            return "not valid JSON";
        }
    }

    if (kind != D4_JREAD_CLOSE || d4_jread_next(&r) != D4_JREAD_END) {
        return "not valid JSON";
    }

    return NULL;
}


/* A Timestamp that can be a name as it is, which all real ones can. */

static void
d4_ja3_timestamp(d4_ja3_t *j, const d4_jread_t *r)
{
    char    text[6 * D4_JA3_NAME], clean[D4_PATH_NAME + 1];
    size_t  n;

    /* no character takes more than six to escape */

    if (r->len > sizeof(text)) {
        return;
    }

    n = d4_jread_string(r, text);

    if (n == 0 || n > D4_JA3_NAME) {
        return;
    }

    if (d4_path_clean(clean, text, n) == n && memcmp(clean, text, n) == 0) {
        memcpy(j->name, text, n);
        j->name[n] = '\0';
    }
}


static d4_handler_status_t
d4_ja3_certs(d4_jread_t *r, char *room, d4_handler_out_t *out)
{
    int                   found;
    unsigned              n;
    d4_jread_t            raw;
    d4_jread_kind_t       kind;
    d4_handler_status_t   status;

    /* valid, as all of the line */

    kind = d4_jread_next(r);

    if (kind == D4_JREAD_NULL) {
        return D4_HANDLER_DONE;
    }

    if (kind != D4_JREAD_ARRAY) {
        d4_ja3_skip(out, "certificates that are no array");
        return D4_HANDLER_DONE;
    }

    for (n = 0; (kind = d4_jread_next(r)) != D4_JREAD_CLOSE; n++) {

        found = d4_ja3_raw(r, kind, &raw);

        if (!found) {
            d4_ja3_skip(out, "a certificate without \"Raw\"");
            continue;
        }

        if (n >= D4_HANDLER_CERTS) {
            d4_ja3_skip(out, "too many certificates");
            continue;
        }

        status = d4_ja3_cert(&raw, room, out);

        if (status != D4_HANDLER_DONE) {
            return status;
        }
    }

    return D4_HANDLER_DONE;
}


/* Reads one certificate to its end; 1 when it has a string "Raw". */

static int
d4_ja3_raw(d4_jread_t *r, d4_jread_kind_t kind, d4_jread_t *raw)
{
    int  found, is_raw;

    found = 0;

    if (kind != D4_JREAD_OBJECT) {
        (void) d4_jread_skip(r, kind);
        return 0;
    }

    while (d4_jread_next(r) == D4_JREAD_NAME) {

        is_raw = d4_jread_is(r, "Raw");
        kind = d4_jread_next(r);

        if (is_raw) {
            found = (kind == D4_JREAD_STRING);
            *raw = *r;
        }

        (void) d4_jread_skip(r, kind);
    }

    return found;
}


static d4_handler_status_t
d4_ja3_cert(const d4_jread_t *raw, char *room, d4_handler_out_t *out)
{
    char                  path[D4_PATH_MAX], other[D4_PATH_MAX];
    char                  sha1[D4_HANDLER_SHA1 + 1];
    size_t                len;
    uint8_t              *der;
    ptrdiff_t             size;
    d4_handler_object_t   o;

    len = d4_jread_string(raw, room);
    der = (uint8_t *) room + len;

    size = d4_base64_decode(der, room, len);

    if (size <= 0) {
        d4_ja3_skip(out, "a certificate that is not base64");
        return D4_HANDLER_DONE;
    }

    if (d4_handler_sha1(sha1, der, (size_t) size) != 0) {
        return D4_HANDLER_NOMEM;
    }

    (void) d4_path_cert(path, sha1, 0);
    (void) d4_path_cert(other, sha1, 1);

    memset(&o, 0, sizeof(d4_handler_object_t));

    o.path = path;
    o.other = other;
    o.data = der;
    o.len = (size_t) size;

    return d4_ja3_give(out, &o);
}


static d4_handler_status_t
d4_ja3_record(d4_ja3_t *j, const char *line, size_t len, const char *sha256,
    d4_handler_out_t *out)
{
    char                  path[D4_PATH_MAX], other[D4_PATH_MAX];
    char                  name[D4_HANDLER_SHA256 + D4_JA3_TAIL + 2];
    size_t                n;
    d4_handler_object_t   o;

    n = strlen(j->name);

    if (n == 0) {
        n = D4_HANDLER_SHA256;
        memcpy(name, sha256, n);

    } else {
        memcpy(name, j->name, n);
    }

    (void) d4_path_session(path, name, n, 0);

    name[n++] = '-';
    memcpy(name + n, sha256, D4_JA3_TAIL);

    (void) d4_path_session(other, name, n + D4_JA3_TAIL, 0);

    memset(&o, 0, sizeof(d4_handler_object_t));

    o.path = path;
    o.other = other;
    o.data = (const uint8_t *) line;
    o.len = len;
    o.element = 1;

    return d4_ja3_give(out, &o);
}


static void
d4_ja3_skip(d4_handler_out_t *out, const char *reason)
{
    out->reason = reason;
    out->skipped++;
}


static d4_handler_status_t
d4_ja3_give(d4_handler_out_t *out, const d4_handler_object_t *o)
{
    return (out->object(out->data, o) == 0) ? D4_HANDLER_DONE
                                            : D4_HANDLER_STOPPED;
}
