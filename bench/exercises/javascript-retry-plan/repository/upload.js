import { plan } from './plan.js';

// Calls `send` until it succeeds or the plan is over; `sleep` waits between the calls.
export async function upload(send, sleep, options) {
  const waits = plan(options);
  for (let number = 0; ; number += 1) {
    try {
      return await send();
    } catch (error) {
      if (number === waits.length) throw error;
      await sleep(waits[number]);
    }
  }
}
