#include "record.h"

#include "fields.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST 256

int record_parse(struct record *record, const char *line)
{
    char copy[LINE_MOST];
    char *fields[FIELDS_MOST];
    char *end;
    long age;
    int count;

    snprintf(copy, sizeof copy, "%s", line);
    count = fields_split(copy, fields);
    memset(record, 0, sizeof *record);
    record->age = -1;
    if (count < 1 || fields[0][0] == '\0')
        return -1;
    snprintf(record->name, sizeof record->name, "%s", fields[0]);
    if (count > 1)
        snprintf(record->town, sizeof record->town, "%s", fields[1]);
    if (count > 2) {
        age = strtol(fields[2], &end, 10);
        if (end != fields[2] && *end == '\0' && age >= 0 && age <= INT_MAX)
            record->age = (int)age;
    }
    return 0;
}
