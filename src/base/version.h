/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef FW2_VERSION_H
#define FW2_VERSION_H

/*
 * version: the module's version, defined here only. CHANGES begins with the
 * same version; t/05-docs.t compares the two.
 */

#define FW2_VERSION "1.0.0"

#endif /* FW2_VERSION_H */
