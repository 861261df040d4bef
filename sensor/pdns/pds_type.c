
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pds_type.h"


#define PDS_TYPES  (sizeof(pds_types) / sizeof(pds_types[0]))


static int pds_number(const char *text, size_t len);
static size_t pds_copy(char out[PDS_NUMBER_TEXT], const char *name);


/* sorted by number */

static const pds_type_t  pds_types[] = {
    { 1, "A", "i", PDS_AS_FIELDS, 1 },
    { 2, "NS", "n", PDS_AS_FIELDS, 0 },
    { 3, "MD", "n", PDS_AS_FIELDS, 0 },
    { 4, "MF", "n", PDS_AS_FIELDS, 0 },
    { 5, "CNAME", "n", PDS_AS_FIELDS, 0 },
    { 6, "SOA", "nnwwwww", PDS_AS_FIELDS, 0 },
    { 7, "MB", "n", PDS_AS_FIELDS, 0 },
    { 8, "MG", "n", PDS_AS_FIELDS, 0 },
    { 9, "MR", "n", PDS_AS_FIELDS, 0 },
    { 10, "NULL", "x", PDS_AS_GENERIC, 0 },
    { 11, "WKS", "ibx", PDS_AS_GENERIC, 1 },
    { 12, "PTR", "n", PDS_AS_FIELDS, 0 },
    { 13, "HINFO", "ss", PDS_AS_FIELDS, 0 },
    { 14, "MINFO", "nn", PDS_AS_FIELDS, 0 },
    { 15, "MX", "hn", PDS_AS_FIELDS, 0 },
    { 16, "TXT", "S", PDS_AS_FIELDS, 0 },
    { 17, "RP", "nn", PDS_AS_FIELDS, 0 },
    { 18, "AFSDB", "hn", PDS_AS_FIELDS, 0 },
    { 19, "X25", "s", PDS_AS_FIELDS, 0 },
    { 20, "ISDN", "S", PDS_AS_FIELDS, 0 },
    { 21, "RT", "hn", PDS_AS_FIELDS, 0 },
    { 22, "NSAP", "X", 22, 1 },
    { 23, "NSAP-PTR", "n", PDS_AS_FIELDS, 1 },
    { 24, "SIG", "hbbwwwhnx", 24, 0 },
    { 25, "KEY", "hbbx", 25, 0 },
    { 26, "PX", "hnn", PDS_AS_FIELDS, 1 },
    { 27, "GPOS", "sss", PDS_AS_FIELDS, 0 },
    { 28, "AAAA", "I", PDS_AS_FIELDS, 1 },
    { 29, "LOC", "bbbbwww", 29, 0 },
    { 30, "NXT", "nx", PDS_AS_GENERIC, 0 },
    { 31, "EID", "x", PDS_AS_GENERIC, 0 },
    { 32, "NIMLOC", "x", PDS_AS_GENERIC, 0 },
    { 33, "SRV", "hhhn", PDS_AS_FIELDS, 0 },
    { 34, "ATMA", "x", PDS_AS_GENERIC, 0 },
    { 35, "NAPTR", "hhsssn", PDS_AS_FIELDS, 0 },
    { 36, "KX", "hn", PDS_AS_FIELDS, 0 },
    { 37, "CERT", "hhbX", 37, 0 },
    { 38, "A6", "x", PDS_AS_GENERIC, 0 },
    { 39, "DNAME", "n", PDS_AS_FIELDS, 0 },
    { 40, "SINK", "x", PDS_AS_GENERIC, 0 },
    { 41, "OPT", NULL, PDS_AS_GENERIC, 0 },
    { 42, "APL", "x", 42, 1 },
    { 43, "DS", "hbbX", 43, 0 },
    { 44, "SSHFP", "bbX", 44, 0 },
    { 45, "IPSECKEY", "bbbgx", 45, 0 },
    { 46, "RRSIG", "hbbwwwhNX", 46, 0 },
    { 47, "NSEC", "Nm", 47, 0 },
    { 48, "DNSKEY", "hbbX", 48, 0 },
    { 49, "DHCID", "X", 49, 1 },
    { 50, "NSEC3", "bbhssm", 50, 0 },
    { 51, "NSEC3PARAM", "bbhs", 51, 0 },
    { 52, "TLSA", "bbbX", 52, 0 },
    { 53, "SMIMEA", "bbbX", 53, 0 },
    { 55, "HIP", "x", 55, 0 },
    { 56, "NINFO", "S", PDS_AS_FIELDS, 0 },
    { 57, "RKEY", "hbbx", 25, 0 },
    { 58, "TALINK", "nn", PDS_AS_FIELDS, 0 },
    { 59, "CDS", "hbbX", 59, 0 },
    { 60, "CDNSKEY", "hbbX", 60, 0 },
    { 61, "OPENPGPKEY", "X", 61, 0 },
    { 62, "CSYNC", "whm", 62, 0 },
    { 63, "ZONEMD", "wbbX", 63, 0 },
    { 64, "SVCB", "hNx", PDS_AS_GENERIC, 1 },
    { 65, "HTTPS", "hNx", PDS_AS_GENERIC, 1 },
    { 66, "DSYNC", "x", PDS_AS_GENERIC, 0 },
    { 67, "HHIT", "x", PDS_AS_GENERIC, 0 },
    { 68, "BRID", "x", PDS_AS_GENERIC, 0 },
    { 99, "SPF", "S", PDS_AS_FIELDS, 0 },
    { 100, "UINFO", NULL, PDS_AS_GENERIC, 0 },
    { 101, "UID", NULL, PDS_AS_GENERIC, 0 },
    { 102, "GID", NULL, PDS_AS_GENERIC, 0 },
    { 103, "UNSPEC", NULL, PDS_AS_GENERIC, 0 },
    { 104, "NID", "hq", 104, 0 },
    { 105, "L32", "hi", PDS_AS_FIELDS, 0 },
    { 106, "L64", "hq", 106, 0 },
    { 107, "LP", "hN", PDS_AS_FIELDS, 0 },
    { 108, "EUI48", "hw", 108, 0 },
    { 109, "EUI64", "q", 109, 0 },
    { 128, "NXNAME", NULL, PDS_AS_GENERIC, 0 },
    { 249, "TKEY", NULL, PDS_AS_GENERIC, 0 },
    { 250, "TSIG", NULL, PDS_AS_GENERIC, 0 },
    { 251, "IXFR", NULL, PDS_AS_GENERIC, 0 },
    { 252, "AXFR", NULL, PDS_AS_GENERIC, 0 },
    { 253, "MAILB", NULL, PDS_AS_GENERIC, 0 },
    { 254, "MAILA", NULL, PDS_AS_GENERIC, 0 },
    { 255, "ANY", NULL, PDS_AS_GENERIC, 0 },
    { 256, "URI", "hhX", 256, 0 },
    { 257, "CAA", "btx", 257, 0 },
    { 258, "AVC", "S", PDS_AS_FIELDS, 0 },
    { 259, "DOA", "x", PDS_AS_GENERIC, 0 },
    { 260, "AMTRELAY", "x", PDS_AS_GENERIC, 0 },
    { 261, "RESINFO", "S", PDS_AS_FIELDS, 0 },
    { 262, "WALLET", "S", PDS_AS_FIELDS, 0 },
    { 263, "CLA", "x", PDS_AS_GENERIC, 0 },
    { 264, "IPN", "x", PDS_AS_GENERIC, 0 },
    { 32768, "TA", "hbbX", 43, 0 },
    { 32769, "DLV", "hbbX", 43, 0 }
};


