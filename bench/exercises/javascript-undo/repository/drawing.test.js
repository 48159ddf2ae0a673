import test from 'node:test';
import assert from 'node:assert/strict';
import { Drawing } from './drawing.js';

test('undo', () => {
  const drawing = new Drawing();
  drawing.draw(1, 2);
  assert.equal(drawing.undo(), true);
  assert.deepEqual(drawing.points(), []);
  assert.equal(drawing.undo(), false);
});

test('redo', () => {
  const drawing = new Drawing();
  drawing.draw(1, 2);
  drawing.draw(3, 4);
  drawing.undo();
  drawing.undo();
  assert.equal(drawing.redo(), true);
  assert.equal(drawing.points().length, 1);
  assert.equal(drawing.redo(), true);
  assert.equal(drawing.points().length, 2);
  assert.equal(drawing.redo(), false);
});

test('a new change ends redoing', () => {
  const drawing = new Drawing();
  drawing.draw(1, 2);
  drawing.undo();
  drawing.draw(5, 6);
  assert.equal(drawing.redo(), false);
  assert.deepEqual(drawing.points(), [{ x: 5, y: 6, colour: 'black' }]);
});
