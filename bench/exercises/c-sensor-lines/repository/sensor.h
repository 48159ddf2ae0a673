#ifndef SENSOR_H
#define SENSOR_H

/*
 * The mean of the readings of one sensor in a text, in tenths of a degree, rounded towards zero; 0 where there is none.
 *
 * A reading is a line such as `cellar=-3.5`: a name, and degrees with exactly one digit after the point. Lines that are
 * something else are left out.
 */
int sensor_mean(const char *text, const char *name);

#endif
