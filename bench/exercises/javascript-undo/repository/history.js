// States of something, the newest last. States are never changed after they were kept.

export class History {
  constructor(first, most = 50) {
    this.states = [first];
    this.most = most;
  }

  now() {
    return this.states[this.states.length - 1];
  }

  keep(state) {
    this.states.push(state);
    if (this.states.length > this.most) this.states.shift();
  }

  // Goes back one state; false where there is none before.
  undo() {
    if (this.states.length === 1) return false;
    this.states.pop();
    return true;
  }
}
