import { between, matching, required, shorterThan } from './rules.js';

// The rules of each field, in the order in which they are checked.
export const SIGN_UP = {
  name: [required, shorterThan(20)],
  age: [required, between(0, 150)],
  mail: [required, matching(/^\S+@\S+$/, 'an address')],
};

// The first complaint about each field that has one: { age: 'is missing' }.
export function check(form, values) {
  const complaints = {};
  for (const [field, rules] of Object.entries(form)) {
    for (const rule of rules) {
      const complaint = rule(values[field]);
      if (complaint) complaints[field] = complaint;
    }
  }
  return complaints;
}

export function isGood(form, values) {
  return Object.keys(check(form, values)).length === 0;
}
