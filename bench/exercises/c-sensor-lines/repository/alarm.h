#ifndef ALARM_H
#define ALARM_H

/*
 * How many readings in a text are colder than so many tenths of a degree, whichever sensor they are of. Lines that are no
 * readings are left out.
 */
int alarm_colder(const char *text, int tenths);

#endif
