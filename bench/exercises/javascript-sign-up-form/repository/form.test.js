import test from 'node:test';
import assert from 'node:assert/strict';
import { SIGN_UP, check, isGood } from './form.js';

const GOOD = { name: 'Ada', age: 36, mail: 'ada@example.org' };

test('a good form', () => {
  assert.ok(isGood(SIGN_UP, GOOD));
});

test('a baby may sign up', () => {
  assert.deepEqual(check(SIGN_UP, { ...GOOD, age: 0 }), {});
});

test('the first complaint is shown', () => {
  assert.deepEqual(check(SIGN_UP, { ...GOOD, mail: '' }), { mail: 'is missing' });
});
