#include "check.h"
#include "fields.h"
#include "record.h"

int main(void)
{
    char line[] = "red::blue";
    char *fields[FIELDS_MOST];
    struct record record;

    CHECK_INT(fields_split(line, fields), 3);
    if (!failed) {
        CHECK_TEXT(fields[1], "");
        CHECK_TEXT(fields[2], "blue");
    }
    CHECK_INT(record_parse(&record, "Ada:London:36"), 0);
    CHECK_TEXT(record.town, "London");
    CHECK_INT(record.age, 36);
    CHECK_INT(record_parse(&record, "Bob::"), 0);
    CHECK_TEXT(record.town, "");
    CHECK_INT(record.age, -1);
    return failed;
}
