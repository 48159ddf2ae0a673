// Rules for one field each. A rule takes the value and gives a complaint, or null.

export function required(value) {
  return value === undefined || value === null || value === '' ? 'is missing' : null;
}

export function between(least, most) {
  return (value) => (value < least || value > most ? `must be between ${least} and ${most}` : null);
}

export function shorterThan(length) {
  return (value) => (String(value).length < length ? null : `must be shorter than ${length}`);
}

export function matching(pattern, what) {
  return (value) => (pattern.test(value) ? null : `must be ${what}`);
}
