
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The command line.
 */


#ifndef _PDS_OPTIONS_H_INCLUDED_
#define _PDS_OPTIONS_H_INCLUDED_


#include "pds_sensor.h"


#define PDS_VERSION      "1.0"

#define PDS_INTERFACES   16
#define PDS_FILES        1024

#define PDS_EXIT_OK      0
#define PDS_EXIT_CONFIG  1
#define PDS_EXIT_FAILED  2


typedef struct {
    const char  *interface[PDS_INTERFACES];
    unsigned     interfaces;
    const char  *file[PDS_FILES];
    unsigned     files;
    const char  *dnstap;               /* path of the socket, or NULL */
    const char  *group;                /* that may connect to it */
    const char  *user;                 /* to become, or NULL */
    const char  *filter;               /* NULL: made from the ports */
    int          promiscuous;
    int          buffer;               /* of the kernel, bytes */
    pds_conf_t   conf;
} pds_options_t;


/*
 * Returns -1 to go on, else the exit code: after -h, -V or an error, which was
 * reported.
 */
int pds_options_parse(pds_options_t *o, int argc, char **argv);


#endif /* _PDS_OPTIONS_H_INCLUDED_ */
