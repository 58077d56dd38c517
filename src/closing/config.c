/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "closing/config.h"
#include "kernel/sockopts.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"

APLOG_USE_MODULE(finwait2);

#define SECOND APR_USEC_PER_SEC

/* The number of a server before post_config has set it. */
#define NO_VHOST ((apr_uint32_t)-1)

/* The configuration of one server or of one section. */
typedef struct {
    fw2_policy policy;
    fw2_globals globals;
    apr_uint32_t vhost; /* the server's number, or NO_VHOST */
    apr_uint32_t set;   /* bit i: the directive of row i was set, here or in a
                           merged configuration */
    /* The settings of a server's sections; only in servers. */
    int section_lingers;       /* 1: a section lingers */
    int section_kernel;        /* 1: a section has FinWait2Timeout or
                                  FinWait2UserTimeout */
    apr_int64_t section_total; /* the longest FinWait2LingerTotal */
} fw2_config;

/* A word that stands for a value, for example `system`. */
typedef struct {
    const char *word;
    apr_int64_t value;
} fw2_word;

/* A directive: the place, the spelling and the range of its value. */
typedef struct {
    apr_size_t offset; /* of an apr_int64_t in fw2_config */
    apr_int64_t default_value;
    const fw2_word *words; /* ended by a NULL word; NULL: no words */
    /* Parse a number; return the reason of an error, or NULL. May itself be
     * NULL, for a directive with words only. */
    const char *(*parse)(const char *arg, apr_int64_t *number);
    apr_int64_t unit;     /* parsed units in one unit of the value */
    apr_int64_t min, max; /* of the value */
    unsigned int context; /* where the directive is not allowed, or 0 */
    /* Return the reason why a value in range is refused, or NULL. May itself be
     * NULL. */
    const char *(*refuse)(apr_int64_t value);
    /* Return the value's unexpected effect, or NULL. May itself be NULL. */
    const char *(*warn)(apr_int64_t value);
} fw2_directive;

/*
 * Parse a time. ap_timeout_parameter_parse() accepts "soon" as 0 and "2shoes"
 * as 2 s, so the spelling is checked here first.
 */
static const char *parse_time(const char *arg, apr_int64_t *number)
{
    static const char *const units[] = { "", "ms", "s", "min", "h", NULL };
    const char *unit = arg + strspn(arg, "0123456789");
    int i;

    if (*arg == '-' && apr_isdigit(arg[1])) {
        return "a time cannot be negative";
    }
    if (unit == arg) {
        return "it is neither one of its words nor a time";
    }
    if (*unit == '.' || *unit == ',') {
        return "a time has no fraction; take a smaller unit";
    }
    for (i = 0; units[i] && strcmp(unit, units[i]); i++) {
    }
    if (!units[i]) {
        return "there is no such unit of time; take ms, s, min or h";
    }
    errno = 0; /* ap_timeout_parameter_parse() reports a former error */
    if (ap_timeout_parameter_parse(arg, number, "s") != APR_SUCCESS) {
        return "the number is too large";
    }
    return NULL;
}

static const char *parse_size(const char *arg, apr_int64_t *number)
{
    static const char units[] = "KMG";
    const char *unit = arg + strspn(arg, "0123456789");
    const char *known = *unit ? strchr(units, *unit) : NULL;
    int shift = known ? 10 * (int)(known - units + 1) : 0;

    if (unit == arg) {
        return "it is neither one of its words nor a size";
    }
    if (*unit && (!known || unit[1])) {
        return "there is no such unit of size; take K, M or G";
    }
    errno = 0;
    *number = apr_strtoi64(arg, NULL, 10);
    if (errno || *number > APR_INT64_MAX >> shift) {
        return "the number is too large";
    }
    *number <<= shift;
    return NULL;
}

static const char *parse_count(const char *arg, apr_int64_t *number)
{
    if (!*arg || arg[strspn(arg, "0123456789")]) {
        return "it is neither one of its words nor a whole number";
    }
    return parse_size(arg, number);
}

