
/*
 * Copyright (C) The ngx_d4 authors
 */


/*
 * Between a file's making and its first byte the cursor learns which inode it
 * is.  Should the session be taken over before anything of it is committed,
 * then that is what tells it from another session's file of the same name: an
 * hour that is repeated gives names that were given before.
 */


#include "ngx_d4_dispatch.h"


static void ngx_d4_dispatch_owned(void *data, redisReply *reply);


void
ngx_d4_dispatch_own(ngx_d4_dispatch_t *d)
{
    u_char     epoch[NGX_INT64_LEN], inode[NGX_INT64_LEN];
    ngx_str_t  argv[3];

    ngx_d4_str(&argv[0], d->sid, D4_SID);
    ngx_d4_str(&argv[1], epoch, ngx_sprintf(epoch, "%uL", d->epoch) - epoch);
    ngx_d4_str(&argv[2], inode, ngx_sprintf(inode, "%uL", d->inode) - inode);

    if (ngx_d4_script(ngx_d4_worker.queues, NGX_D4_SCRIPT_OWN, 3, argv,
                      ngx_d4_dispatch_owned, d)
        == NGX_OK)
    {
        d->refs++;
    }
}


static void
ngx_d4_dispatch_owned(void *data, redisReply *reply)
{
    ngx_d4_dispatch_t  *d = data;

    if (ngx_d4_dispatch_unref(d)) {
        return;
    }

    if (!ngx_d4_dispatch_succeeded(d, ngx_d4_worker.queues, reply, "own")) {
        return;
    }

    /* that there is no cursor any more, the commit finds out */

    if (ngx_d4_reply_int(reply) == 0) {
        ngx_d4_dispatch_restart(d);
        return;
    }

    d->owned = 1;

    ngx_d4_dispatch_work(d);
}
