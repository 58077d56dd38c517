/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The directives, one row each: id, name, the places where the directive is
 * allowed, the text of `httpd -L`, which is also the list after "Allowed" in an
 * error, and the members of its fw2_directive. config.c includes this file once
 * for each table that it makes of the rows, with another DIRECTIVE each time,
 * so the file has no include guard.
 */

#ifndef DIRECTIVE
#define DIRECTIVE(...)
#endif

/* clang-format off */

DIRECTIVE(ENGINE, "FinWait2Engine", SERVERS,
          "On (the default), or Off to leave a server's connections alone",
          POLICY(engine), .default_value = 1, .words = ON_OFF)

DIRECTIVE(LINGER, "FinWait2Linger", SECTIONS,
          "auto (the default), always, off, or httpd: which process lingers on "
          "a closed connection, and until when",
          POLICY(linger), .default_value = FW2_LINGER_AUTO,
          .words = WORDS({ "auto", FW2_LINGER_AUTO },
                         { "always", FW2_LINGER_ALWAYS },
                         { "off", FW2_LINGER_OFF },
                         { "httpd", FW2_LINGER_HTTPD }))

DIRECTIVE(LINGER_IDLE, "FinWait2LingerIdle", SECTIONS,
          "auto (the default), or a time from 10ms to 1h: the longest silence "
          "while lingering",
          POLICY(linger_idle), .default_value = FW2_IDLE_AUTO,
          .words = WORDS({ "auto", FW2_IDLE_AUTO }),
          TIME(1, FW2_LINGER_MIN, FW2_LINGER_MAX))

DIRECTIVE(LINGER_TOTAL, "FinWait2LingerTotal", SECTIONS,
          "a time from 10ms to 1h (30s is the default): the longest linger "
          "altogether",
          POLICY(linger_total), .default_value = 30 * SECOND,
          TIME(1, FW2_LINGER_MIN, FW2_LINGER_MAX))

DIRECTIVE(LINGER_BYTES, "FinWait2LingerBytes", SECTIONS,
          "unlimited (the default), or a size such as 65536, 64K, 16M or 1G: "
          "the most bytes drained from one connection",
          POLICY(linger_bytes), .default_value = FW2_BYTES_UNLIMITED,
          .words = WORDS({ "unlimited", FW2_BYTES_UNLIMITED }),
          .parse = parse_size, .unit = 1, .min = 1, .max = APR_INT64_MAX)

DIRECTIVE(TIMEOUT, "FinWait2Timeout", SECTIONS,
          "system (the default), none, 1s to 60s, or 120s: how long the kernel "
          "keeps a connection that the client does not close",
          POLICY(timeout), .default_value = FW2_TIMEOUT_SYSTEM,
          .words = WORDS({ "system", FW2_TIMEOUT_SYSTEM },
                         { "none", FW2_TIMEOUT_NONE }),
          TIME(SECOND, 1, FW2_TIMEOUT_MAX), .refuse = refuse_timeout)

DIRECTIVE(USER_TIMEOUT, "FinWait2UserTimeout", SECTIONS,
          "system (the default), or a time from 100ms to 1h: how long the "
          "client of a closing connection may acknowledge nothing",
          POLICY(user_timeout), .default_value = FW2_USER_TIMEOUT_SYSTEM,
          .words = WORDS({ "system", FW2_USER_TIMEOUT_SYSTEM }),
          TIME(1, FW2_USER_TIMEOUT_MIN, FW2_USER_TIMEOUT_MAX),
          .refuse = refuse_user_timeout)

DIRECTIVE(SOCKET_LINGER, "FinWait2SocketLinger", SECTIONS,
          "off (the default), reset, or 1s to 1h: SO_LINGER of accepted "
          "connections",
          POLICY(socket_linger), .default_value = FW2_SOCKET_LINGER_OFF,
          .words = WORDS({ "off", FW2_SOCKET_LINGER_OFF },
                         { "reset", FW2_SOCKET_LINGER_RESET }),
          TIME(SECOND, 1, 3600),
          .warn = warn_socket_linger)

DIRECTIVE(KEEPALIVE_TIMEOUT, "FinWait2KeepAliveTimeout", SERVERS,
          "inherit (the default, httpd's KeepAliveTimeout), or 0 to 24h in ms, "
          "s, min or h",
          POLICY(keepalive_timeout), .default_value = FW2_KEEPALIVE_INHERIT,
          .words = WORDS({ "inherit", FW2_KEEPALIVE_INHERIT }),
          TIME(1, 0, 86400 * SECOND))

DIRECTIVE(KEEPALIVE_ADVERTISE, "FinWait2KeepAliveAdvertise", SERVERS,
          "inherit (the default, the real time), off, or 1s to 24h in whole "
          "seconds: the time that responses promise in Keep-Alive",
          POLICY(advertise), .default_value = FW2_ADVERTISE_INHERIT,
          .words = WORDS({ "inherit", FW2_ADVERTISE_INHERIT },
                         { "off", FW2_ADVERTISE_OFF }),
          TIME(SECOND, 1, 86400))

DIRECTIVE(LINGER_SLOTS, "FinWait2LingerSlots", MAIN_SERVER,
          "auto (the default, 65536 or what descriptors allow), or 1 to "
          "1048576: how many connections the whole server may linger on",
          GLOBAL(slots), .default_value = FW2_SLOTS_AUTO,
          .words = WORDS({ "auto", FW2_SLOTS_AUTO }),
          .parse = parse_count, .unit = 1, .min = 1, .max = 1 << 20)

DIRECTIVE(STATUS, "FinWait2Status", MAIN_SERVER,
          "On, or Off (the default): whether the handler finwait-status "
          "answers",
          GLOBAL(status), .default_value = 0, .words = ON_OFF)

DIRECTIVE(STATUS_PEERS, "FinWait2StatusPeers", MAIN_SERVER,
          "On, or Off (the default): whether its page shows the clients' "
          "addresses",
          GLOBAL(peers), .default_value = 0, .words = ON_OFF)

DIRECTIVE(SAMPLE, "FinWait2Sample", MAIN_SERVER,
          "Off, or a time from 1s to 1h (5s is the default): how often the "
          "page's history gets a sample",
          GLOBAL(sample), .default_value = 5 * SECOND,
          .words = WORDS({ "Off", FW2_SAMPLE_OFF }),
          TIME(1, SECOND, 3600 * SECOND))

/* clang-format on */

#undef DIRECTIVE
