// States of something, the newest last. States are never changed after they were kept.

export class History {
  constructor(first, most = 50) {
    this.states = [first];
    this.undone = [];
    this.most = most;
  }

  now() {
    return this.states[this.states.length - 1];
  }

  keep(state) {
    this.states.push(state);
    this.undone = [];
    if (this.states.length > this.most) this.states.shift();
  }

  // Goes back one state; false where there is none before.
  undo() {
    if (this.states.length === 1) return false;
    this.undone.push(this.states.pop());
    return true;
  }

  // Brings back what the last undo took; false where nothing was undone since the last change.
  redo() {
    if (this.undone.length === 0) return false;
    this.states.push(this.undone.pop());
    return true;
  }
}
