
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <openssl/crypto.h>
#include <uuid/uuid.h>

#include "d4_uuid.h"

#include "d4_config.h"
#include "d4_json.h"
#include "d4_log.h"


#define D4_KEY_MAX     100
#define D4_META_MAX    100000
#define D4_VALUE_MAX   4096

#define D4_MISSING     -1              /* and an empty file */
#define D4_WRONG       -2


static int d4_config_uuid(d4_config_t *c);
static int d4_config_new_uuid(d4_config_t *c, const char *path);
static int d4_config_key(d4_config_t *c);
static int d4_config_numbers(d4_config_t *c);
static int d4_config_meta(d4_config_t *c);
static int d4_config_source(d4_config_t *c);
static int d4_config_dest(d4_config_t *c);
static int d4_config_dest_parse(d4_config_t *c, const char *text);
static int d4_config_host_port(d4_config_t *c, const char *text);
static int d4_config_tls(d4_config_t *c);
static int d4_config_number(d4_config_t *c, const char *name, long min,
    long max, long value, long *result);
static ssize_t d4_config_value(d4_config_t *c, const char *name, char *buf);
static ssize_t d4_config_read(const char *path, char *buf, size_t max,
    int private);
static int d4_config_exists(const char *path);
static void d4_config_path(const d4_config_t *c, const char *name, char *path);


int
d4_config_load(d4_config_t *c, const d4_options_t *o)
{
    int          rc;
    struct stat  st;

    memset(c, 0, sizeof(d4_config_t));
    c->options = o;

    if (stat(o->config, &st) != 0) {
        d4_log("%s: %s", o->config, strerror(errno));
        return -1;
    }

    if (!S_ISDIR(st.st_mode)) {
        d4_log("%s: is no directory", o->config);
        return -1;
    }

    if (strlen(o->config) > PATH_MAX - 64) {
        d4_log("%s: is too long a path", o->config);
        return -1;
    }

    /* everything is looked at, so that all errors are seen at once */

    rc = d4_config_numbers(c);
    rc |= d4_config_key(c);
    rc |= d4_config_meta(c);
    rc |= d4_config_source(c);
    rc |= d4_config_dest(c);

    if (rc == 0) {
        rc = d4_config_uuid(c);

    } else {
        rc |= o->check ? d4_config_uuid(c) : 0;
    }

    if (rc != 0) {
        d4_config_free(c);
        return -1;
    }

    return 0;
}


void
d4_config_free(d4_config_t *c)
{
    free(c->source);
    free(c->destination);
    free(c->host);
    free(c->port);
    free(c->meta);
    SSL_CTX_free(c->tls);

    d4_key_clear(&c->key);
    OPENSSL_cleanse(c, sizeof(d4_config_t));
}


static int
d4_config_uuid(d4_config_t *c)
{
    char     path[PATH_MAX], text[D4_VALUE_MAX + 1];
    ssize_t  n;

    d4_config_path(c, "uuid", path);
    n = d4_config_value(c, "uuid", text);

    if (n == D4_WRONG) {
        return -1;
    }

    if (n == D4_MISSING) {
        if (c->options->check) {
            d4_log("%s: will be made at the first start", path);
            return 0;
        }

        return d4_config_new_uuid(c, path);
    }

    if (d4_uuid_parse(c->uuid, text, n) != 0) {
        d4_log("%s: is no uuid; remove the file to have one made", path);
        return -1;
    }

    if (!d4_uuid_is_v4(c->uuid)) {
        d4_log("%s: is no uuid of version 4, no server accepts it", path);
        return -1;
    }

    return 0;
}


static int
d4_config_new_uuid(d4_config_t *c, const char *path)
{
    int   fd;
    char  tmp[PATH_MAX], text[D4_UUID_DASHED + 1];

    uuid_generate_random(c->uuid);
    d4_uuid_dashed(text, c->uuid);

    d4_config_path(c, ".uuid.XXXXXX", tmp);

    fd = mkstemp(tmp);             /* mode 0600 */
    if (fd == -1) {
        d4_log("%s: a new uuid cannot be stored: %s", path, strerror(errno));
        return -1;
    }

    /* no newline: not every client that reads this file expects one */

    if (write(fd, text, D4_UUID_DASHED) != D4_UUID_DASHED || fsync(fd) != 0
        || rename(tmp, path) != 0)
    {
        d4_log("%s: a new uuid cannot be stored: %s", path, strerror(errno));
        unlink(tmp);
        close(fd);
        return -1;
    }

    close(fd);

    d4_log("%s: made uuid %s", path, text);

    return 0;
}


