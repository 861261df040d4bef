
/*
 * Copyright (C) The ngx_d4 authors
 */

/*
 * The D4 sensor client: frames what it reads and sends it to a D4 server.
 */


#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "d4_client.h"
#include "d4_config.h"
#include "d4_log.h"
#include "d4_options.h"


static void d4_standard_files(void);
static void d4_signals(sigset_t *mask);
static void d4_signal(int signo);


int
main(int argc, char **argv)
{
    int           code;
    sigset_t      mask;
    d4_config_t   config;
    d4_options_t  options;

    d4_standard_files();
    d4_signals(&mask);

    code = d4_options_parse(&options, argc, argv);
    if (code != -1) {
        return code;
    }

    d4_log_verbose = options.verbose;

    if (d4_config_load(&config, &options) != 0) {
        return D4_EXIT_CONFIG;
    }

    if (options.check) {
        d4_log("the configuration in %s is valid", options.config);
        d4_config_free(&config);
        return D4_EXIT_OK;
    }

    return d4_client_run(&options, &config, &mask);
}


/* Else the first socket opened would become where messages are written to. */

static void
d4_standard_files(void)
{
    int  fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd != -1 && fd <= STDERR_FILENO);

    if (fd != -1) {
        close(fd);
    }
}


/* They are blocked but for the time of waiting, with the mask returned. */

static void
d4_signals(sigset_t *mask)
{
    size_t            i;
    sigset_t          set;
    struct sigaction  sa;

    static const int  list[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

    memset(&sa, 0, sizeof(struct sigaction));
    sigemptyset(&set);

    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);

    sa.sa_handler = d4_signal;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        sigaddset(&set, list[i]);
        sigaction(list[i], &sa, NULL);
    }

    sigprocmask(SIG_BLOCK, &set, mask);

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        sigdelset(mask, list[i]);
    }
}


static void
d4_signal(int signo)
{
    switch (signo) {

    case SIGHUP:
        d4_signal_reload = 1;
        break;

    case SIGUSR1:
        d4_signal_stats = 1;
        break;

    default:
        d4_signal_stop = 1;
    }
}
