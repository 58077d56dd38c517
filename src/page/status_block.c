/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The block in mod_status's page: a few lines, from the last count. Browsers
 * reload that page every few seconds, so the block never counts. */

#include "page/status.h"

#include "http_main.h"
#include "http_protocol.h"
#include "mod_status.h"

#include "page/status_impl.h"

static void write_paragraph(request_rec *r, const fw2_report *report)
{
    ap_rprintf(r, "<hr />\n<h2>Half-closed connections</h2>\n<p>%s</p>\n",
               ap_escape_html(r->pool, report->advice[0].text));
    if (report->half_closed.total == FW2_UNKNOWN) {
        ap_rputs(report->snapshot.counts
                     ? "<p>They could not be counted.</p>\n"
                     : "<p>They have not been counted yet: the process "
                       "finwait2 counts for a request of finwait-status, and "
                       "for each sample.</p>\n",
                 r);
        return;
    }
    ap_rprintf(r,
               "<p>Total: %" APR_INT64_T_FMT
               "; held by httpd: %" APR_INT64_T_FMT
               ", orphans of the kernel: %" APR_INT64_T_FMT
               "; counted %s seconds ago. The closer process holds "
               "%" APR_INT64_T_FMT " of at most %" APR_INT64_T_FMT ".</p>\n",
               report->half_closed.total, report->half_closed.held,
               report->half_closed.orphan,
               fw2_seconds_text(r->pool, report->snapshot.age),
               report->closer.held, report->closer.capacity);
}

int fw2_status_block(request_rec *r, int flags, const fw2_sources *sources)
{
    fw2_report report;

    if (!sources->wanted || !sources->boards) {
        return DECLINED;
    }
    fw2_status_describe(&report, r->pool);
    fw2_report_last(&report, sources, r->pool);
    fw2_status_advise(&report, r->pool);
    if (!(flags & AP_STATUS_SHORT)) {
        write_paragraph(r, &report);
        return OK;
    }
    fw2_metrics_choose(&report, sources, 0, r->pool);
    fw2_write_words(r, &report, "FinWait2");
    return OK;
}