static int
d4_config_key(d4_config_t *c)
{
    int      rc;
    char     path[PATH_MAX], key[D4_KEY_MAX + 3];
    ssize_t  n;

    rc = -1;
    d4_config_path(c, "key", path);

    /* with the newline, and one more to see that it is too long */

    n = d4_config_read(path, key, sizeof(key), 1);

    if (n == D4_WRONG) {
        return -1;
    }

    if (n == D4_MISSING) {
        d4_log("%s: %s", path, strerror(ENOENT));
        return -1;
    }

    if (n != 0 && key[n - 1] == '\n') {
        n--;

        if (n != 0 && key[n - 1] == '\r') {
            n--;
        }
    }

    if (n == 0) {
        d4_log("%s: the key is empty", path);
        goto done;
    }

    if (n > D4_KEY_MAX) {
        d4_log("%s: the key is longer than %d bytes", path, D4_KEY_MAX);
        goto done;
    }

    if (isspace((unsigned char) key[0])
        || isspace((unsigned char) key[n - 1]))
    {
        d4_log("%s: white space at an edge of the key is part of the key",
               path);
    }

    d4_key_init(&c->key, (const uint8_t *) key, n);
    rc = 0;

done:

    OPENSSL_cleanse(key, sizeof(key));

    return rc;
}


static int
d4_config_numbers(d4_config_t *c)
{
    int   rc;
    char  path[PATH_MAX];
    long  type, version, snaplen;

    rc = d4_config_number(c, "type", 0, 255, -1, &type);

    if (rc == 0 && type != D4_TYPE_EXTENDED
        && (type < D4_TYPE_PCAP || type > D4_TYPE_PASSIVEDNS))
    {
        d4_config_path(c, "type", path);
        d4_log("%s: %ld is no type: 1 to 8, or 254", path, type);
        rc = -1;
    }

    if (rc != 0) {
        type = D4_TYPE_META;       /* for the rest of the checks */
    }

    rc |= d4_config_number(c, "version", 1, 255, D4_VERSION, &version);
    rc |= d4_config_number(c, "snaplen", 1, D4_MAX_PAYLOAD,
                           type == D4_TYPE_PCAP ? 65535 : 4096, &snaplen);

    if (rc != 0) {
        return -1;
    }

    c->version = version;
    c->snaplen = snaplen;
    c->type = (type == D4_TYPE_META) ? D4_TYPE_EXTENDED : type;

    switch (c->type) {

    case D4_TYPE_PCAP:
        c->cut = D4_CUT_PCAP;
        break;

    case D4_TYPE_LINE:
    case D4_TYPE_NDJSON:
    case D4_TYPE_PASSIVEDNS:
    case D4_TYPE_EXTENDED:
        c->cut = D4_CUT_LINES;
        break;

    default:
        c->cut = D4_CUT_RAW;
    }

    return 0;
}


static int
d4_config_meta(d4_config_t *c)
{
    char       path[PATH_MAX], *text;
    size_t     len;
    ssize_t    n;
    d4_json_t  json;

    if (c->type != D4_TYPE_EXTENDED) {
        return 0;
    }

    d4_config_path(c, "metaheader.json", path);

    text = malloc(D4_META_MAX + 1);
    if (text == NULL) {
        d4_log("%s: no memory", path);
        return -1;
    }

    n = d4_config_read(path, text, D4_META_MAX + 1, 0);

    if (n == D4_MISSING) {
        d4_log("%s: %s, types 2 and 254 need it", path, strerror(ENOENT));
    }

    if (n < 0) {
        goto failed;
    }

    if (n > D4_META_MAX) {
        d4_log("%s: is longer than %d bytes", path, D4_META_MAX);
        goto failed;
    }

    len = d4_json_minify(text, n, &json);

    if (len == 0) {
        d4_log("%s: is no JSON: %s at byte %zu", path, json.error, json.at);
        goto failed;
    }

    if (!json.object) {
        d4_log("%s: is no JSON object", path);
        goto failed;
    }

    if (json.type == NULL || json.type_len == 0) {
        d4_log("%s: has no member \"type\" that is a string", path);
        goto failed;
    }

    c->meta = text;
    c->meta_len = len;

    return 0;

failed:

    free(text);

    return -1;
}


