#ifndef READING_H
#define READING_H

#define READING_NAME 32

struct reading {
    char name[READING_NAME]; /* cut where it is too long */
    int tenths;              /* of a degree */
};

/*
 * Reads the line at the beginning of a text: `cellar=-3.5`, a name and degrees with exactly one digit after the point.
 * Gives 1, or 0 where it is something else.
 */
int reading_parse(struct reading *reading, const char *line);

/* The line after this one, or NULL. */
const char *reading_next(const char *line);

#endif
