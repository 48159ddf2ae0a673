#include "alarm.h"
#include "check.h"
#include "reading.h"
#include "sensor.h"

static const char *text = "cellar=-0.5\nattic=21.0\ncellar=3.5\nnothing here\nattic=x\n";

int main(void)
{
    struct reading reading;

    /* It reads the line at the beginning of a text, and gives 1 where that is a reading. */
    CHECK_INT(reading_parse(&reading, "cellar=-3.5\nattic=1.0\n"), 1);
    CHECK_TEXT(reading.name, "cellar");
    CHECK_INT(reading.tenths, -35);
    CHECK_INT(reading_parse(&reading, "attic=x\n"), 0);

    CHECK_INT(sensor_mean(text, "cellar"), 15);
    CHECK_INT(alarm_colder(text, 0), 1);
    CHECK_INT(alarm_colder(text, 36), 2);
    return failed;
}
