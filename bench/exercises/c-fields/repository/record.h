#ifndef RECORD_H
#define RECORD_H

#define RECORD_NAME 32

struct record {
    char name[RECORD_NAME]; /* cut where it is too long */
    char town[RECORD_NAME];
    int age; /* -1 where it is not told or is not a whole number from 0 on */
};

/* Reads `name:town:age`; fields may be empty or missing at the end. Gives 0, or -1 when there is no name. */
int record_parse(struct record *record, const char *line);

#endif
