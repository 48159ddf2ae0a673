import test from 'node:test';
import assert from 'node:assert/strict';
import { Playlist, duration } from './playlist.js';

test('durations have two digits for the seconds', () => {
  assert.equal(duration(75), '1:15');
  assert.equal(duration(185), '3:05');
});

test('a playlist as text', () => {
  const list = new Playlist('Morning').add('Rain', 130).add('Wind', 55);
  assert.equal(list.text(), 'Rain 2:10\nWind 0:55\nMorning: 3:05');
});
