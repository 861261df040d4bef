
/*
 * Handlers "filewatcher" and "filewatcherjson": each line is a file, named by
 * what is in it.
 */


#include "d4_handler.h"
#include "d4_base64.h"
#include "../storage/d4_path.h"

#include <stdlib.h>
#include <string.h>


static d4_handler_status_t d4_handler_refuse(d4_handler_out_t *out,
    const char *reason);


/*
 * In base64.  What has no bytes is no file; a carriage return at the end is
 * the line's.
 */

d4_handler_status_t
d4_handler_watched(const d4_handler_meta_t *meta, const char *line, size_t len,
    d4_handler_out_t *out)
{
    int                   rc, gzip;
    char                  path[D4_PATH_MAX], other[D4_PATH_MAX];
    char                  sha256[D4_HANDLER_SHA256 + 1];
    size_t                n;
    uint8_t              *file;
    ptrdiff_t             size;
    const char           *uuid, *ext;
    d4_handler_object_t   o;

    if (line[len - 1] == '\r') {
        len--;
    }

    if (len % 4 != 0) {
        return d4_handler_refuse(out, "not base64");
    }

    if (len == 0) {
        return D4_HANDLER_DONE;
    }

    file = malloc(d4_base64_room(len));
    if (file == NULL) {
        return D4_HANDLER_NOMEM;
    }

    size = d4_base64_decode(file, line, len);
    if (size < 0) {
        free(file);
        return d4_handler_refuse(out, "not base64");
    }

    if (d4_handler_sha256(sha256, file, (size_t) size) != 0) {
        free(file);
        return D4_HANDLER_NOMEM;
    }

    gzip = meta->compress;
    uuid = meta->shared ? NULL : meta->uuid;
    ext = (meta->extension != NULL) ? meta->extension : "";
    n = strlen(ext);

    if (d4_path_watched(path, uuid, meta->tm, sha256, ext, n, gzip, 0) != 0
        || d4_path_watched(other, uuid, meta->tm, sha256, ext, n, gzip, 1)
           != 0)
    {
        free(file);
        return d4_handler_refuse(out, "no name for it");
    }

    memset(&o, 0, sizeof(d4_handler_object_t));

    o.path = path;
    o.other = other;
    o.data = file;
    o.len = (size_t) size;
    o.gzip = gzip;
    o.element = 1;

    rc = out->object(out->data, &o);

    free(file);

    return (rc == 0) ? D4_HANDLER_DONE : D4_HANDLER_STOPPED;
}


/* As it is; whether it is JSON is not looked at. */

d4_handler_status_t
d4_handler_watched_json(const d4_handler_meta_t *meta, const char *line,
    size_t len, d4_handler_out_t *out)
{
    char                  path[D4_PATH_MAX], other[D4_PATH_MAX];
    char                  sha256[D4_HANDLER_SHA256 + 1];
    d4_handler_object_t   o;

    if (d4_handler_sha256(sha256, line, len) != 0) {
        return D4_HANDLER_NOMEM;
    }

    if (d4_path_watched_json(path, meta->uuid, meta->tm, sha256, 0) != 0
        || d4_path_watched_json(other, meta->uuid, meta->tm, sha256, 1) != 0)
    {
        return d4_handler_refuse(out, "no name for it");
    }

    memset(&o, 0, sizeof(d4_handler_object_t));

    o.path = path;
    o.other = other;
    o.data = (const uint8_t *) line;
    o.len = len;
    o.element = 1;

    return (out->object(out->data, &o) == 0) ? D4_HANDLER_DONE
                                             : D4_HANDLER_STOPPED;
}


static d4_handler_status_t
d4_handler_refuse(d4_handler_out_t *out, const char *reason)
{
    out->reason = reason;

    return D4_HANDLER_REFUSED;
}
