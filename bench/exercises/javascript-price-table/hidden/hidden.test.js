import test from 'node:test';
import assert from 'node:assert/strict';
import { menu } from './menu.js';
import { cut, letters, width } from './text.js';

test('widths', () => {
  assert.equal(width(''), 0);
  assert.equal(width('e\u0300\u0301'), 1);
  assert.equal(width('😀😀'), 2);
});

test('cutting', () => {
  assert.equal(cut('abcdef', 6), 'abcdef');
  assert.equal(cut('abcdefg', 6), 'abcde…');
  assert.equal(cut('abe\u0300cd', 4), 'abe\u0300…');
  assert.equal(cut('ab', 1), '…');
});

test('every row is equally wide', () => {
  const names = ['A', 'Cre\u0300me bru\u0302le\u0301e', 'Twelve lette', 'Thirteen lett', '😀 cake'];
  for (const row of menu(names.map((name) => ({ name, cents: 100 }))).split('\n')) {
    assert.equal(letters(row).length, 19, row);
  }
});
