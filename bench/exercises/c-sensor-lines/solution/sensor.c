#include "sensor.h"

#include "reading.h"

#include <string.h>

int sensor_mean(const char *text, const char *name)
{
    struct reading reading;
    long sum = 0;
    int count = 0;

    for (const char *line = text; line != NULL; line = reading_next(line)) {
        if (reading_parse(&reading, line) && strcmp(reading.name, name) == 0) {
            sum += reading.tenths;
            count++;
        }
    }
    return count == 0 ? 0 : (int)(sum / count);
}
