/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "base/outcome.h"

const char *const fw2_ending_names[FW2_ENDINGS] = { "acked",      "peer_closed",
                                                    "peer_reset", "silence",
                                                    "total",      "bytes",
                                                    "evicted",    "stopped" };

const char *const fw2_cause_names[FW2_CAUSES] = {
    "peer",  "keepalive",     "connection_close",
    "error", "request_limit", "timeout",
    "stop",  "other"
};

const char *const fw2_refusal_names[FW2_REFUSALS] = {
    "queue_full", "no_process", "cannot_linger", "send_refused"
};

const char *const fw2_side_names[FW2_SIDES] = { "by_peer", "by_server" };

const char *const fw2_idle_names[FW2_IDLES] = { "client_in_time", "client_late",
                                                "server" };

const char *const fw2_protocol_names[FW2_PROTOCOLS] = { "http1", "http2",
                                                        "other" };

int fw2_outcome_is_open(fw2_ending ending)
{
    return ending != FW2_PEER_CLOSED && ending != FW2_PEER_RESET;
}
