#include "reading.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

int reading_parse(struct reading *reading, const char *line)
{
    const char *at = line + strcspn(line, "=\n");
    int sign = 1, whole = 0;

    if (*at != '=')
        return 0;
    snprintf(reading->name, sizeof reading->name, "%.*s", (int)(at - line), line);
    at++;
    if (*at == '-') {
        sign = -1;
        at++;
    }
    if (!isdigit((unsigned char)*at))
        return 0;
    while (isdigit((unsigned char)*at))
        whole = whole * 10 + (*at++ - '0');
    if (at[0] != '.' || !isdigit((unsigned char)at[1]) || (at[2] != '\0' && at[2] != '\n'))
        return 0;
    reading->tenths = sign * (whole * 10 + (at[1] - '0'));
    return 1;
}

const char *reading_next(const char *line)
{
    const char *end = strchr(line, '\n');

    return end == NULL || end[1] == '\0' ? NULL : end + 1;
}
