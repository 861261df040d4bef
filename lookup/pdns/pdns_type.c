
#include "pdns_type.h"

#include <stdio.h>
#include <string.h>


#define PDNS_MNEMONIC     11           /* the longest, with its zero */
#define PDNS_NTYPES       (sizeof(pdns_types) / sizeof(pdns_types[0]))


static int pdns_type_number(uint16_t *type, const char *p, size_t len);


/* IANA's registry of RR types, by mnemonic */

static const struct {
    char      name[PDNS_MNEMONIC];
    uint16_t  type;
} pdns_types[] = {
    { "A", 1 }, { "A6", 38 }, { "AAAA", 28 }, { "AFSDB", 18 },
    { "AMTRELAY", 260 }, { "ANY", 255 }, { "APL", 42 }, { "ATMA", 34 },
    { "AVC", 258 }, { "AXFR", 252 }, { "CAA", 257 }, { "CDNSKEY", 60 },
    { "CDS", 59 }, { "CERT", 37 }, { "CNAME", 5 }, { "CSYNC", 62 },
    { "DHCID", 49 }, { "DLV", 32769 }, { "DNAME", 39 }, { "DNSKEY", 48 },
    { "DOA", 259 }, { "DS", 43 }, { "DSYNC", 66 }, { "EID", 31 },
    { "EUI48", 108 }, { "EUI64", 109 }, { "GID", 102 }, { "GPOS", 27 },
    { "HINFO", 13 }, { "HIP", 55 }, { "HTTPS", 65 }, { "IPSECKEY", 45 },
    { "ISDN", 20 }, { "IXFR", 251 }, { "KEY", 25 }, { "KX", 36 },
    { "L32", 105 }, { "L64", 106 }, { "LOC", 29 }, { "LP", 107 },
    { "MAILA", 254 }, { "MAILB", 253 }, { "MB", 7 }, { "MD", 3 }, { "MF", 4 },
    { "MG", 8 }, { "MINFO", 14 }, { "MR", 9 }, { "MX", 15 }, { "NAPTR", 35 },
    { "NID", 104 }, { "NIMLOC", 32 }, { "NINFO", 56 }, { "NS", 2 },
    { "NSAP", 22 }, { "NSAP-PTR", 23 }, { "NSEC", 47 }, { "NSEC3", 50 },
    { "NSEC3PARAM", 51 }, { "NULL", 10 }, { "NXNAME", 128 }, { "NXT", 30 },
    { "OPENPGPKEY", 61 }, { "OPT", 41 }, { "PTR", 12 }, { "PX", 26 },
    { "RESINFO", 261 }, { "RKEY", 57 }, { "RP", 17 }, { "RRSIG", 46 },
    { "RT", 21 }, { "SIG", 24 }, { "SINK", 40 }, { "SMIMEA", 53 },
    { "SOA", 6 }, { "SPF", 99 }, { "SRV", 33 }, { "SSHFP", 44 },
    { "SVCB", 64 }, { "TA", 32768 }, { "TALINK", 58 }, { "TKEY", 249 },
    { "TLSA", 52 }, { "TSIG", 250 }, { "TXT", 16 }, { "UID", 101 },
    { "UINFO", 100 }, { "UNSPEC", 103 }, { "URI", 256 }, { "WALLET", 262 },
    { "WKS", 11 }, { "X25", 19 }, { "ZONEMD", 63 },
};


/* the same by number, for the types below 256 */

