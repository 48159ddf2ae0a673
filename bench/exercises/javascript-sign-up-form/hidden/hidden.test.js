import test from 'node:test';
import assert from 'node:assert/strict';
import { SIGN_UP, check } from './form.js';
import { required } from './rules.js';

test('what counts as missing', () => {
  for (const value of ['', null, undefined]) assert.equal(required(value), 'is missing');
  for (const value of [0, false, 'x', -1]) assert.equal(required(value), null);
});

test('every field is checked', () => {
  assert.deepEqual(check(SIGN_UP, {}), { name: 'is missing', age: 'is missing', mail: 'is missing' });
  assert.deepEqual(check(SIGN_UP, { name: 'A'.repeat(20), age: 151, mail: 'nowhere' }), {
    name: 'must be shorter than 20',
    age: 'must be between 0 and 150',
    mail: 'must be an address',
  });
});

test('later rules are not asked after a complaint', () => {
  const form = { field: [() => 'first', () => { throw new Error('asked'); }] };
  assert.deepEqual(check(form, {}), { field: 'first' });
});