/* those of section 1.1 of the line format: what passivedns writes */

static const char  *pds_rcodes[PDS_RCODES] = {
    "", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMPL", "REFUSED", "YXDOMAIN",
    "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"
};


const pds_type_t *
pds_type_find(unsigned type)
{
    size_t  low, high, i;

    low = 0;
    high = PDS_TYPES;

    while (low < high) {
        i = (low + high) / 2;

        if (pds_types[i].type == type) {
            return &pds_types[i];
        }

        if (pds_types[i].type < type) {
            low = i + 1;

        } else {
            high = i;
        }
    }

    return NULL;
}


int
pds_type_number(const char *name, size_t len)
{
    size_t  i;

    for (i = 0; i < PDS_TYPES; i++) {
        if (strlen(pds_types[i].name) == len
            && strncasecmp(pds_types[i].name, name, len) == 0)
        {
            return pds_types[i].type;
        }
    }

    if (len > 4 && strncasecmp(name, "TYPE", 4) == 0) {
        name += 4;
        len -= 4;
    }

    return pds_number(name, len);
}


static int
pds_number(const char *text, size_t len)
{
    int     n;
    size_t  i;

    n = 0;

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }

        n = n * 10 + (text[i] - '0');

        if (n > 65535) {
            return -1;
        }
    }

    return len == 0 ? -1 : n;
}


int
pds_type_meta(unsigned type)
{
    return type == 0 || type == PDS_TYPE_OPT || (type >= 128 && type <= 255);
}


size_t
pds_type_text(char out[PDS_NUMBER_TEXT], unsigned type)
{
    const pds_type_t  *t;

    t = pds_type_find(type);

    if (t == NULL) {
        return (size_t) snprintf(out, PDS_NUMBER_TEXT, "%u", type);
    }

    return pds_copy(out, t->name);
}


size_t
pds_class_text(char out[PDS_NUMBER_TEXT], unsigned class)
{
    switch (class) {

    case PDS_CLASS_IN:
        return pds_copy(out, "IN");

    case 3:
        return pds_copy(out, "CH");

    case 4:
        return pds_copy(out, "HS");

    case 254:
        return pds_copy(out, "NONE");

    case 255:
        return pds_copy(out, "ANY");
    }

    return (size_t) snprintf(out, PDS_NUMBER_TEXT, "%u", class);
}


size_t
pds_rcode_text(char out[PDS_NUMBER_TEXT], unsigned rcode)
{
    if (rcode >= PDS_RCODES || pds_rcodes[rcode] == NULL) {
        return (size_t) snprintf(out, PDS_NUMBER_TEXT, "UNKNOWN-ERROR-%u",
                                 rcode);
    }

    return pds_copy(out, pds_rcodes[rcode]);
}


int
pds_rcode_number(const char *name, size_t len)
{
    int  i;

    for (i = 1; i < PDS_RCODES; i++) {
        if (pds_rcodes[i] != NULL && strlen(pds_rcodes[i]) == len
            && strncasecmp(pds_rcodes[i], name, len) == 0)
        {
            return i;
        }
    }

    return -1;
}


static size_t
pds_copy(char out[PDS_NUMBER_TEXT], const char *name)
{
    size_t  len;

    len = strlen(name);
    memcpy(out, name, len + 1);

    return len;
}