static const char *refuse_timeout(apr_int64_t seconds)
{
    if (seconds != FW2_TIMEOUT_SYSTEM && !fw2_sockopts_has_linger2()) {
        return "this platform has no TCP_LINGER2, only a setting of the whole "
               "system (docs/operating-systems.md)";
    }
    if (seconds > FW2_TIMEOUT_EXACT_MAX && seconds < FW2_TIMEOUT_MAX) {
        return "the kernel would keep it for twice what is above 60 s, not "
               "for what you ask";
    }
    return NULL;
}

static const char *refuse_user_timeout(apr_int64_t time)
{
    if (time != FW2_USER_TIMEOUT_SYSTEM && !fw2_sockopts_has_user_timeout()) {
        return "this platform has no TCP_USER_TIMEOUT";
    }
    return NULL;
}

static const char *warn_socket_linger(apr_int64_t seconds)
{
    if (seconds == FW2_SOCKET_LINGER_RESET) {
        return "close() throws away what the peer has not acknowledged yet: "
               "slow readers get truncated responses";
    }
    if (seconds > 0) {
        return "close() blocks its thread until the peer has acknowledged "
               "everything or the time is over, about 45 ms even for a "
               "healthy client";
    }
    return NULL;
}

#define WORDS(...)    ((const fw2_word[]){ __VA_ARGS__, { NULL, 0 } })
#define ON_OFF        WORDS({ "On", 1 }, { "Off", 0 })
#define POLICY(field) .offset = APR_OFFSETOF(fw2_config, policy.field)
#define GLOBAL(field) .offset = APR_OFFSETOF(fw2_config, globals.field)
#define TIME(unit_, min_, max_)                                                \
    .parse = parse_time, .unit = (unit_), .min = (min_), .max = (max_)

enum {
#define DIRECTIVE(id, ...) id,
#include "closing/config_directives.h"
    ROWS
};

#define CONTEXT_MAIN_SERVER GLOBAL_ONLY
#define CONTEXT_SERVERS     0
#define CONTEXT_SECTIONS    0

static const fw2_directive rows[ROWS] = {
#define DIRECTIVE(id, name, where, allowed, ...)                               \
    [id] = { .context = CONTEXT_##where, __VA_ARGS__ },
#include "closing/config_directives.h"
};

static fw2_config *config_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &finwait2_module);
}

static apr_int64_t *value_of(fw2_config *conf, int row)
{
    return (apr_int64_t *)((char *)conf + rows[row].offset);
}

void *fw2_config_create(apr_pool_t *pool, server_rec *s)
{
    fw2_config *conf = apr_pcalloc(pool, sizeof(*conf));
    int row;

    for (row = 0; row < ROWS; row++) {
        *value_of(conf, row) = rows[row].default_value;
    }
    conf->vhost = NO_VHOST;
    return conf;
}

void *fw2_config_create_section(apr_pool_t *pool, char *path)
{
    return fw2_config_create(pool, NULL);
}

/* Copy the values of all directives that were set. */
static void copy_set_values(fw2_config *to, fw2_config *from)
{
    int row;

    for (row = 0; row < ROWS; row++) {
        if (from->set & (1U << row)) {
            *value_of(to, row) = *value_of(from, row);
        }
    }
    to->set |= from->set;
}

void *fw2_config_merge(apr_pool_t *pool, void *base, void *add)
{
    fw2_config *merged = apr_pmemdup(pool, base, sizeof(*merged));
    fw2_config *own = add;

    copy_set_values(merged, own);
    merged->section_lingers |= own->section_lingers;
    merged->section_kernel |= own->section_kernel;
    if (own->section_total > merged->section_total) {
        merged->section_total = own->section_total;
    }
    return merged;
}

/* Parse a number as the value of a row. Return the reason of an error, or
 * NULL. */
static const char *parse_number(const fw2_directive *row, const char *arg,
                                apr_int64_t *value)
{
    const char *why = row->parse(arg, value);

    if (why) {
        return why;
    }
    if (*value % row->unit) {
        return "it takes whole seconds";
    }
    *value /= row->unit;
    if (*value < row->min || *value > row->max) {
        return "it is out of range";
    }
    return NULL;
}

/* Parse an argument as the value of a row. Return the reason of an error, or
 * NULL. */
