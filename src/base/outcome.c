/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "base/outcome.h"

const fw2_ending_row fw2_endings[FW2_ENDINGS] = {
    [FW2_ACKED] = { "acked", .open = 1 },
    [FW2_PEER_CLOSED] = { "peer_closed" },
    [FW2_PEER_RESET] = { "peer_reset" },
    [FW2_SILENCE] = { "silence", .open = 1, .idle = 1 },
    [FW2_TOTAL] = { "total", .open = 1, .idle = 1 },
    [FW2_BYTES] = { "bytes", .open = 1 },
    [FW2_EVICTED] = { "evicted", .open = 1 },
    [FW2_STOPPED] = { "stopped", .open = 1 },
};

const fw2_cause_row fw2_causes[FW2_CAUSES] = {
    [FW2_CAUSE_PEER] = { "peer", "client closed first" },
    [FW2_CAUSE_KEEPALIVE] = { "keepalive", "keep-alive time over",
                              "when the keep-alive time is over" },
    [FW2_CAUSE_CONNECTION_CLOSE] = { "connection_close", "Connection: close",
                                     "after Connection: close" },
    [FW2_CAUSE_ERROR] = { "error", "error", "after an error" },
    [FW2_CAUSE_REQUEST_LIMIT] = { "request_limit", "request limit",
                                  "after MaxKeepAliveRequests requests" },
    [FW2_CAUSE_TIMEOUT] = { "timeout", "client too slow",
                            "because the client was too slow" },
    [FW2_CAUSE_STOP] = { "stop", "httpd stopped" },
    [FW2_CAUSE_OTHER] = { "other", "other" },
};

const char *const fw2_refusal_names[FW2_REFUSALS] = {
    "queue_full", "no_process", "cannot_linger", "send_refused"
};

const char *const fw2_side_names[FW2_SIDES] = { "by_peer", "by_server" };

const char *const fw2_idle_names[FW2_IDLES] = { "client_in_time", "client_late",
                                                "server" };

const char *const fw2_protocol_names[FW2_PROTOCOLS] = { "http1", "http2",
                                                        "other" };
