
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * What signals have asked for: set by them, cleared by who does it.
 */


#ifndef _PDS_SIGNAL_H_INCLUDED_
#define _PDS_SIGNAL_H_INCLUDED_


#include <signal.h>


extern volatile sig_atomic_t  pds_signal_stop;
extern volatile sig_atomic_t  pds_signal_stats;
extern volatile sig_atomic_t  pds_signal_flush;


/*
 * Takes them over; they are blocked but for the time of waiting, with the mask
 * returned.  A second one to stop ends the process.
 */
void pds_signals(sigset_t *mask);


#endif /* _PDS_SIGNAL_H_INCLUDED_ */
