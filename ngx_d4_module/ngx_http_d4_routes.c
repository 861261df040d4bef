
/*
 * Copyright (C) The ngx_d4 authors
 */


#include "ngx_http_d4_api.h"


/* what has a name of its own below sensors/ comes before sensors/{} */

const ngx_http_d4_route_t  *const ngx_http_d4_routes[] = {
    ngx_http_d4_list_routes,
    ngx_http_d4_bulk_routes,
    ngx_http_d4_sensor_routes,
    ngx_http_d4_sensor_part_routes,
    ngx_http_d4_action_routes,
    ngx_http_d4_type_routes,
    ngx_http_d4_block_routes,
    ngx_http_d4_queue_routes,
    ngx_http_d4_stat_routes,
    ngx_http_d4_user_routes,
    ngx_http_d4_token_routes,
    ngx_http_d4_login_routes,
    ngx_http_d4_server_routes,
    ngx_http_d4_monitor_routes,
    NULL
};
