import test from 'node:test';
import assert from 'node:assert/strict';
import { Playlist, duration } from './playlist.js';

test('all kinds of durations', () => {
  const expected = { 1: '0:01', 9: '0:09', 10: '0:10', 59: '0:59', 60: '1:00', 600: '10:00', 3600: '60:00', 4205: '70:05' };
  for (const [seconds, text] of Object.entries(expected)) assert.equal(duration(Number(seconds)), text);
});

test('an empty playlist', () => {
  assert.equal(new Playlist('Nothing').text(), 'Nothing: 0:00');
});

test('what is no length', () => {
  assert.throws(() => new Playlist('x').add('y', 0), RangeError);
});
