#include "alarm.h"

#include "reading.h"

#include <stddef.h>

int alarm_colder(const char *text, int tenths)
{
    struct reading reading;
    int count = 0;

    for (const char *line = text; line != NULL; line = reading_next(line)) {
        if (reading_parse(&reading, line) && reading.tenths < tenths)
            count++;
    }
    return count;
}
