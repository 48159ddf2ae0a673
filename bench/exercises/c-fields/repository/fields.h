#ifndef FIELDS_H
#define FIELDS_H

#define FIELDS_MOST 8

/*
 * Cuts a line at its colons, in place: each field ends where a colon stood. Empty fields are fields too, and an empty line
 * has one. Gives the number of fields; what is beyond the first FIELDS_MOST stays in the last one, with its colons.
 */
int fields_split(char *line, char *fields[FIELDS_MOST]);

#endif
