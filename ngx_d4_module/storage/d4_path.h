
/*
 * Names of what is written below the data root.  They are those of the
 * published D4 server (reference d4-core, sections 3 and 4) and are made of
 * trusted parts alone: uuids and digests that are checked to be hex digits,
 * numbers, the calendar, and what a sensor chose only after it was checked
 * (the name of an extended type) or cleaned (anything else).
 *
 * A path is relative to the data root, ends with a zero and consists of
 * letters, digits and "._-:+" between single slashes; no part of it begins
 * with a dot.
 *
 * The number n tells files apart that would have the same name: 0 is the
 * published name, anything else becomes "-<n>" before the suffix.
 */


#ifndef _D4_PATH_H_INCLUDED_
#define _D4_PATH_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <time.h>


#pragma GCC visibility push(hidden)


#define D4_PATH_MAX       320          /* the longest path, with its zero */
#define D4_PATH_NAME      100          /* the longest name a sensor chooses */


typedef enum {
    D4_PATH_TEXT = 0,                  /* the data of an extended type */
    D4_PATH_META                       /* its type 2 object */
} d4_path_kind_t;


/*
 * The suffix of a numeric type's files with its dot, a constant; NULL for a
 * type that has none: unknown, 2, 254.
 */
const char *d4_path_suffix(unsigned type);

/*
 * 1 when name, len bytes, can name an extended type: 1 to D4_PATH_NAME of
 * A-Z a-z 0-9 . _ - and no dot in front.  Else 0.
 */
int d4_path_ext_valid(const char *name, size_t len);

/*
 * Makes a name of any len bytes a sensor sent (a Timestamp, the extension of a
 * file): at most D4_PATH_NAME of them, each that may not be in a path and a
 * dot in front become "_", nothing becomes "_".  Different texts may give one
 * name.  Writes a final zero, returns the length.
 */
size_t d4_path_clean(char out[D4_PATH_NAME + 1], const char *p, size_t len);

/*
 * All of these write a path to out and return 0, or -1 and write "" when a
 * part is not what it has to be.  uuid is 32 lower-case hex digits and sha1
 * and sha256 are 40 and 64 of them, each with a final zero; tm is the time of
 * the file, local or UTC as the administrator chose.
 */

/* <uuid>/<type>/YYYY/MM/DD/<uuid>-YYYY-MM-DD-HHMMSS[-n]<suffix> */
int d4_path_numeric(char out[D4_PATH_MAX], const char *uuid, unsigned type,
    const struct tm *tm, unsigned n);

/* <uuid>/254/YYYY/MM/DD/<ext>/<uuid>-YYYY-MM-DD-HHMMSS[-n].txt or .json */
int d4_path_extended(char out[D4_PATH_MAX], const char *uuid,
    const char *ext, size_t len, d4_path_kind_t kind, const struct tm *tm,
    unsigned n);

/* datas/ja3-jl/certs/<sha1>[-n].crt */
int d4_path_cert(char out[D4_PATH_MAX], const char *sha1, unsigned n);

/* datas/ja3-jl/jsons/<timestamp, cleaned>[-n].json */
int d4_path_session(char out[D4_PATH_MAX], const char *timestamp, size_t len,
    unsigned n);

/*
 * <uuid>/254/YYYY/MM/DD/filewatcher/files/<sha256>[-n].<extension, cleaned>,
 * with uuid NULL datas/filewatcher/files/...; no extension (len 0) leaves the
 * dot; gz adds ".gz"
 */
int d4_path_watched(char out[D4_PATH_MAX], const char *uuid,
    const struct tm *tm, const char *sha256, const char *extension, size_t len,
    int gz, unsigned n);

/* <uuid>/254/YYYY/MM/DD/filewatcherjson/files/<sha256>[-n].json */
int d4_path_watched_json(char out[D4_PATH_MAX], const char *uuid,
    const struct tm *tm, const char *sha256, unsigned n);

/*
 * 1 when a path of these is of a file that a session writes to, or that waits
 * to be compressed; 0 when it is complete: compressed, or what is below datas/
 * and in the directory "files" of an extended type.
 */
int d4_path_growing(const char *path);


#pragma GCC visibility pop

#endif /* _D4_PATH_H_INCLUDED_ */
