/* The few lines that the tests need: every check is made, and the program says at the end whether one failed. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

static int failed;

#define CHECK_TEXT(found, wanted)                                                                                      \
    do {                                                                                                               \
        const char *f_ = (found), *w_ = (wanted);                                                                      \
        if (strcmp(f_, w_) != 0) {                                                                                     \
            printf("%s:%d: found \"%s\", expected \"%s\"\n", __FILE__, __LINE__, f_, w_);                              \
            failed = 1;                                                                                                \
        }                                                                                                              \
    } while (0)

#define CHECK_INT(found, wanted)                                                                                       \
    do {                                                                                                               \
        long f_ = (long)(found), w_ = (long)(wanted);                                                                  \
        if (f_ != w_) {                                                                                                \
            printf("%s:%d: %s is %ld, expected %ld\n", __FILE__, __LINE__, #found, f_, w_);                            \
            failed = 1;                                                                                                \
        }                                                                                                              \
    } while (0)

#endif
