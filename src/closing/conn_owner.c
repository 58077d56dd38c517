/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The virtual host that a connection is counted for, and the policy for its
 * end. Both are copied, since a request's memory may not be used after its
 * response. */

#include "closing/conn_impl.h"

#include "apr_atomic.h"

/* Write the owner. A record allows one writer at a time. A thread that finds
 * another writer does not write: both requests are read at the same instant, so
 * either owner is right. */
static void write_owner(fw2_conn *conn, const fw2_owner *owner)
{
    if (!apr_atomic_cas32(&conn->owning, 1, 0)) {
        fw2_record_write(conn->owner, owner, sizeof(*owner));
        (void)apr_atomic_cas32(&conn->owning, 0, 1);
    }
}

void fw2_conn_owner_begin(fw2_conn *conn, conn_rec *c, const fw2_owner *owner)
{
    conn->owner = apr_pcalloc(c->pool, fw2_record_size(sizeof(*owner)));
    write_owner(conn, owner);
}

/* If the record is written during each try to read it, the connection counts as
 * one without a request. */
void fw2_conn_owner_read(const fw2_conn *conn, const conn_rec *c,
                         fw2_owner *owner)
{
    if (!fw2_record_read(conn->owner, owner, sizeof(*owner))) {
        (void)fw2_config_server(c->base_server, owner);
    }
}

/* Note the request, and write its virtual host as the owner. A server that a
 * module made at run time without a configuration of httpd is no virtual host
 * of the page, so the server of the address counts instead. */
void fw2_conn_owner_request(fw2_conn *conn, const request_rec *r)
{
    fw2_owner owner;

    fw2_sync_write(&conn->last, (apr_uintptr_t)r);
    if (fw2_config_server(r->server, &owner)
        || fw2_config_server(r->connection->base_server, &owner)) {
        write_owner(conn, &owner);
    }
}

int fw2_conn_owner_answered(fw2_conn *conn, const request_rec *r)
{
    fw2_owner had, owner;

    if (fw2_sync_read(&conn->last) != (apr_uintptr_t)r) {
        return 0;
    }
    fw2_conn_owner_read(conn, r->connection, &had);
    owner = had;
    fw2_config_request(r, &owner);
    if (!memcmp(&owner, &had, sizeof(owner))) {
        return 0;
    }
    write_owner(conn, &owner);
    return 1;
}
