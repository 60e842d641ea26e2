/* The schema as SQL, version QE_EMBEDDED_SCHEMA_VERSION. Explained in README.md. A change of it is
 * a new version, with a step in schema.c that brings older files up. */
#ifndef QE_BACKEND_EMBEDDED_SCHEMA_TEXT_H
#define QE_BACKEND_EMBEDDED_SCHEMA_TEXT_H

#define QE_EMBEDDED_SCHEMA_VERSION 1
#define QE_EMBEDDED_SCHEMA_VERSION_TEXT "1"

/* Run in order inside one transaction; NULL at the end. */
extern const char *const qe_embedded_schema_text[];

#endif
