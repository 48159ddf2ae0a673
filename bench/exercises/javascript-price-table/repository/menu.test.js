import test from 'node:test';
import assert from 'node:assert/strict';
import { menu } from './menu.js';

test('plain names', () => {
  assert.equal(menu([{ name: 'Soup', cents: 450 }]), 'Soup           4.50');
});

test('accents that are marks of their own', () => {
  assert.equal(menu([{ name: 'Cre\u0300me', cents: 600 }]), 'Cre\u0300me          6.00');
});

test('long names are cut', () => {
  assert.equal(menu([{ name: 'Potatoes with butter', cents: 1250 }]), 'Potatoes wi…  12.50');
});
