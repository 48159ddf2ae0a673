import test from 'node:test';
import assert from 'node:assert/strict';
import { plan } from './plan.js';
import { upload } from './upload.js';

test('waits double and stop growing', () => {
  assert.deepEqual(plan({ tries: 7 }), [100, 200, 400, 800, 1000, 1000]);
});

test('an upload is tried again', async () => {
  const slept = [];
  let left = 2;
  const send = async () => {
    if (left-- > 0) throw new Error('busy');
    return 'done';
  };
  assert.equal(await upload(send, async (ms) => slept.push(ms), {}), 'done');
  assert.deepEqual(slept, [100, 200]);
});
