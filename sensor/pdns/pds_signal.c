
/*
 * Copyright (C) The ngx_d4 authors
 */


#include <string.h>
#include <unistd.h>

#include "pds_options.h"
#include "pds_signal.h"


volatile sig_atomic_t  pds_signal_stop;
volatile sig_atomic_t  pds_signal_stats;
volatile sig_atomic_t  pds_signal_flush;


static void pds_signal(int signo);


void
pds_signals(sigset_t *mask)
{
    size_t            i;
    sigset_t          set;
    struct sigaction  sa;

    static const int  list[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };

    sigemptyset(&set);
    memset(&sa, 0, sizeof(struct sigaction));
    sigemptyset(&sa.sa_mask);

    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);

    sa.sa_handler = pds_signal;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {

        /* reading a file goes on after them, but not after those to stop */

        sa.sa_flags = (list[i] == SIGUSR1 || list[i] == SIGUSR2) ? SA_RESTART
                                                                 : 0;
        sigaction(list[i], &sa, NULL);
        sigaddset(&set, list[i]);
    }

    sigprocmask(SIG_BLOCK, &set, mask);

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        sigdelset(mask, list[i]);
    }
}


static void
pds_signal(int signo)
{
    switch (signo) {

    case SIGUSR1:
        pds_signal_stats = 1;
        break;

    case SIGUSR2:
        pds_signal_flush = 1;
        break;

    default:
        if (pds_signal_stop) {
            _exit(PDS_EXIT_FAILED);
        }

        pds_signal_stop = 1;
    }
}
