import { History } from './history.js';

// A drawing: points with a colour.
export class Drawing {
  constructor() {
    this.history = new History([]);
  }

  points() {
    return this.history.now();
  }

  draw(x, y, colour = 'black') {
    this.history.keep([...this.points(), { x, y, colour }]);
  }

  clear() {
    this.history.keep([]);
  }

  undo() {
    return this.history.undo();
  }
}
