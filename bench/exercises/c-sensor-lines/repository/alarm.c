#include "alarm.h"

#include <stdlib.h>
#include <string.h>

int alarm_colder(const char *text, int limit)
{
    int count = 0;

    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *next = strchr(line, '\n');
        const char *equals = strchr(line, '=');

        if (equals != NULL && (next == NULL || equals < next)) {
            int tenths = atoi(equals + 1) * 10;
            const char *point = strchr(equals, '.');

            if (point != NULL && (next == NULL || point < next))
                tenths += point[1] - '0';
            if (tenths < limit)
                count++;
        }
        line = next == NULL ? NULL : next + 1;
    }
    return count;
}
