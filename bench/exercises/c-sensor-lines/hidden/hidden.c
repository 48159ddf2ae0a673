#include "alarm.h"
#include "check.h"
#include "reading.h"
#include "sensor.h"

static int tenths(const char *line)
{
    struct reading reading;

    return reading_parse(&reading, line) ? reading.tenths : 9999;
}

int main(void)
{
    static const char *none[] = {"",        "\n",      "a",     "a=",     "a=1",    "a=1.",  "a=.5",
                                 "a=1.55",  "a=1.5x",  "a=--1.0", "a=-.5", "a= 1.0", "a\n=1.0"};

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK_INT(tenths(none[i]), 9999);
    CHECK_INT(tenths("a=0.0"), 0);
    CHECK_INT(tenths("a=-0.1"), -1);
    CHECK_INT(tenths("a=100.9\n"), 1009);
    CHECK_INT(tenths("a=-12.0\nb"), -120);

    CHECK_INT(alarm_colder("a=-0.5\nb=-0.1\nc=0.0\nd\ne=y\nf=-1\n", 0), 2);
    CHECK_INT(alarm_colder("", 100), 0);
    CHECK_INT(sensor_mean("a=-0.5\nab=9.0\na=-0.2", "a"), -3);
    CHECK_INT(sensor_mean("b=1.0", "a"), 0);
    return failed;
}
