
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Messages to people, one line each, on standard error.
 */


#ifndef _PDS_LOG_H_INCLUDED_
#define _PDS_LOG_H_INCLUDED_


/* Writes "d4-pdns: ..." in one piece; control characters become "?". */
void pds_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));


#endif /* _PDS_LOG_H_INCLUDED_ */