static int
d4_config_source(d4_config_t *c)
{
    char          path[PATH_MAX], text[D4_VALUE_MAX + 1];
    ssize_t       n;
    const char   *from, *value;
    struct stat   st;

    from = "--source";
    value = c->options->source;

    if (value == NULL) {
        d4_config_path(c, "source", path);
        n = d4_config_value(c, "source", text);

        if (n == D4_WRONG) {
            return -1;
        }

        from = path;
        value = (n == D4_MISSING) ? "stdin" : text;
    }

    if (strcmp(value, "stdin") == 0) {
        c->source_kind = D4_SOURCE_STDIN;
        return 0;
    }

    if (strchr(value, '/') == NULL) {
        d4_log("%s: \"%s\" is no source: stdin, or the path of a fifo or file "
               "(./%s)", from, value, value);
        return -1;
    }

    if (stat(value, &st) != 0) {
        if (errno != ENOENT || !c->options->follow) {
            d4_log("%s: %s: %s", from, value, strerror(errno));
            return -1;
        }

    } else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)
               && !S_ISCHR(st.st_mode))
    {
        d4_log("%s: %s is neither a fifo nor a file", from, value);
        return -1;

    } else if (access(value, R_OK) != 0) {
        d4_log("%s: %s: %s", from, value, strerror(errno));
        return -1;
    }

    c->source_kind = D4_SOURCE_PATH;
    c->source = strdup(value);

    return c->source != NULL ? 0 : -1;
}


static int
d4_config_dest(d4_config_t *c)
{
    char         path[PATH_MAX], text[D4_VALUE_MAX + 1];
    ssize_t      n;
    const char  *from, *value;

    from = "--destination";
    value = c->options->destination;

    if (value == NULL) {
        d4_config_path(c, "destination", path);
        n = d4_config_value(c, "destination", text);

        if (n == D4_WRONG) {
            return -1;
        }

        from = path;
        value = (n == D4_MISSING) ? "stdout" : text;
    }

    c->destination = strdup(value);

    if (c->destination == NULL) {
        return -1;
    }

    if (d4_config_dest_parse(c, value) != 0) {
        d4_log("%s: \"%s\" is no destination: stdout, HOST:PORT, [V6]:PORT, "
               "tcp:HOST:PORT or unix:PATH", from, value);
        return -1;
    }

    return c->dest_kind == D4_DEST_TLS ? d4_config_tls(c) : 0;
}


static int
d4_config_dest_parse(d4_config_t *c, const char *text)
{
    if (strcmp(text, "stdout") == 0) {
        c->dest_kind = D4_DEST_STDOUT;
        return 0;
    }

    if (strncmp(text, "unix:", 5) == 0) {
        c->dest_kind = D4_DEST_UNIX;
        text += 5;

        if (*text == '\0'
            || strlen(text) >= sizeof(((struct sockaddr_un *) 0)->sun_path))
        {
            return -1;
        }

        c->host = strdup(text);

        return c->host != NULL ? 0 : -1;
    }

    c->dest_kind = c->options->tls ? D4_DEST_TLS : D4_DEST_TCP;

    if (strncmp(text, "tcp:", 4) == 0) {
        c->dest_kind = D4_DEST_TCP;
        text += 4;

    } else if (strncmp(text, "tls:", 4) == 0) {
        c->dest_kind = D4_DEST_TLS;
        text += 4;
    }

    return d4_config_host_port(c, text);
}


static int
d4_config_host_port(d4_config_t *c, const char *text)
{
    char            *end;
    long             port;
    size_t           len;
    const char      *p;
    struct in6_addr  in6;

    p = strrchr(text, ':');
    if (p == NULL) {
        return -1;
    }

    port = (p[1] >= '0' && p[1] <= '9') ? strtol(p + 1, &end, 10) : 0;

    if (port < 1 || port > 65535 || *end != '\0') {
        return -1;
    }

    len = p - text;

    if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
        c->host = strndup(text + 1, len - 2);

        if (c->host == NULL || inet_pton(AF_INET6, c->host, &in6) != 1) {
            return -1;
        }

    } else {
        if (len == 0 || len > 253
            || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789"
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._") != len)
        {
            return -1;
        }

        c->host = strndup(text, len);
    }

    c->port = strdup(p + 1);

    return c->host != NULL && c->port != NULL ? 0 : -1;
}