static const char *parse_value(const fw2_directive *row, const char *arg,
                               apr_int64_t *value)
{
    const fw2_word *word;

    for (word = row->words; word && word->word; word++) {
        if (!ap_cstr_casecmp(arg, word->word)) {
            *value = word->value;
            return NULL;
        }
    }
    return row->parse ? parse_number(row, arg, value)
                      : "it is none of its words";
}

static int is_lingering(apr_int64_t linger)
{
    return linger == FW2_LINGER_AUTO || linger == FW2_LINGER_ALWAYS;
}

/* Note a section's value in its server's configuration, since httpd has no list
 * of sections. httpd reads the configuration once to check it before it starts;
 * the warning is not logged then. */
static void note_section(const cmd_parms *cmd, const fw2_directive *row,
                         apr_int64_t value)
{
    fw2_config *server = config_of(cmd->server);
    const char *why = row->warn ? row->warn(value) : NULL;

    if (row == &rows[LINGER] && is_lingering(value)) {
        server->section_lingers = 1;
    }
    if (row == &rows[TIMEOUT] || row == &rows[USER_TIMEOUT]) {
        server->section_kernel = 1;
    }
    if (row == &rows[LINGER_TOTAL] && value > server->section_total) {
        server->section_total = value;
    }
    if (why && ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server,
                     "%s in line %d of %s: %s. It is applied as configured",
                     cmd->cmd->name, cmd->directive->line_num,
                     cmd->directive->filename, why);
    }
}

static const char *set_value(cmd_parms *cmd, void *section, const char *arg)
{
    fw2_config *conf = cmd->path ? section : config_of(cmd->server);
    const fw2_directive *row = cmd->info;
    apr_int64_t value = row->default_value;
    const char *why;

    why = ap_check_cmd_context(cmd,
                               row->context | NOT_IN_HTACCESS | NOT_IN_LIMIT);
    if (why) {
        return why;
    }
    why = parse_value(row, arg, &value);
    if (!why && row->refuse) {
        why = row->refuse(value);
    }
    if (why) {
        return apr_psprintf(cmd->pool,
                            "%s cannot be '%s': %s. Allowed: %s. The "
                            "configuration is refused",
                            cmd->cmd->name, arg, why, cmd->cmd->errmsg);
    }
    *value_of(conf, (int)(row - rows)) = value;
    conf->set |= 1U << (row - rows);
    if (cmd->path) {
        note_section(cmd, row, value);
    }
    return NULL;
}

#define OVERRIDE_MAIN_SERVER RSRC_CONF
#define OVERRIDE_SERVERS     RSRC_CONF
/* These directives take effect at the end of a connection, and the last request
 * decides. */
#define OVERRIDE_SECTIONS (RSRC_CONF | ACCESS_CONF)

/* In the order of the rows. */
const command_rec fw2_config_commands[] = {
#define DIRECTIVE(id, name, where, allowed, ...)                               \
    AP_INIT_TAKE1(name, set_value, (void *)&rows[id], OVERRIDE_##where,        \
                  allowed),
#include "closing/config_directives.h"
    { NULL }
};

const fw2_policy *fw2_config_policy(const server_rec *s)
{
    return &config_of(s)->policy;
}

int fw2_config_server(const server_rec *s, fw2_owner *owner)
{
    const fw2_config *conf = s->module_config ? config_of(s) : NULL;

    if (!conf || conf->vhost == NO_VHOST) {
        return 0;
    }
    owner->policy = conf->policy;
    owner->vhost = conf->vhost;
    return 1;
}

void fw2_config_request(const request_rec *r, fw2_owner *owner)
{
    fw2_config *section =
        ap_get_module_config(r->per_dir_config, &finwait2_module);
    fw2_config wanted = { .set = 0 };

    (void)fw2_config_server(r->server, owner);
    if (section && section->set) {
        wanted.policy = owner->policy;
        copy_set_values(&wanted, section);
        owner->policy = wanted.policy;
    }
}

int fw2_config_lingers(const server_rec *s)
{
    const fw2_config *conf = config_of(s);

    return conf->policy.engine
           && (is_lingering(conf->policy.linger) || conf->section_lingers);
}

