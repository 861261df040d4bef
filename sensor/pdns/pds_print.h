
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The data of a record as text, through libldns.  No input or output of its
 * own.
 */


#ifndef _PDS_PRINT_H_INCLUDED_
#define _PDS_PRINT_H_INCLUDED_


#include "pds_message.h"
#include "pds_text.h"


typedef struct pds_print_s  pds_print_t;


/* Working space; NULL without memory. */
pds_print_t *pds_print_create(void);
void pds_print_destroy(pds_print_t *print);

/*
 * Writes the data of r, in the generic form where the library cannot print
 * it.  Not even tried, and t->full set, when it could not fit.
 */
void pds_print_rdata(pds_print_t *print, pds_text_t *t,
    const pds_record_t *r);


#endif /* _PDS_PRINT_H_INCLUDED_ */
