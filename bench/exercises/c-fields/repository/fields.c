#include "fields.h"

#include <string.h>

int fields_split(char *line, char *fields[FIELDS_MOST])
{
    int count = 0;
    char *begin = line;
    char *colon;

    while (count < FIELDS_MOST && (colon = strchr(begin, ':')) != NULL) {
        *colon = '\0';
        if (colon > begin)
            fields[count++] = begin;
        begin = colon + 1;
    }
    return count;
}
