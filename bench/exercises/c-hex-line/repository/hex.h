#ifndef HEX_H
#define HEX_H

#include <stddef.h>

/* Bytes on one line of a dump. */
#define HEX_WIDTH 8

/* The longest line with its end. */
#define HEX_LINE 48

/*
 * Writes one line: the offset, up to HEX_WIDTH bytes in hexadecimal, and the same bytes as text, where a dot stands for
 * what is not a printable character of ASCII (a space is one).
 *
 *     0010  48 65 79 0a              Hey.
 */
void hex_line(char line[HEX_LINE], size_t offset, const unsigned char *bytes, size_t count);

#endif
