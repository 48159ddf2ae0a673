#include "check.h"
#include "fields.h"
#include "record.h"

static int age(const char *line)
{
    struct record record;

    return record_parse(&record, line) == 0 ? record.age : -2;
}

int main(void)
{
    char *fields[FIELDS_MOST];
    struct record record;
    char empty[] = "", one[] = "one", ends[] = ":", many[] = "1:2:3:4:5:6:7:8:9:", eight[] = "1:2:3:4:5:6:7:8";

    CHECK_INT(fields_split(empty, fields), 1);
    CHECK_TEXT(fields[0], "");
    CHECK_INT(fields_split(one, fields), 1);
    CHECK_TEXT(fields[0], "one");
    CHECK_INT(fields_split(ends, fields), 2);
    CHECK_TEXT(fields[1], "");
    CHECK_INT(fields_split(eight, fields), 8);
    CHECK_TEXT(fields[7], "8");
    CHECK_INT(fields_split(many, fields), 8);
    CHECK_TEXT(fields[6], "7");
    CHECK_TEXT(fields[7], "8:9:");

    CHECK_INT(record_parse(&record, ""), -1);
    CHECK_INT(record_parse(&record, ":Rome:3"), -1);
    CHECK_INT(record_parse(&record, "A name that is much longer than there is room for:Oslo"), 0);
    CHECK_INT(strlen(record.name), RECORD_NAME - 1);
    CHECK_TEXT(record.town, "Oslo");
    CHECK_INT(age("Ada"), -1);
    CHECK_INT(age("Ada:"), -1);
    CHECK_INT(age("Ada:Rome"), -1);
    CHECK_INT(age("Ada:Rome:0"), 0);
    CHECK_INT(age("Ada:Rome:-4"), -1);
    CHECK_INT(age("Ada:Rome:old"), -1);
    CHECK_INT(age("Ada:Rome:7up"), -1);
    CHECK_INT(age("Ada:Rome:41:more"), 41);
    return failed;
}
