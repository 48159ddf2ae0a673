#include "sensor.h"

#include <ctype.h>
#include <string.h>

int sensor_mean(const char *text, const char *name)
{
    long sum = 0;
    int count = 0;

    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *next = strchr(line, '\n');
        const char *at = line + strcspn(line, "=\n");
        int sign = 1, tenths = 0;

        if (*at == '=' && (size_t)(at - line) == strlen(name) && strncmp(line, name, strlen(name)) == 0) {
            at++;
            if (*at == '-') {
                sign = -1;
                at++;
            }
            if (isdigit((unsigned char)*at)) {
                while (isdigit((unsigned char)*at))
                    tenths = tenths * 10 + (*at++ - '0');
                if (at[0] == '.' && isdigit((unsigned char)at[1]) && (at[2] == '\0' || at[2] == '\n')) {
                    sum += sign * (tenths * 10 + (at[1] - '0'));
                    count++;
                }
            }
        }
        line = next == NULL ? NULL : next + 1;
    }
    return count == 0 ? 0 : (int)(sum / count);
}