static const char *const  pdns_names[256] = {
    [1] = "A",
    [2] = "NS",
    [3] = "MD",
    [4] = "MF",
    [5] = "CNAME",
    [6] = "SOA",
    [7] = "MB",
    [8] = "MG",
    [9] = "MR",
    [10] = "NULL",
    [11] = "WKS",
    [12] = "PTR",
    [13] = "HINFO",
    [14] = "MINFO",
    [15] = "MX",
    [16] = "TXT",
    [17] = "RP",
    [18] = "AFSDB",
    [19] = "X25",
    [20] = "ISDN",
    [21] = "RT",
    [22] = "NSAP",
    [23] = "NSAP-PTR",
    [24] = "SIG",
    [25] = "KEY",
    [26] = "PX",
    [27] = "GPOS",
    [28] = "AAAA",
    [29] = "LOC",
    [30] = "NXT",
    [31] = "EID",
    [32] = "NIMLOC",
    [33] = "SRV",
    [34] = "ATMA",
    [35] = "NAPTR",
    [36] = "KX",
    [37] = "CERT",
    [38] = "A6",
    [39] = "DNAME",
    [40] = "SINK",
    [41] = "OPT",
    [42] = "APL",
    [43] = "DS",
    [44] = "SSHFP",
    [45] = "IPSECKEY",
    [46] = "RRSIG",
    [47] = "NSEC",
    [48] = "DNSKEY",
    [49] = "DHCID",
    [50] = "NSEC3",
    [51] = "NSEC3PARAM",
    [52] = "TLSA",
    [53] = "SMIMEA",
    [55] = "HIP",
    [56] = "NINFO",
    [57] = "RKEY",
    [58] = "TALINK",
    [59] = "CDS",
    [60] = "CDNSKEY",
    [61] = "OPENPGPKEY",
    [62] = "CSYNC",
    [63] = "ZONEMD",
    [64] = "SVCB",
    [65] = "HTTPS",
    [66] = "DSYNC",
    [99] = "SPF",
    [100] = "UINFO",
    [101] = "UID",
    [102] = "GID",
    [103] = "UNSPEC",
    [104] = "NID",
    [105] = "L32",
    [106] = "L64",
    [107] = "LP",
    [108] = "EUI48",
    [109] = "EUI64",
    [128] = "NXNAME",
    [249] = "TKEY",
    [250] = "TSIG",
    [251] = "IXFR",
    [252] = "AXFR",
    [253] = "MAILB",
    [254] = "MAILA",
    [255] = "ANY",
};


int
pdns_type_parse(uint16_t *type, const char *p, size_t len)
{
    int     rc;
    char    name[PDNS_MNEMONIC];
    size_t  i, low, high, mid;

    if (len == 0) {
        return -1;
    }

    if (p[0] >= '0' && p[0] <= '9') {
        return pdns_type_number(type, p, len);
    }

    if (len == 1 && p[0] == '*') {
        *type = PDNS_ANY;
        return 0;
    }

    if (len >= PDNS_MNEMONIC) {
        return -1;
    }

    for (i = 0; i < len; i++) {
        name[i] = (p[i] >= 'a' && p[i] <= 'z') ? (char) (p[i] - 32) : p[i];

        if (name[i] == '\0') {
            return -1;
        }
    }

    name[len] = '\0';

    if (len > 4 && memcmp(name, "TYPE", 4) == 0) {
        return pdns_type_number(type, p + 4, len - 4);
    }

    low = 0;
    high = PDNS_NTYPES;

    while (low < high) {
        mid = low + (high - low) / 2;
        rc = strcmp(name, pdns_types[mid].name);

        if (rc == 0) {
            *type = pdns_types[mid].type;
            return 0;
        }

        if (rc < 0) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return -1;
}


static int
pdns_type_number(uint16_t *type, const char *p, size_t len)
{
    size_t    i;
    uint32_t  n;

    if (len > 5) {
        return -1;
    }

    n = 0;

    for (i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }

        n = n * 10 + (uint32_t) (p[i] - '0');
    }

    if (n > 65535) {
        return -1;
    }

    *type = (uint16_t) n;

    return 0;
}


const char *
pdns_type_name(uint16_t type)
{
    size_t  i;

    if (type < 256) {
        return pdns_names[type];
    }

    for (i = 0; i < PDNS_NTYPES; i++) {
        if (pdns_types[i].type == type) {
            return pdns_types[i].name;
        }
    }

    return NULL;
}


size_t
pdns_type_text(char out[PDNS_TYPE_TEXT], uint16_t type)
{
    size_t       n;
    const char  *name;

    name = pdns_type_name(type);

    if (name == NULL) {
        return (size_t) snprintf(out, PDNS_TYPE_TEXT, "TYPE%u", type);
    }

    n = strlen(name);
    memcpy(out, name, n + 1);

    return n;
}


int
pdns_type_dnssec(uint16_t type)
{
    switch (type) {

    case PDNS_DS:
    case PDNS_RRSIG:
    case PDNS_NSEC:
    case PDNS_DNSKEY:
    case PDNS_NSEC3:
    case PDNS_NSEC3PARAM:
    case PDNS_DLV:
    case PDNS_CDS:
    case PDNS_CDNSKEY:
    case PDNS_TA:
        return 1;

    default:
        return 0;
    }
}
