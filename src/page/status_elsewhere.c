/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The part of the page on connections elsewhere, which explains why netstat
 * shows a larger number. */

#include "page/status_impl.h"

#include "apr_strings.h"
#include "http_protocol.h"

#include "page/text.h"

/* Return ", 4,000 are at port 8080 (another program)". */
static const char *at_port(request_rec *r, const fw2_port *at)
{
    if (at->role == FW2_SERVER) {
        return apr_psprintf(r->pool,
                            ", <b>%s</b> %s at port %d (another program)",
                            fw2_text_number(r->pool, at->n),
                            FW2_PLURAL(at->n, "is", "are"), at->port);
    }
    return apr_psprintf(r->pool, ", <b>%s</b> %s of this machine to port %d",
                        fw2_text_number(r->pool, at->n),
                        FW2_PLURAL(at->n, "is a connection", "are connections"),
                        at->port);
}

void fw2_write_elsewhere(request_rec *r, const fw2_report *report)
{
    const fw2_elsewhere *there = &report->elsewhere;
    apr_int64_t ours = report->half_closed.total, rest = there->half_closed;
    int i;

    ap_rputs("<section id=elsewhere class=card><h2>Elsewhere</h2>\n<p>", r);
    if (ours == FW2_UNKNOWN || rest == FW2_UNKNOWN) {
        ap_rputs(
            "Not counted: other programs have too many closing connections to "
            "count, or no source could be read.</p></section>\n",
            r);
        return;
    }
    ap_rprintf(r, "<code>netstat</code> shows <b>%s</b>: <b>%s</b> %s httpd's",
               fw2_text_number(r->pool, ours + rest),
               fw2_text_number(r->pool, ours), FW2_PLURAL(ours, "is", "are"));
    for (i = 0; i < there->n; i++) {
        ap_rputs(at_port(r, &there->top[i]), r);
        rest -= there->top[i].n;
    }
    if (rest > 0) {
        ap_rprintf(r, ", <b>%s</b> %s at other ports",
                   fw2_text_number(r->pool, rest),
                   FW2_PLURAL(rest, "is", "are"));
    }
    ap_rputs(".</p></section>\n", r);
}
