import test from 'node:test';
import assert from 'node:assert/strict';
import { Drawing } from './drawing.js';

test('nothing to redo at first', () => {
  const drawing = new Drawing();
  assert.equal(drawing.redo(), false);
  drawing.draw(1, 1);
  assert.equal(drawing.redo(), false);
});

test('back and forth', () => {
  const drawing = new Drawing();
  for (let x = 0; x < 3; x += 1) drawing.draw(x, 0);
  drawing.undo();
  drawing.undo();
  drawing.redo();
  drawing.undo();
  drawing.redo();
  drawing.redo();
  assert.deepEqual(drawing.points().map((point) => point.x), [0, 1, 2]);
});

test('clearing can be redone and ends redoing', () => {
  const drawing = new Drawing();
  drawing.draw(1, 1);
  drawing.clear();
  drawing.undo();
  assert.equal(drawing.points().length, 1);
  assert.equal(drawing.redo(), true);
  assert.deepEqual(drawing.points(), []);
  drawing.undo();
  drawing.clear();
  assert.equal(drawing.redo(), false);
});

test('an undo that did nothing gives nothing to redo', () => {
  const drawing = new Drawing();
  drawing.undo();
  assert.equal(drawing.redo(), false);
  assert.deepEqual(drawing.points(), []);
});