apr_interval_time_t fw2_config_longest(const server_rec *s)
{
    const fw2_config *conf = config_of(s);

    return conf->policy.linger_total > conf->section_total
               ? conf->policy.linger_total
               : conf->section_total;
}

int fw2_config_varies(const server_rec *s)
{
    return config_of(s)->section_kernel;
}

void fw2_config_set_vhost(server_rec *s, apr_uint32_t vhost, apr_pool_t *pool)
{
    fw2_config *own = apr_pmemdup(pool, config_of(s), sizeof(*own));

    own->vhost = vhost;
    ap_set_module_config(s->module_config, &finwait2_module, own);
}

apr_uint32_t fw2_config_vhost(const server_rec *s)
{
    return config_of(s)->vhost;
}

const fw2_globals *fw2_config_globals(const server_rec *main_server)
{
    return &config_of(main_server)->globals;
}

static const char *name_of(const server_rec *s)
{
    return s->server_hostname ? s->server_hostname : "(no ServerName)";
}

/* Log a warning for each value with an unexpected effect. The main server's
 * warning covers a virtual host with the same value. */
static void warn_values(const server_rec *s, const server_rec *main_server)
{
    fw2_config *conf = config_of(s);
    int row;

    for (row = 0; conf->policy.engine && row < ROWS; row++) {
        apr_int64_t value = *value_of(conf, row);
        const char *why = rows[row].warn ? rows[row].warn(value) : NULL;

        if (why
            && (s == main_server
                || value != *value_of(config_of(main_server), row))) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         "%s of %s %s: %s. It is applied as configured",
                         fw2_config_commands[row].name,
                         s->is_virtual ? "virtual host" : "server", name_of(s),
                         why);
        }
    }
}

/* Continue a hash (FNV-1a). */
static apr_uint64_t digest(apr_uint64_t so_far, const void *data,
                           apr_size_t length)
{
    const unsigned char *byte = data;

    while (length--) {
        so_far = (so_far ^ *byte++) * APR_UINT64_C(0x100000001b3);
    }
    return so_far;
}

apr_uint64_t fw2_config_digest(const server_rec *main_server)
{
    apr_uint64_t so_far = APR_UINT64_C(0xcbf29ce484222325);
    const server_rec *s;
    int row;

    for (s = main_server; s; s = s->next) {
        so_far = digest(so_far, name_of(s), strlen(name_of(s)) + 1);
        so_far = digest(so_far, &s->port, sizeof(s->port));
        so_far = digest(so_far, &s->keep_alive, sizeof(s->keep_alive));
        so_far = digest(so_far, &s->keep_alive_max, sizeof(s->keep_alive_max));
        so_far = digest(so_far, &s->keep_alive_timeout,
                        sizeof(s->keep_alive_timeout));
        so_far = digest(so_far, &s->timeout, sizeof(s->timeout));
        for (row = 0; row < ROWS; row++) {
            so_far = digest(so_far, value_of(config_of(s), row),
                            sizeof(apr_int64_t));
        }
    }
    return so_far;
}

static int any_uses_system(const server_rec *s)
{
    for (; s; s = s->next) {
        if (fw2_sockopts_of(fw2_config_policy(s)).linger2
            == FW2_TIMEOUT_SYSTEM) {
            return 1;
        }
    }
    return 0;
}

void fw2_config_warn(const server_rec *main_server, apr_int64_t tcp_fin_timeout)
{
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        warn_values(s, main_server);
    }
    if (tcp_fin_timeout > FW2_TIMEOUT_EXACT_MAX
        && tcp_fin_timeout < FW2_TIMEOUT_MAX && any_uses_system(main_server)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     "net.ipv4.tcp_fin_timeout is %d s, but the kernel then "
                     "keeps a closed connection for %d s: twice what is above "
                     "60 s. Set it to 60 or less, or 120, or set "
                     "FinWait2Timeout; it is left as it is for now",
                     (int)tcp_fin_timeout,
                     2 * ((int)tcp_fin_timeout - FW2_TIMEOUT_EXACT_MAX));
    }
}
