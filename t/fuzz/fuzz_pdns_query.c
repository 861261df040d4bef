
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Values, names, IDN, data and cursors as a client sends them: what is read
 * is canonical, and canonical text reads as itself.
 */


#include "../unit/unit.h"
#include "pdns_cursor.h"
#include "pdns_idn.h"
#include "pdns_query.h"


static char  buf[PDNS_RDATA_TEXT], buf2[PDNS_RDATA_TEXT];


static void
require(int truth)
{
    if (!truth) {
        abort();
    }
}


static void
name_of(const pdns_name_t *name)
{
    char         text[PDNS_NAME_TEXT];
    size_t       n;
    pdns_key_t   key;
    pdns_name_t  again;

    n = pdns_name_text(text, name);
    require(n < PDNS_NAME_TEXT && strlen(text) == n);
    require(pdns_name_parse(&again, text, n) == 0);
    require(pdns_name_equal(name, &again));

    n = pdns_name_key(text, name, 0, name->labels);
    require(n < PDNS_NAME_TEXT && strlen(text) == n);
    require(memchr(text, '{', n) == NULL && memchr(text, ':', n) == NULL);
    require(pdns_name_unkey(&again, text, n) == 0);
    require(pdns_name_equal(name, &again));

    pdns_key_name(&key, 'N', name);
    require(key.len < PDNS_KEY);
    require(pdns_name_tag(name) <= name->labels);
}


static void
value(const char *p, size_t size, int rdata)
{
    pdns_value_t  v;

    if (pdns_value_parse(&v, p, size, rdata) != NULL) {
        return;
    }

    switch (v.find) {

    case PDNS_FIND_ADDR:
        require(v.alen == 4 || v.alen == 16);
        require(memcmp(v.low, v.high, v.alen) <= 0);
        break;

    case PDNS_FIND_DATA:
        require(rdata && v.len < sizeof(v.text) && v.len > 0);
        break;

    default:
        name_of(&v.name);
    }
}


static void
cursor(const char *p, size_t size)
{
    char           text[PDNS_CURSOR_TEXT];
    size_t         n;
    pdns_cursor_t  c, back;

    if (pdns_cursor_parse(&c, p, size) != 0) {
        return;
    }

    n = pdns_cursor_text(text, &c);
    require(n < PDNS_CURSOR_TEXT);
    require(pdns_cursor_parse(&back, text, n) == 0);
    require(back.time == c.time && back.oldest == c.oldest
            && back.leaf_len == c.leaf_len
            && back.member_len == c.member_len);
    require(memcmp(back.member, c.member, c.member_len) == 0);
}


static void
rdata(uint16_t type, const char *p, size_t size)
{
    size_t         n;
    uint8_t        m[PDNS_MEMBER];
    pdns_rdata_t   r, again;

    if (pdns_rdata_parse(&r, type, p, size, buf, sizeof(buf)) != 0) {
        return;
    }

    require(r.len > 0 && strlen(r.text) == r.len);
    require(pdns_rdata_parse(&again, type, r.text, r.len, buf2, sizeof(buf2))
            == 0);
    require(again.len == r.len && memcmp(again.text, r.text, r.len) == 0);

    n = pdns_member(m, &r);
    require(n >= 2 && n <= PDNS_MEMBER);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
    int            n;
    char           out[512];
    uint64_t       t;
    uint16_t       type;
    const char    *text;
    pdns_filter_t  f;

    if (size < 3) {
        return 0;
    }

    text = (const char *) p + 2;
    size -= 2;

    value(text, size, 0);
    value(text, size, 1);
    cursor(text, size);

    n = pdns_idn_ascii(out, sizeof(out), text, size);
    require(n <= (int) sizeof(out));

    (void) pdns_filter_types(&f, text, size, 1);
    (void) pdns_filter_time(&t, text, size, 1700000000);

    type = (uint16_t) (p[0] << 8 | p[1]);
    rdata(type, text, size);
    rdata(p[1], text, size);

    return 0;
}
