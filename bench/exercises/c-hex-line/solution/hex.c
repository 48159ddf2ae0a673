#include "hex.h"

#include <stdio.h>

static int is_printable(unsigned char byte)
{
    return byte >= 0x20 && byte <= 0x7e;
}

void hex_line(char line[HEX_LINE], size_t offset, const unsigned char *bytes, size_t count)
{
    size_t at = (size_t)sprintf(line, "%04zx  ", offset & 0xffff);

    if (count > HEX_WIDTH)
        count = HEX_WIDTH;
    for (size_t i = 0; i < HEX_WIDTH; i++) {
        if (i < count)
            at += (size_t)sprintf(line + at, "%02x ", bytes[i]);
        else
            at += (size_t)sprintf(line + at, "   ");
    }
    line[at++] = ' ';
    for (size_t i = 0; i < count; i++)
        line[at++] = is_printable(bytes[i]) ? (char)bytes[i] : '.';
    line[at] = '\0';
}
