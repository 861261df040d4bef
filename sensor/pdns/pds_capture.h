
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * Packets of an interface or of a file, through libpcap.
 */


#ifndef _PDS_CAPTURE_H_INCLUDED_
#define _PDS_CAPTURE_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>

#include <pcap.h>

#include "pds_options.h"


#define PDS_CAPTURE_DELAY  100         /* ms a packet may wait for others */


typedef struct {
    const char    *name;
    pcap_t        *pcap;
    pds_link_t     link;
    int            fd;                 /* to wait for; a file: -1 */
    pds_sensor_t  *sensor;
    int            live;
} pds_capture_t;


/* Return 0, or -1 with the error reported. */
int pds_capture_interface(pds_capture_t *c, const char *name,
    const pds_options_t *o);

/* Closes the file in any case; a signal to stop is an error, not reported. */
int pds_capture_file(pds_capture_t *c, const char *name, FILE *file,
    const pds_options_t *o);

/*
 * Gives the packets that are there, a limited number of them, to the sensor.
 * Returns how many, 0: none now, or, in a file, no more; -1 after an error,
 * reported.
 */
int pds_capture_read(pds_capture_t *c, pds_sensor_t *sensor);

/* What the kernel counted: given to us, dropped for want of room. */
void pds_capture_stats(const pds_capture_t *c, uint64_t *received,
    uint64_t *dropped);

void pds_capture_close(pds_capture_t *c);


#endif /* _PDS_CAPTURE_H_INCLUDED_ */
