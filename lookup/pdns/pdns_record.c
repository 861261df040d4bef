
#include "pdns_record.h"


const char *
pdns_result_text(pdns_result_t result)
{
    static const char *const  texts[] = {
        "ok", "empty", "short", "long", "bad_ts", "bad_class", "bad_type",
        "bad_name", "bad_rdata", "bad_count", "bad_json", "bad_field", "nx",
        "excluded", "filtered"
    };

    return (result < PDNS_RESULTS) ? texts[result] : "unknown";
}
