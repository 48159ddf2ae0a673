import test from 'node:test';
import assert from 'node:assert/strict';
import { longest, plan } from './plan.js';
import { upload } from './upload.js';

test('one try waits for nothing', () => {
  assert.deepEqual(plan({ tries: 1 }), []);
  assert.throws(() => plan({ tries: 0 }), RangeError);
});

test('the first wait has the same limit', () => {
  assert.deepEqual(plan({ tries: 4, firstMs: 500, mostMs: 300 }), [300, 300, 300]);
});

test('many tries', () => {
  const waits = plan({ tries: 40, firstMs: 1, mostMs: 50 });
  assert.equal(waits.length, 39);
  assert.deepEqual(waits.slice(0, 8), [1, 2, 4, 8, 16, 32, 50, 50]);
  assert.equal(longest({ tries: 4, firstMs: 10, mostMs: 15 }), 40);
});

test('the last error is thrown', async () => {
  let calls = 0;
  const send = async () => {
    calls += 1;
    throw new Error(`no ${calls}`);
  };
  await assert.rejects(upload(send, async () => {}, { tries: 3 }), /no 3/);
});
