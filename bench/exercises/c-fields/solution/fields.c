#include "fields.h"

#include <string.h>

int fields_split(char *line, char *fields[FIELDS_MOST])
{
    int count = 0;
    char *begin = line;
    char *colon;

    while (count < FIELDS_MOST - 1 && (colon = strchr(begin, ':')) != NULL) {
        *colon = '\0';
        fields[count++] = begin;
        begin = colon + 1;
    }
    fields[count++] = begin;
    return count;
}