static int
d4_config_tls(d4_config_t *c)
{
    char                 ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
    char                 path[PATH_MAX], text[D4_VALUE_MAX + 1], byte[1];
    ssize_t              n;
    const char          *from, *value;
    d4_tls_conf_t        tls;
    const d4_options_t  *o;

    o = c->options;

    d4_config_path(c, "rootCA.crt", ca);
    d4_config_path(c, "client.crt", cert);
    d4_config_path(c, "client.key", key);
    d4_config_path(c, "fingerprint", path);

    memset(&tls, 0, sizeof(d4_tls_conf_t));
    tls.insecure = o->insecure;

    if (o->ca_file != NULL) {
        tls.ca_file = o->ca_file;

    } else if (d4_config_exists(ca)) {
        tls.ca_file = ca;
    }

    if (o->client_cert != NULL) {
        tls.client_cert = o->client_cert;

    } else if (d4_config_exists(cert)) {
        tls.client_cert = cert;
    }

    if (o->client_key != NULL) {
        tls.client_key = o->client_key;

    } else if (tls.client_cert == cert && d4_config_exists(key)) {
        tls.client_key = key;
    }

    if (tls.client_key != NULL && tls.client_cert == NULL) {
        d4_log("%s: there is no certificate to go with the key", cert);
        return -1;
    }

    if (tls.client_key != NULL
        && d4_config_read(tls.client_key, byte, 1, 1) == D4_WRONG)
    {
        return -1;
    }

    c->tls = d4_tls_context(&tls);
    if (c->tls == NULL) {
        return -1;
    }

    from = "--pin";
    value = o->pin;

    if (value == NULL) {
        n = d4_config_value(c, "fingerprint", text);

        if (n == D4_WRONG) {
            return -1;
        }

        from = path;
        value = (n == D4_MISSING) ? NULL : text;
    }

    if (value != NULL && d4_tls_pins(&c->pins, value) != 0) {
        d4_log("%s: no SHA-256 fingerprint of 64 hex digits, or more than %d",
               from, D4_TLS_PINS);
        return -1;
    }

    return 0;
}


/* value: the default, -1: the file has to be there. */

static int
d4_config_number(d4_config_t *c, const char *name, long min, long max,
    long value, long *result)
{
    char      path[PATH_MAX], text[D4_VALUE_MAX + 1], *end;
    long      v;
    ssize_t   n;

    d4_config_path(c, name, path);
    n = d4_config_value(c, name, text);

    if (n == D4_WRONG) {
        return -1;
    }

    if (n == D4_MISSING) {
        if (value == -1) {
            d4_log("%s: is missing or empty", path);
            return -1;
        }

        *result = value;
        return 0;
    }

    errno = 0;
    v = (text[0] >= '0' && text[0] <= '9') ? strtol(text, &end, 10) : -1;

    if (v < 0 || *end != '\0' || errno != 0 || v < min || v > max) {
        d4_log("%s: \"%s\" is no number from %ld to %ld", path, text, min,
               max);
        return -1;
    }

    *result = v;

    return 0;
}


/* One value: the file's text without the white space around it. */

static ssize_t
d4_config_value(d4_config_t *c, const char *name, char *buf)
{
    char     path[PATH_MAX];
    size_t   start;
    ssize_t  n;

    d4_config_path(c, name, path);

    n = d4_config_read(path, buf, D4_VALUE_MAX + 1, 0);
    if (n < 0) {
        return n;
    }

    if (n > D4_VALUE_MAX) {
        d4_log("%s: is longer than %d bytes", path, D4_VALUE_MAX);
        return D4_WRONG;
    }

    if (memchr(buf, '\0', n) != NULL) {
        d4_log("%s: has a zero byte in it", path);
        return D4_WRONG;
    }

    for (start = 0; start < (size_t) n; start++) {
        if (!isspace((unsigned char) buf[start])) {
            break;
        }
    }

    while ((size_t) n > start && isspace((unsigned char) buf[n - 1])) {
        n--;
    }

    n -= start;
    memmove(buf, buf + start, n);
    buf[n] = '\0';

    return n != 0 ? n : D4_MISSING;
}


/* Up to max bytes; private: nobody else may read it. */

static ssize_t
d4_config_read(const char *path, char *buf, size_t max, int private)
{
    int          fd;
    size_t       len;
    ssize_t      n;
    struct stat  st;

    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd == -1) {
        if (errno == ENOENT) {
            return D4_MISSING;
        }

        d4_log("%s: %s", path, strerror(errno));
        return D4_WRONG;
    }

    len = 0;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        d4_log("%s: is no regular file", path);
        goto failed;
    }

    if (private && (st.st_mode & (S_IROTH | S_IWOTH))) {
        d4_log("%s: everybody can %s it; chmod 600 it", path,
               (st.st_mode & S_IROTH) ? "read" : "write");
        goto failed;
    }

    while (len < max) {
        n = read(fd, buf + len, max - len);

        if (n == -1) {
            d4_log("%s: %s", path, strerror(errno));
            goto failed;
        }

        if (n == 0) {
            break;
        }

        len += n;
    }

    close(fd);

    return len;

failed:

    OPENSSL_cleanse(buf, len);
    close(fd);

    return D4_WRONG;
}


/* An empty file is as good as none: some clients create all of them. */

static int
d4_config_exists(const char *path)
{
    struct stat  st;

    return stat(path, &st) != 0 ? errno != ENOENT : st.st_size != 0;
}


static void
d4_config_path(const d4_config_t *c, const char *name, char *path)
{
    snprintf(path, PATH_MAX, "%s/%s", c->options->config, name);
}
