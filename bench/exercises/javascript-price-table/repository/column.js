import { cut, width } from './text.js';

// A text in exactly the width of its column: padded with spaces, or cut.
export function cell(text, column) {
  const fitting = cut(text, column.width);
  const padding = ' '.repeat(column.width - width(fitting));
  return column.side === 'right' ? padding + fitting : fitting + padding;
}
